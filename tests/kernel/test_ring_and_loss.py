"""No record is lost without being counted, none is handed over twice, and the agent can only look."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
from collections import Counter
from typing import NamedTuple

import pytest

from pipeline import wire
from pipeline.events import Exec, Exit, Fork
from pipeline.sources.ebpf.losses import Losses
from pipeline.sources.ebpf.ring import LibbpfRing, MappedRing
from pipeline.sources.ebpf.syscall import number, skipped_runs
from tests.kernel.programs import forked
from tests.kernel.tracer import Tracer

pytestmark = pytest.mark.kernel

MAP_LOOKUP, MAP_UPDATE = 1, 2


def _sequences(records: list[bytes]) -> dict[int, list[int]]:
    by_cpu: dict[int, list[int]] = {}
    for record in records:
        _, _, _, _, cpu, _, sequence = wire.STRUCT_HEADER.unpack_from(record)
        by_cpu.setdefault(cpu, []).append(sequence)
    return by_cpu


def _fork_on_every_cpu() -> set[int]:
    """Pids of children that have ended, one born on each."""
    mine = os.sched_getaffinity(0)
    pids = set()
    for cpu in mine:
        os.sched_setaffinity(0, {cpu})
        pid = forked(lambda: None)
        os.waitpid(pid, 0)
        pids.add(pid)
    os.sched_setaffinity(0, mine)
    return pids


def test_loss_is_counted_exactly(small: Tracer) -> None:
    """A ring of one page and nobody who drains it: each number is a record that came or one that was counted."""
    for _ in range(100):
        subprocess.run(["/bin/true"], check=True)
    lost: Counter[int] = Counter()

    def add_up() -> bool:
        """Whether the last number of each CPU, which one more birth on each makes known, is explained."""
        small.drain()
        _fork_on_every_cpu()
        small.drain()
        lost.update(small.losses.since_last(0))
        numbers = _sequences(small.records).values()
        return sum(map(max, numbers)) == sum(map(len, numbers)) + lost.total()

    small.until(add_up)
    assert lost.total() > 200
    assert {wire.FORK, wire.EXEC, wire.EXIT} <= set(lost)


class Moment(NamedTuple):
    """On each CPU the birth of a child, by the number of its record there, which either of two rings had room for."""

    small: dict[int, int]
    large: dict[int, int]


def _births(tracer: Tracer, pids: set[int]) -> dict[int, int]:
    tracer.drain()
    births = [event for event in tracer.events if isinstance(event, Fork) and event.task.pid in pids]
    return {event.stamp.cpu: event.stamp.sequence for event in births}


def _moment(small: Tracer, large: Tracer, lost: Counter[int]) -> Moment:
    """Adds to ``lost`` what the small ring lost before; while the moment lasts it loses nothing."""
    found: list[Moment] = []

    def lost_nothing() -> bool:
        small.drain()
        lost.update(_newly_lost(small))
        pids = _fork_on_every_cpu()
        moment = Moment(_births(small, pids), _births(large, pids))
        since = _newly_lost(small)
        lost.update(since)
        if not since and len(moment.small) == len(moment.large) == len(pids):
            found.append(moment)
        return bool(found)

    small.until(lost_nothing)
    return found[0]


def _newly_lost(tracer: Tracer) -> dict[int, int]:
    tracer.losses.look_at_all()
    return tracer.losses.since_last(0)


def _between(tracer: Tracer, begin: dict[int, int], end: dict[int, int]) -> Counter[int]:
    """Records that came, of whatever process, by kind."""
    assert not tracer.counters.bad_records
    stamps = [event.stamp for event in tracer.events]
    return Counter(stamp.kind for stamp in stamps if begin[stamp.cpu] < stamp.sequence <= end[stamp.cpu])


def test_each_kind_is_counted_for_itself(small: Tracer, tracer: Tracer) -> None:
    """What happened meanwhile on the whole machine is told by other probes, whose ring has room for all."""
    _newly_lost(tracer)
    begin = _moment(small, tracer, Counter())
    lost: Counter[int] = Counter()
    pids = []
    for _ in range(100):
        child = subprocess.Popen(["/bin/true"])
        child.wait(30)
        pids.append(child.pid)
    end = _moment(small, tracer, lost)
    assert _newly_lost(tracer) == {}
    happened = _between(tracer, begin.large, end.large)
    assert _between(small, begin.small, end.small) + lost == happened
    for kind, of_wire in ((Fork, wire.FORK), (Exec, wire.EXEC), (Exit, wire.EXIT)):
        assert [len(tracer.all(kind, pid)) for pid in pids] == [1] * 100
        assert 0 < lost[of_wire] < happened[of_wire]


def test_without_loss_no_number_is_missing_and_none_comes_twice(tracer: Tracer) -> None:
    lost_before = tracer.losses.since_last(0)
    _fork_on_every_cpu()
    for _ in range(30):
        subprocess.run(["/bin/true"], check=True)
    _fork_on_every_cpu()
    tracer.drain()
    assert tracer.losses.since_last(0) == {}, lost_before
    for numbers in _sequences(tracer.records).values():
        assert sorted(numbers) == list(range(min(numbers), max(numbers) + 1))


def test_the_ring_goes_round_many_times_without_harm(medium: Tracer) -> None:
    for code in range(256):
        done = subprocess.run(["/bin/sh", "-c", f"exit {code}"], check=False)
        medium.drain()
        assert done.returncode == code
    medium.drain()
    assert sum(map(len, medium.records)) > 2 * medium.ring_bytes
    assert not medium.counters.bad_records
    codes = {event.task.pid: event.status >> 8 for event in medium.events if isinstance(event, Exit)}
    mine = [event for event in medium.events if isinstance(event, Exec) and event.args[:2] == ("/bin/sh", "-c")]
    assert sum(medium.losses.since_last(0).values()) == 0
    assert [codes[event.task.pid] for event in mine if event.task.parent_pid == os.getpid()] == list(range(256))


def test_libbpf_reads_the_same_records(medium: Tracer) -> None:
    """One of the two at a time: they share the position. Where libbpf goes on, the other stops."""
    assert isinstance(medium.ring, MappedRing)
    other = LibbpfRing(medium.handover.ring)
    try:
        first = forked(lambda: os._exit(1))
        os.waitpid(first, 0)
        medium.one(Exit, first)
        second = forked(lambda: os._exit(2))
        os.waitpid(second, 0)
        medium.records.clear()
        medium.events.clear()
        medium.ring, mapped = other, medium.ring
        assert medium.one(Fork, second).birth_pid == os.getpid()
        assert medium.one(Exit, second).status == 2 << 8
        medium.ring = mapped
        medium.drain()
        assert not medium.all(Exit, first)
    finally:
        other.close()
        other.close()


def test_libbpf_hands_over_no_more_than_asked_for(medium: Tracer) -> None:
    other = LibbpfRing(medium.handover.ring)
    medium.drain()
    pid = forked(lambda: os._exit(1))
    os.waitpid(pid, 0)
    assert other.waiting()
    assert len(other.drain(1)) == 1
    assert other.waiting()
    assert other.drain(100)
    other.close()


def test_the_counters_can_be_looked_at_and_not_written(tracer: Tracer) -> None:
    descriptor = tracer.handover.lost
    with pytest.raises(PermissionError):
        mmap.mmap(descriptor, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    key, value = ctypes.c_uint32(wire.FORK), ctypes.c_uint64(7)
    attributes = (ctypes.c_uint64 * 4)(descriptor, ctypes.addressof(key), ctypes.addressof(value), 0)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.syscall(number(), MAP_UPDATE, attributes, 32) != 0
    assert ctypes.get_errno() == 1
    assert libc.syscall(number(), MAP_LOOKUP, attributes, 32) == 0
    assert value.value != 7


def test_what_the_kernel_skipped_is_lost_and_named_by_its_program(
    tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = Losses(tracer.handover.lost, tracer.handover.programs)
    assert {skipped_runs(info) for info in losses.infos.values()} == {0}
    losses.since_last(0)
    skipping = losses.infos["on_exec"]
    monkeypatch.setattr("pipeline.sources.ebpf.losses.skipped_runs", lambda info: 3 if info == skipping else 0)
    assert losses.since_last(10**9 - 1) == {}
    assert losses.since_last(10**9) == {wire.EXEC: 3}
    assert losses.since_last(2 * 10**9) == {}
    losses.close()
