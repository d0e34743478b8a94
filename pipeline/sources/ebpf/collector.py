"""The source that traces this host: kernel records by eBPF, and the source's own around them.

Rules of this file:
- ``prepare`` is the only part that needs root. Everything after works unprivileged, with what it opened;
- the stream's order: host, accounts, the processes that ran already with their command lines, the mark, and only then
  the kernel's events, those from before the mark included;
- nothing is waited for while there is something to hand over; the ring is looked at every ``drain_interval_ms`` even
  if nobody calls;
- a loss is told before the records that were drained after it was seen.
"""

from __future__ import annotations

import mmap
import os
import platform

import anyio
import anyio.lowlevel

from pipeline import wire
from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.errors import HostError
from pipeline.events import Clock as ClockStep
from pipeline.events import Loss, SnapshotEnd, Stamp
from pipeline.sources import hostfacts, procfs
from pipeline.sources.base import Batch
from pipeline.sources.clockoffset import ClockOffset
from pipeline.sources.ebpf import launch, offsets
from pipeline.sources.ebpf.launch import Handover
from pipeline.sources.ebpf.losses import NAMES, Losses
from pipeline.sources.ebpf.ring import open_ring
from pipeline.sources.ebpf.snapshot import RECORDS_MAX, Found, Snapshot
from pipeline.sources.ebpf.syscall import Program
from pipeline.sources.encode import command_line, encode

# After the first record of a batch, this long for others to join it: a wake-up of the loop and the flow behind it cost
# as much as tens of events, and while the reader is behind, the kernel spares itself the wake-ups too. At 2 MB/s of
# records, a storm of two thousand processes a second, 40 KB gather: a small part of the smallest ring.
GATHER_S = 0.02
PROCESSES_AT_ONCE = 256  # told before the loop may do something else
FINAL_LOOKS = 20  # for records still being written when the probes came off
UNPRIVILEGED_SNAPSHOT = (5, 19)  # before, an unprivileged process was refused any bpf() at all


class EbpfSource:
    """``EbpfSource.prepare(...)`` as root, then drop privileges, then ``receive`` until ``anyio.EndOfStream``."""

    def __init__(
        self,
        handover: Handover,
        prelude: Batch,
        clock_offset: ClockOffset,
        config: Config,
        counters: Counters,
        clock: Clock,
    ) -> None:
        """Takes over the descriptors and the clock's file. ``prelude`` is what the stream begins with."""
        self._links = list(handover.links)
        self._descriptors = [handover.ring, handover.lost, handover.snapshot, *handover.programs.values()]
        self._ring_descriptor = handover.ring
        self._ring = open_ring(handover.ring, config.ring_bytes)
        self._losses = Losses(handover.lost, handover.programs)
        self._snapshot: Snapshot | None = Snapshot(Program(handover.snapshot), self._ring)
        self._clock_offset = clock_offset
        self._counters = counters
        self._clock = clock
        self._interval_s = config.drain_interval_ms / 1000
        self._gather_s = min(GATHER_S, self._interval_s)
        self._ready: list[Batch] = [prelude]
        self._sequence = len(prelude)
        self._looked_ns = clock.boot_ns()
        self._finishing = False
        self._ended = False
        self._waiting: anyio.CancelScope | None = None

    def __repr__(self) -> str:
        state = "ended" if self._ended else "finishing" if self._finishing else "tracing"
        return f"<EbpfSource {state}{', snapshot to come' if self._snapshot else ''}>"

    @classmethod
    def prepare(cls, config: Config, counters: Counters, clock: Clock, *, debug: bool = False) -> EbpfSource:
        """Load, attach and open, as root. Raises ``HostError`` with the mend for each thing the host may lack."""
        launch.require_root()
        hostfacts.require_initial_pid_namespace()
        defines = offsets.offsets() | {"RING_PAGES": max(1, config.ring_bytes // mmap.PAGESIZE)}
        clock_offset = ClockOffset.open(config.state_directory, hostfacts.boot_id(), clock)
        try:
            host = hostfacts.host_record(Stamp(clock.boot_ns(), 0, 0, wire.HOST), clock_offset.offset_ns)
            accounts = hostfacts.accounts(Stamp(clock.boot_ns(), 0, 1, wire.ACCOUNT))
            prelude = [encode(host), *map(encode, accounts)]
            handover = launch.start(defines, kernel_headers=config.kernel_headers, debug=debug)
        except BaseException:
            clock_offset.close()
            raise
        source = cls(handover, prelude, clock_offset, config, counters, clock)
        if launch.kernel_version(platform.release()) < UNPRIVILEGED_SNAPSHOT and source._snapshot is not None:
            source._snapshot.walk()
        return source

    async def receive(self) -> Batch:
        while True:
            if self._ready:
                return self._ready.pop(0)
            if self._ended:
                raise anyio.EndOfStream
            if self._snapshot is not None:
                await self._tell_snapshot(self._snapshot)
                continue
            batch = self._drain()
            if batch:
                await anyio.lowlevel.checkpoint()
                return batch
            if self._finishing:
                await self._see_off()
            else:
                await self._wait()

    def finish(self) -> None:
        """Take the probes off; what they have told so far is still handed over."""
        self._finishing = True
        self._close(self._links)
        if self._waiting is not None:
            self._waiting.cancel()

    async def aclose(self) -> None:
        self._ended = True
        self._ready.clear()
        if self._descriptors:
            self._ring.close()
            self._losses.close()
            self._clock_offset.close()
        self._close(self._links)
        self._close(self._descriptors)

    async def _wait(self) -> None:
        """Until the ring has something and others could join it, the interval is over, or the end is asked for."""
        with anyio.CancelScope() as scope:
            self._waiting = scope
            try:
                with anyio.move_on_after(self._interval_s) as timeout:
                    await anyio.wait_readable(self._ring_descriptor)
                if not timeout.cancelled_caught:
                    await anyio.sleep(self._gather_s)
            finally:
                self._waiting = None

    def _drain(self) -> Batch:
        """What the source has to say about the records, then the records."""
        now_ns = self._clock.boot_ns()
        batch: Batch = []
        offset_ns = self._clock_offset.check()
        if offset_ns is not None:
            self._counters.clock_steps += 1
            batch.append(encode(ClockStep(self._stamp(wire.CLOCK, now_ns), offset_ns)))
        lost = self._losses.since_last(now_ns)
        if lost:
            batch.append(self._loss(lost, now_ns))
        self._looked_ns = now_ns
        batch += self._ring.drain(RECORDS_MAX)
        return batch

    async def _see_off(self) -> None:
        """The probes are off and the ring looked empty: wait for records still being written on another CPU."""
        for _ in range(FINAL_LOOKS):
            self._losses.look_at_all()
            batch = self._drain()
            if batch:
                self._ready.append(batch)
            elif not self._ring.waiting():
                self._ended = True
                return
            else:
                await anyio.sleep(self._gather_s)
        raise HostError("the kernel never finished a record", "please report this with `uname -r`")

    async def _tell_snapshot(self, snapshot: Snapshot) -> None:
        if not snapshot.walked:
            snapshot.walk()
        batch: Batch = []
        for number, found in enumerate(snapshot.found(), 1):
            batch.append(found.record)
            if found.has_command_line:
                self._tell_command_line(found, batch)
            if number % PROCESSES_AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
        batch.append(encode(SnapshotEnd(self._stamp(wire.SNAPSHOT_END, self._clock.boot_ns()))))
        self._ready.append(batch)
        if snapshot.not_held:
            self._ready.append([self._loss(snapshot.not_held, self._clock.boot_ns())])
        if snapshot.held:
            self._ready.append(snapshot.held)
        self._snapshot = None

    def _tell_command_line(self, found: Found, batch: Batch) -> None:
        line = procfs.command_line(found.pid, found.start_ns)
        if line is None:
            self._counters.unnamed_processes += 1
            return
        stamp = self._stamp(wire.COMMAND_LINE, self._clock.boot_ns())
        batch.append(command_line(stamp, found.pid, found.start_ns, line.raw, line.total))

    def _loss(self, lost: dict[int, int], now_ns: int) -> bytes:
        for kind, count in lost.items():
            self._counters.lost_records[NAMES.get(kind, str(kind))] += count
        return encode(Loss(self._stamp(wire.LOSS, now_ns), self._looked_ns, dict(lost)))

    def _stamp(self, kind: int, time_ns: int) -> Stamp:
        stamp = Stamp(time_ns, 0, self._sequence, kind)
        self._sequence += 1
        return stamp

    @staticmethod
    def _close(descriptors: list[int]) -> None:
        while descriptors:
            os.close(descriptors.pop())
