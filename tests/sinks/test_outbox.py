"""The outbox before a scripted sink, on a clock that the test turns. After the n-th failure: 0.25 s * 2^n."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import MIB
from pipeline.errors import SinkError, SinkUnavailable
from pipeline.sinks.base import SinkClosed, SinkDenied
from pipeline.sinks.batch import weight_of
from tests.sinks.support import Bench, ScriptedSink, document, documents
from tests.timer import settled

AWAY = "Elasticsearch at http://es:9200 does not answer (connection refused)"


def away(count: int) -> list[SinkUnavailable]:
    return [SinkUnavailable(AWAY) for _ in range(count)]


async def test_a_lone_document_leaves_when_it_is_old_enough(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ScriptedSink(), flush_age_ms=500)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put([document(1)])
        await bench.timer.advance(0.49)
        assert bench.sink.batches == []
        await bench.timer.advance(0.02)
        assert bench.sink.batches == [["id1"]]
        await bench.outbox.drain(1)
    assert bench.counters.delivered == 1


async def test_a_full_batch_leaves_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ScriptedSink())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put(documents(25))
        await settled()
        assert [len(batch) for batch in bench.sink.batches] == [10, 10]
        await bench.outbox.drain(1)
    assert len(bench.sink.taken) == 25
    assert repr(bench.outbox) == "<Outbox 0 documents, 0 bytes, 0 in flight, 0 to try again>"
    assert bench.counters.outbox_bytes == 0


async def test_an_alert_does_not_wait_for_a_batch(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ScriptedSink())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put([document(1), document(2, stream="alert"), document(3)])
        await settled()
        assert bench.sink.batches == [["id2"]]
        await bench.outbox.drain(1)


async def test_only_what_was_turned_away_is_sent_again_after_a_pause(tmp_path: Path) -> None:
    sink = ScriptedSink()
    sink.steps = [sink.turn_away("id3", "id7")]
    bench = Bench(tmp_path, sink)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put(documents(10))
        await bench.timer.advance(0.49)
        assert len(sink.batches) == 1
        await bench.timer.advance(0.02)
        assert sink.batches[1:] == [["id3", "id7"]]
        await bench.outbox.drain(1)
    assert (bench.counters.delivered, bench.counters.retried) == (10, 2)


async def test_others_go_on_while_one_document_waits_for_its_next_try(tmp_path: Path) -> None:
    sink = ScriptedSink()
    sink.steps = [sink.turn_away("id3")]
    bench = Bench(tmp_path, sink)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put(documents(10))
        await settled()
        await bench.outbox.put(documents(10, first=10))
        await settled()
        assert len(sink.taken) == 19
        assert str(bench.outbox.status()) == ""
        await bench.outbox.drain(1)
    assert len(sink.taken) == 20


async def test_pauses_grow_to_their_bound_while_all_is_turned_away(tmp_path: Path) -> None:
    sink = ScriptedSink(*away(8))
    bench = Bench(tmp_path, sink, retry_pause_max_s=4.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put(documents(10))
        await bench.timer.advance(60)
        await bench.outbox.drain(1)
    gaps = [later - earlier for earlier, later in zip(sink.times, sink.times[1:], strict=False)]
    assert gaps == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0]


async def test_only_one_batch_at_a_time_knocks_at_a_closed_door(tmp_path: Path) -> None:
    sink = ScriptedSink(*away(2))
    bench = Bench(tmp_path, sink)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put(documents(50))
        await settled()
        knocked = len(sink.batches)
        assert knocked <= 2
        await bench.timer.advance(0.4)
        assert len(sink.batches) == knocked
        await bench.timer.advance(2.0)
        assert len(sink.taken) == 50
        await bench.outbox.drain(1)
    assert bench.counters.dropped.total() == 0
    assert bench.counters.retried == 10 * knocked


async def test_who_denies_us_is_asked_at_the_longest_pause(tmp_path: Path) -> None:
    sink = ScriptedSink(SinkDenied("credentials refused (401)", "set ELASTICSEARCH_API_KEY"))
    bench = Bench(tmp_path, sink, retry_pause_max_s=30.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put(documents(10))
        await bench.timer.advance(29.9)
        assert len(sink.batches) == 1
        assert "set ELASTICSEARCH_API_KEY" in str(bench.outbox.status())
        await bench.timer.advance(0.2)
        await bench.outbox.drain(1)
    assert bench.counters.delivered == 10


async def test_a_sink_not_there_yet_is_waited_for_visibly_while_documents_are_accepted(tmp_path: Path) -> None:
    sink = ScriptedSink(greetings=away(3))
    bench = Bench(tmp_path, sink)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put(documents(1234))
        await settled()
        assert str(bench.outbox.status()) == f"waiting: {AWAY}, try 2 in 0 s, 1,234 documents held"
        await bench.timer.advance(0.5)
        assert str(bench.outbox.status()) == f"waiting: {AWAY}, try 3 in 1 s, 1,234 documents held"
        await bench.timer.advance(5.0)
        assert len(sink.taken) >= 1230
        await bench.outbox.drain(1)
    assert bench.counters.delivered == 1234


async def test_what_must_be_prepared_is_prepared_before_the_first_document(tmp_path: Path) -> None:
    sink = ScriptedSink()
    calls: list[int] = []
    bench = Bench(tmp_path, sink)

    async def prepare() -> None:
        calls.append(len(sink.batches))
        if len(calls) == 1:
            raise SinkUnavailable("not yet")

    bench.outbox._prepare = prepare
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put(documents(10))
        await bench.timer.advance(5)
        await bench.outbox.drain(1)
    assert calls == [0, 0]
    assert bench.counters.delivered == 10


async def test_a_refused_document_is_counted_by_reason_and_kept(tmp_path: Path) -> None:
    sink = ScriptedSink()
    sink.steps = [sink.refuse("id4")]
    bench = Bench(tmp_path, sink)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put(documents(10))
        await settled()
        await bench.outbox.drain(1)
    assert bench.counters.delivered == 9
    assert bench.counters.refused == {"400 document_parsing_exception": 1}
    assert [(line["id"], line["reason"]) for line in bench.kept()] == [
        ("id4", "400 document_parsing_exception: bad date")
    ]


async def test_a_document_that_never_gets_through_is_given_up_and_holds_up_nobody(tmp_path: Path) -> None:
    sink = ScriptedSink()
    sink.otherwise = sink.turn_away("id0")
    bench = Bench(tmp_path, sink, retry_pause_max_s=1.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put(documents(10))
        for number in range(1, 31):
            await bench.timer.advance(1.0)
            await bench.outbox.put(documents(10, first=number * 10))
            await settled()
            assert len(sink.taken) == 9 + number * 10
        await bench.outbox.drain(1)
    assert bench.counters.refused == {"turned away 30 times": 1}
    assert bench.kept()[0]["reason"] == "turned away 30 times: 429 es_rejected_execution_exception"


async def test_a_document_turned_away_does_not_die_of_an_outage(tmp_path: Path) -> None:
    sink = ScriptedSink()
    sink.steps = [sink.turn_away("id0"), *away(100)]
    bench = Bench(tmp_path, sink, retry_pause_max_s=1.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put(documents(10))
        await bench.timer.advance(200.0)
        await bench.outbox.drain(1)
    assert len(sink.taken) == 10


@pytest.mark.parametrize("hold_s", [0.0, 30.0])
async def test_memory_is_bounded_while_the_sink_is_away_and_each_drop_is_counted(tmp_path: Path, hold_s: float) -> None:
    sink = ScriptedSink(*away(1000))
    bench = Bench(tmp_path, sink, outbox_max_bytes=MIB, outbox_hold_s=hold_s)
    sent = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        for _ in range(60):
            await bench.outbox.put(documents(50, first=sent, padding=500))
            sent += 50
            assert bench.counters.outbox_bytes <= MIB
            await bench.timer.advance(1.0)
        assert bench.counters.dropped["outbox full"] > 0
        assert bench.accounted() == sent
        sink.steps.clear()
        await bench.timer.advance(60)
        await bench.outbox.drain(60)
    newest = {f"id{number}" for number in range(sent - 50, sent)}
    assert newest <= set(sink.taken)
    assert len(sink.taken) + bench.counters.dropped["outbox full"] == sent


async def test_a_full_outbox_holds_out_before_it_drops(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ScriptedSink(greetings=away(1000)), outbox_max_bytes=MIB, outbox_hold_s=30.0)
    batch = documents(100, padding=8800)
    assert MIB * 7 // 8 < weight_of(batch) <= MIB
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put(batch)
        await bench.timer.advance(29)
        await bench.outbox.put([document(1000)])
        assert bench.counters.dropped.total() == 0
        await bench.timer.advance(2)
        await bench.outbox.put([document(1001)])
        assert bench.counters.dropped["outbox full"] > 0
        assert bench.counters.outbox_bytes <= MIB * 7 // 8
        tasks.cancel_scope.cancel()


async def test_alerts_are_dropped_last(tmp_path: Path) -> None:
    sink = ScriptedSink(greetings=away(20))
    bench = Bench(tmp_path, sink, outbox_max_bytes=MIB, outbox_hold_s=0, retry_pause_max_s=1.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put(documents(20, stream="alert"))
        for number in range(1, 40):
            await bench.outbox.put(documents(100, first=number * 100, padding=500))
        await bench.timer.advance(60)
        await bench.outbox.drain(60)
    assert {f"id{number}" for number in range(20)} <= set(sink.taken)
    assert bench.counters.dropped["outbox full"] > 0


async def test_a_blocking_outbox_makes_its_writer_wait_and_drops_nothing(tmp_path: Path) -> None:
    sink = ScriptedSink(greetings=away(6))
    bench = Bench(tmp_path, sink, block=True, outbox_max_bytes=MIB)
    finished = anyio.Event()

    async def write(first: int) -> None:
        for number in range(20):
            await bench.outbox.put(documents(100, first=first + number * 100, padding=500))
            assert bench.counters.outbox_bytes <= MIB
        if first == 0:
            finished.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        async with anyio.create_task_group() as writers:
            writers.start_soon(write, 0)
            writers.start_soon(write, 10_000)
            await settled()
            assert not finished.is_set()
            for _ in range(100):
                await bench.timer.advance(1)
        await bench.outbox.drain(60)
    assert len(sink.taken) == 4000
    assert bench.counters.dropped.total() == 0


async def test_drain_gives_up_at_its_deadline_and_counts_and_keeps_what_is_left(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ScriptedSink(greetings=away(1000)))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put(documents(30))
        tasks.start_soon(bench.outbox.drain, 15.0)
        await bench.timer.advance(14.9)
        assert bench.outbox.held_documents == 30
        await bench.timer.advance(0.2)
    assert bench.counters.dropped == {"the end came first": 30}
    assert len(bench.kept()) == 30
    assert bench.accounted() == 30


async def test_drain_does_not_sit_out_a_long_pause(tmp_path: Path) -> None:
    sink = ScriptedSink(SinkDenied("no"))
    bench = Bench(tmp_path, sink, retry_pause_max_s=600.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.put(documents(10))
        await bench.timer.advance(1.0)
        assert len(sink.batches) == 1
        await bench.outbox.drain(5.0)
    assert bench.counters.delivered == 10


async def test_drain_before_run_counts_what_was_accepted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ScriptedSink())
    await bench.outbox.put(documents(3))
    await bench.outbox.drain(0)
    assert bench.counters.dropped == {"the end came first": 3}


async def test_documents_after_the_end_are_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ScriptedSink())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        await bench.outbox.drain(1)
    await bench.outbox.put(documents(3))
    assert bench.counters.dropped == {"the end came first": 3}


async def test_a_sink_that_fails_for_good_ends_the_run_and_says_how_many_were_not_delivered(tmp_path: Path) -> None:
    sink = ScriptedSink(SinkError("no room for the store", "make room"))
    bench = Bench(tmp_path, sink)
    await bench.outbox.put(documents(25))
    with pytest.raises(SinkError) as caught:
        await bench.outbox.run()
    assert caught.value.mend == "make room"
    left = bench.counters.dropped["sink failed"]
    kept = f"{left:,} of them kept in {bench.dead_letters.path}"
    assert caught.value.message == f"no room for the store ({left:,} documents not delivered, {kept})"
    assert len(bench.kept()) == left
    assert bench.accounted() == 25
    await bench.outbox.put(documents(5, first=25))
    assert bench.accounted() == 30


async def test_wrong_credentials_at_first_contact_end_the_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ScriptedSink(greetings=[SinkError("credentials refused", "set ELASTICSEARCH_API_KEY")]))
    with pytest.raises(SinkError, match="credentials refused: set ELASTICSEARCH_API_KEY"):
        await bench.outbox.run()


async def test_a_reader_that_went_away_ends_the_run_without_keeping_anything(tmp_path: Path) -> None:
    sink = ScriptedSink(SinkClosed("the reader of standard output went away"))
    sink.may_refuse = False
    bench = Bench(tmp_path, sink, dead_letters_max_bytes=0)
    await bench.outbox.put(documents(10))
    with pytest.raises(SinkClosed) as caught:
        await bench.outbox.run()
    assert caught.value.exit_code == 0
    assert bench.counters.dropped == {"reader went away": 10}


async def test_closing_closes_the_sink(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ScriptedSink())
    await bench.outbox.aclose()
    await bench.outbox.aclose()
    assert bench.sink.closed == 2


MOVE = st.one_of(
    st.tuples(st.just("put"), st.integers(1, 30)),
    st.tuples(st.just("pass"), st.integers(1, 8)),
    st.tuples(st.just("away"), st.integers(1, 4)),
    st.tuples(st.just("turn away"), st.integers(0, 200)),
    st.tuples(st.just("refuse"), st.integers(0, 200)),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(MOVE, max_size=25), drain_s=st.sampled_from([0.0, 3.0, 60.0]))
async def test_every_document_ends_in_exactly_one_counter(
    tmp_path: Path, moves: list[tuple[str, int]], drain_s: float
) -> None:
    sink = ScriptedSink()
    bench = Bench(tmp_path, sink, outbox_max_bytes=MIB, outbox_hold_s=1.0)
    accepted = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.outbox.run)
        for move, amount in moves:
            match move:
                case "put":
                    stream = "alert" if amount % 5 == 0 else "process"
                    await bench.outbox.put(documents(amount, first=accepted, stream=stream, padding=9000))
                    accepted += amount
                case "pass":
                    await bench.timer.advance(amount / 4)
                case "away":
                    sink.steps += away(amount)
                case "turn away":
                    sink.steps.append(sink.turn_away(f"id{amount}", f"id{amount + 1}"))
                case "refuse":
                    sink.steps.append(sink.refuse(f"id{amount}"))
            assert bench.accounted() == accepted
            assert bench.counters.outbox_bytes <= MIB
        tasks.start_soon(bench.outbox.drain, drain_s)
        await bench.timer.advance(drain_s + 1)
    assert bench.accounted() == accepted
    assert bench.outbox.held_documents == 0
    assert len(set(sink.taken)) == len(sink.taken) == bench.counters.delivered
