"""Real probes and what they told so far: loaded once, drained by whoever asks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.events import Event, Running
from pipeline.sources.decode import decode, decode_batch
from pipeline.sources.ebpf import launch, macros, takeoff
from pipeline.sources.ebpf.losses import Losses
from pipeline.sources.ebpf.ring import open_ring
from pipeline.sources.ebpf.snapshot import Snapshot
from pipeline.sources.ebpf.syscall import Program

DEADLINE_S = 30
TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
Kind = TypeVar("Kind", bound=Event)


class Tracer:
    def __init__(self, ring_bytes: int, config: Config | None = None) -> None:
        self.ring_bytes = ring_bytes
        defines = macros.macros(config or Config(state_directory=Path("/nowhere")))
        self.handover = launch.start(defines | macros.sizes(ring_bytes), debug=True)
        self.ring = open_ring(self.handover.ring, ring_bytes)
        self.losses = Losses(self.handover.lost, self.handover.programs)
        self.counters = Counters()
        self.records: list[bytes] = []
        self.events: list[Event] = []

    def close(self) -> None:
        self.ring.close()
        self.losses.close()
        held = self.handover
        links, calls = list(held.links), list(held.calls)
        takeoff.take_off(links, calls)
        takeoff.close_elsewhere(calls)
        for descriptor in (held.ring, held.lost, held.snapshot, held.answers, *held.programs.values()):
            os.close(descriptor)

    def begin(self) -> None:
        """Forget what was told so far."""
        self.drain()
        self.records.clear()
        self.events.clear()

    def drain(self) -> None:
        while new := self.ring.drain(100_000):
            self.records += new
            self.events += decode_batch(new, self.counters)

    def until(self, told: Callable[[], object]) -> None:
        """Drain until ``told`` is true. Raises AssertionError where that takes too long."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            self.drain()
            if told():
                return
            if time.monotonic() > deadline:
                raise AssertionError("the kernel never told")
            time.sleep(0.005)

    def all(self, kind: type[Kind], pid: int) -> list[Kind]:
        return [event for event in self.events if type(event) is kind and _pid(event) == pid]

    def one(self, kind: type[Kind], pid: int) -> Kind:
        """The only event of that kind about that process; waits for it."""
        self.until(lambda: self.all(kind, pid))
        (event,) = self.all(kind, pid)
        return event

    def record_of(self, event: Event) -> bytes:
        """The bytes that the event was decoded from."""
        return next(record for record in self.records if decode(record) == event)

    def snapshot(self) -> dict[int, Running]:
        """Who runs now, by pid."""
        snapshot = Snapshot(Program(self.handover.snapshot), self.ring)
        snapshot.walk()
        self.records += snapshot.held
        self.events += decode_batch(snapshot.held, self.counters)
        told = decode_batch([found.record for found in snapshot.found()], self.counters)
        return {event.task.pid: event for event in told if isinstance(event, Running)}


def _pid(event: Event) -> int:
    task = getattr(event, "task", None)
    return getattr(event, "pid", 0) if task is None else task.pid
