"""The fuzzer's targets without the fuzzer: any bytes; streams that were damaged, cut, doubled, put in disorder."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import corpus, target

STREAMS = tuple(corpus.streams())
damages = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 255)), max_size=12)


@pytest.mark.parametrize("records", STREAMS, ids=range(len(STREAMS)))
def test_the_corpus_is_of_good_records(records: list[bytes]) -> None:
    assert not target.try_out(records).bad_records
    assert target.unframe(target.frame(records)) == records


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2048))
def test_any_bytes_break_no_promise(raw: bytes) -> None:
    target.try_out(target.unframe(raw))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(STREAMS), damages)
def test_damaged_records_break_no_promise(records: list[bytes], changes: list[tuple[int, int, int]]) -> None:
    damaged = [bytearray(record) for record in records]
    for number, at, value in changes:
        record = damaged[number % len(damaged)]
        record[at % len(record)] = value
    target.try_out([bytes(record) for record in damaged])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_records_in_any_order_and_any_number_break_no_promise(data: st.DataObject) -> None:
    every = [record for records in STREAMS for record in records]
    target.try_out(data.draw(st.lists(st.sampled_from(every), max_size=60)))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(STREAMS), st.integers(0, 10**6))
def test_a_stream_cut_anywhere_breaks_no_promise(records: list[bytes], at: int) -> None:
    raw = target.frame(records)
    target.try_out(target.unframe(raw[: at % len(raw)]))
