"""A source whose kernel is a script: what its ring, its losses and its walks tell, a test puts there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from pipeline import wire
from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.sources.clockoffset import ClockOffset
from pipeline.sources.ebpf import collector
from pipeline.sources.ebpf.collector import EbpfSource
from pipeline.sources.ebpf.launch import Handover
from pipeline.sources.ebpf.snapshot import END, MORE
from pipeline.sources.recording import kind_of
from pipeline.sources.synthetic import Synthetic


class Clock:
    now_ns = 10**12

    def boot_ns(self) -> int:
        return self.now_ns

    def wall_offset_ns(self) -> int:
        return 0


class Ring:
    """Records that are written, of which those from ``busy`` on cannot be had yet."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.drained = 0
        self.busy: int | None = None

    def written(self) -> int:
        return len(self.records)

    def has_passed(self, position: int) -> bool:
        return self.drained >= position

    def waiting(self) -> bool:
        return self.drained < len(self.records)

    def drain(self, records_max: int) -> list[bytes]:
        end = min(len(self.records), self.drained + records_max)
        end = end if self.busy is None else min(end, self.busy)
        found, self.drained = self.records[self.drained : end], end
        return found

    def close(self) -> None: ...


class Program:
    """Tells one process with each step, and is at the end after ``tasks`` of them."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.tasks = 0

    def run(self, _argument: int) -> int:
        if not self.tasks:
            return END
        self.tasks -= 1
        told = Synthetic()
        told.running("/bin/true", pid=1000 + self.tasks)
        self.ring.records.append(next(record for record in told.records if kind_of(record) == wire.RUNNING))
        return MORE


class Losses:
    def __init__(self) -> None:
        self.lost: dict[int, int] = {}
        self.since_ns = 0

    def since_last(self, _now_ns: int) -> dict[int, int]:
        lost, self.lost = self.lost, {}
        return lost

    def look_at_all(self) -> None: ...

    def close(self) -> None: ...


class Scripted:
    """A source, its clock, its ring, its losses and its program."""

    def __init__(self, source: EbpfSource, clock: Clock, ring: Ring, losses: Losses, program: Program) -> None:
        self.source = source
        self.clock = clock
        self.ring = ring
        self.losses = losses
        self.program = program

    async def kinds(self) -> list[int]:
        return [kind_of(record) for record in await self.source.receive()]

    async def rest(self) -> list[int]:
        """Until the end of the stream."""
        kinds: list[int] = []
        while True:
            try:
                kinds += await self.kinds()
            except anyio.EndOfStream:
                return kinds


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """The first walk finds nobody; the ring is waited for on a pipe that is always readable."""
    ring, losses = Ring(), Losses()
    program = Program(ring)
    monkeypatch.setattr(collector, "open_ring", lambda *_: ring)
    monkeypatch.setattr(collector, "Losses", lambda *_: losses)
    monkeypatch.setattr(collector, "Program", lambda _: program)
    reader, writer = os.pipe()
    os.write(writer, b"x")
    descriptors = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]
    handover = Handover(reader, descriptors[0], descriptors[1], descriptors[2], {}, (), (), ())
    config = Config(state_directory=tmp_path, repair_interval_s=0.001, drain_interval_ms=1)
    clock = Clock()
    offset = ClockOffset.open(tmp_path, bytes(16), clock)
    yield Scripted(EbpfSource(handover, [], offset, config, Counters(), clock), clock, ring, losses, program)
    os.close(writer)
