"""What is out of order is counted, by its reason, and nothing is left out for it."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import wire
from pipeline.counters import Counters
from pipeline.events import Event, Rename, Stamp
from pipeline.sources import order
from pipeline.sources.decode import decode_batch
from pipeline.sources.order import IN_ORDER, Order
from pipeline.sources.recording import Recorder, RecordingSource
from pipeline.sources.synthetic import Synthetic

HOST_NS = 1000


def _event(time_ns: int, sequence: int, cpu: int = 0, kind: int = wire.RENAME) -> Event:
    return Rename(Stamp(time_ns, cpu, sequence, kind), 50, 50, 500, 500, 50, "x")


def _counted(*events: Event, batches: int = 1) -> dict[str, int]:
    counters = Counters()
    looking = Order(counters)
    looking.look([Synthetic(now_ns=HOST_NS - 1, step_ns=1).events[0]])
    for at in range(batches):
        looking.look(events[at::batches] if batches == 1 else events[at : at + 1])
    return dict(counters.disordered)


def test_what_is_in_order_is_not_counted() -> None:
    assert _counted(_event(1000, 1), _event(1000, 2), _event(1001, 9)) == {}


def test_a_time_going_backwards_is_counted_once() -> None:
    assert _counted(_event(2000, 1), _event(1500, 2), _event(1600, 3)) == {"time": 1}


@pytest.mark.parametrize("sequence", [4, 5])
def test_a_number_that_was_there_or_is_past_is_counted(sequence: int) -> None:
    assert _counted(_event(2000, 5), _event(2000, sequence)) == {"sequence": 1}


def test_order_goes_on_from_batch_to_batch() -> None:
    assert _counted(_event(2000, 1), _event(1999, 2), batches=2) == {"time": 1}


def test_processors_have_clocks_and_numbers_of_their_own() -> None:
    assert _counted(_event(2000, 7, cpu=0), _event(1999, 1, cpu=1), _event(2001, 8, cpu=0)) == {}


def test_nothing_happened_before_the_first_record_of_the_stream() -> None:
    assert _counted(_event(HOST_NS - 1, 1), _event(HOST_NS - 1, 1, cpu=3), _event(HOST_NS, 2)) == {"time": 2}


@pytest.mark.parametrize("kind", sorted(set(range(1, 14)) - IN_ORDER))
def test_what_the_snapshot_finds_has_an_order_of_its_own(kind: int) -> None:
    assert _counted(_event(2000, 5), _event(1500, 3, kind=kind), _event(2001, 6)) == {}


def test_another_boot_begins_anew() -> None:
    host = Synthetic(now_ns=10, step_ns=1).events[0]
    assert _counted(_event(2000, 5), host, _event(12, 1)) == {}


def test_a_damaged_record_that_names_a_processor_that_cannot_be_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "PROCESSORS_MAX", 4)
    looking = Order(Counters())
    looking.look([_event(2000, 1, cpu=cpu) for cpu in range(100)])
    assert len(looking._last) == 4


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**64 - 1), st.integers(0, 3)), max_size=20))
def test_every_record_is_applied_whatever_its_time(stamps: list[tuple[int, int, int]]) -> None:
    events = [_event(time_ns, sequence, cpu) for time_ns, sequence, cpu in stamps]
    counters = Counters()
    Order(counters).look(events)
    assert counters.disordered.total() <= len(events)


def _damaged() -> list[bytes]:
    """One record of each kind of damage between good ones; the last but one only in its time."""
    stream = Synthetic()
    init = stream.running("/sbin/init", pid=1)
    for _ in range(20):
        stream.exit(stream.spawn(init, "/usr/bin/true"))
    records = list(stream.records)
    at = wire.LAYOUT["header"]
    for number, member, value in (
        (5, "kind", b"\xff\xff"),
        (9, "version", b"\1\0"),
        (13, "time_ns", b"\xff" * 8),
        (17, "size", b"\xff\xff\xff\x7f"),
        (21, "size", b"\1\0\0\0"),
        (-2, "time_ns", b"\1" + bytes(7)),
    ):
        offset, size = at[member]
        records[number] = records[number][:offset] + value + records[number][offset + size :]
    return [*records[:25], b"", records[25][:7], *records[25:]]


async def _replayed(path: Path) -> list[bytes]:
    source, read = RecordingSource(path), []
    try:
        while True:
            read += await source.receive()
    except anyio.EndOfStream:
        return read
    finally:
        await source.aclose()


async def test_a_recording_of_damaged_records_gives_them_back_and_is_counted_the_same(tmp_path: Path) -> None:
    records = _damaged()
    recorder = Recorder(tmp_path / "r")
    recorder.write(records)
    recorder.close()
    told = []
    for stream in (records, await _replayed(tmp_path / "r")):
        counters = Counters()
        events = decode_batch(stream, counters)
        Order(counters).look(events)
        told.append((events, counters.bad_records, counters.disordered))
    assert told[0] == told[1]
    assert dict(told[0][1]) == {"kind": 1, "version": 1, "time": 1, "size": 2, "short": 2}
    assert dict(told[0][2]) == {"time": 1}
