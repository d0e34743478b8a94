from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.document import Document
from pipeline.sinks.batch import CARRIER_BYTES, Batcher, weight, weight_of

BIG = 10**9


def make(count: int, size: int = 10) -> list[Document]:
    return [Document(str(number), "process", b"x" * size) for number in range(count)]


def test_a_batch_is_not_cut_before_it_is_full_or_old() -> None:
    batcher = Batcher(flush_age_s=0.5)
    batcher.add(make(3), now=10.0)
    assert batcher.take(10.4, 4, BIG) == []
    assert len(batcher.take(10.5, 4, BIG)) == 3
    assert repr(batcher) == "<Batcher 0 documents, 0 bytes>"


def test_a_full_batch_is_cut_at_once_and_the_rest_keeps_its_own_age() -> None:
    batcher = Batcher(flush_age_s=0.5)
    batcher.add(make(3), now=10.0)
    batcher.add(make(3), now=10.3)
    assert len(batcher.take(10.3, 4, BIG)) == 4
    assert batcher.due_at() == 10.8
    assert batcher.take(10.7, 4, BIG) == []


def test_a_batch_is_cut_by_bytes() -> None:
    batcher = Batcher(flush_age_s=0.5)
    batcher.add(make(5, size=1000), now=0.0)
    assert len(batcher.take(0.0, 100, 2 * (1000 + CARRIER_BYTES))) == 2


def test_a_document_heavier_than_a_batch_travels_alone() -> None:
    batcher = Batcher(flush_age_s=0.5)
    batcher.add([*make(1), *make(1, size=5000), *make(1)], now=0.0)
    assert [len(batcher.take(0.0, 100, 1000, flush=True)) for _ in range(4)] == [1, 1, 1, 0]


def test_the_oldest_are_dropped_first() -> None:
    batcher = Batcher(flush_age_s=0.5)
    batcher.add(make(5), now=0.0)
    assert batcher.drop_oldest(weight(make(1)[0]) + 1) == 2
    assert [document.id for document in batcher.take(0.0, 9, BIG, flush=True)] == ["2", "3", "4"]


@given(
    st.lists(st.tuples(st.sampled_from(["add", "take", "flush", "drop"]), st.integers(0, 7)), max_size=40),
    st.integers(1, 5),
    st.integers(300, 2000),
)
def test_nothing_is_lost_and_bytes_are_right_whatever_the_order(
    steps: list[tuple[str, int]], max_documents: int, max_bytes: int
) -> None:
    batcher, inside, now = Batcher(flush_age_s=2.0), list[Document](), 0.0
    for step, amount in steps:
        now += 1
        if step == "add":
            new = make(amount, size=amount * 100)
            batcher.add(new, now)
            inside += new
        elif step == "drop":
            gone = batcher.drop_oldest(amount * 300)
            inside = inside[gone:]
        else:
            batch = batcher.take(now, max_documents, max_bytes, flush=step == "flush")
            assert batch == inside[: len(batch)]
            assert len(batch) <= max_documents
            assert len(batch) == 1 or weight_of(batch) <= max_bytes
            assert batch or step == "take" or not inside
            inside = inside[len(batch) :]
        assert len(batcher) == len(inside)
        assert batcher.held_bytes == weight_of(inside)
        assert (batcher.due_at() is None) == (not inside)
    assert batcher.take_all() == inside
