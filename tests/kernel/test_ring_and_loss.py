"""No record is lost without being counted, none is handed over twice, and the agent can only look."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
from collections import Counter

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


def _fork_on_every_cpu() -> None:
    mine = os.sched_getaffinity(0)
    for cpu in mine:
        os.sched_setaffinity(0, {cpu})
        os.waitpid(forked(lambda: None), 0)
    os.sched_setaffinity(0, mine)


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
