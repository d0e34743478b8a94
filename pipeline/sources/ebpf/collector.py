"""The source that traces this host: kernel records by eBPF, and the source's own around them.

Rules of this file:
- ``prepare`` is the only part that needs root. Everything after works unprivileged, with what it opened;
- the stream's order: host, accounts, the processes that ran already with their command lines, cgroups and threads, the
  mark, and only then the kernel's events, those from before the mark included;
- nothing is waited for while there is something to hand over; the ring is looked at every ``drain_interval_ms`` even
  if nobody calls;
- a loss is told before the records that were drained after it was seen, and repaired by looking again at all that runs.
"""

from __future__ import annotations

import os

import anyio
import anyio.lowlevel
import structlog

from pipeline import wire
from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.containers import container_of
from pipeline.counters import Counters
from pipeline.events import Clock as ClockStep
from pipeline.events import Container, Loss, SnapshotBegin, SnapshotEnd, Stamp
from pipeline.sources import hostfacts
from pipeline.sources.base import Batch
from pipeline.sources.clockoffset import ClockOffset
from pipeline.sources.containers import Lookups, open_runtime, socket_of
from pipeline.sources.containers.access import groups_of
from pipeline.sources.decode import decode_cgroup
from pipeline.sources.ebpf import launch, macros, takeoff
from pipeline.sources.ebpf.details import Details
from pipeline.sources.ebpf.launch import Handover
from pipeline.sources.ebpf.losses import Losses, LossWarning, count_lost
from pipeline.sources.ebpf.repair import Repair
from pipeline.sources.ebpf.ring import open_ring, unfinished
from pipeline.sources.ebpf.snapshot import RECORDS_MAX, Found, Snapshot, Walkable
from pipeline.sources.ebpf.syscall import CalledProgram, Program
from pipeline.sources.encode import encode

# After the first record of a batch, this long for others to join it: a wake-up of the loop and the flow behind it cost
# as much as tens of events, and while the reader is behind, the kernel spares itself the wake-ups too. At 2 MB/s of
# records, a storm of two thousand processes a second, 40 KB gather: a small part of the smallest ring.
GATHER_S = 0.02
PROCESSES_AT_ONCE = 256  # told before the loop may do something else
FINAL_LOOKS = 20  # for records still being written when the probes came off

log = structlog.get_logger()


def _container_lookups(config: Config, counters: Counters) -> tuple[Lookups | None, tuple[int, ...]]:
    """And the groups that they need. Raises ``HostError`` where no group could reach the configured socket."""
    if config.container_runtime is None:
        return None, ()
    groups = groups_of(socket_of(config.container_runtime))
    return Lookups(open_runtime(config.container_runtime), counters), groups


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
        lookups: Lookups | None = None,
        groups: tuple[int, ...] = (),
    ) -> None:
        """Takes over the descriptors and the clock's file. ``prelude`` is what the stream begins with.

        ``lookups`` asks the container runtime, for which the agent needs ``groups``.
        """
        self.groups = groups
        self._lookups = lookups
        self._links = list(handover.links)
        self._calls = list(handover.calls)
        self._descriptors = [handover.ring, handover.lost, handover.snapshot, handover.answers]
        self._descriptors += handover.programs.values()
        self._ring_descriptor = handover.ring
        self._ring = open_ring(handover.ring, config.ring_bytes)
        self._losses = Losses(handover.lost, handover.programs, handover.began_ns)
        self._loss_warning = LossWarning()
        self._called = CalledProgram(handover.answers) if launch.needs_snapshot_call() else None
        program: Walkable = self._called or Program(handover.snapshot)
        self._snapshot: Snapshot | None = Snapshot(program, self._ring)
        self._walk_end: int | None = None  # where the ring's writer was when the last walk had told all
        self._repair = Repair(program, config.repair_interval_s, counters)
        self._clock_offset = clock_offset
        self._counters = counters
        self._clock = clock
        self._interval_s = config.drain_interval_ms / 1000
        self._gather_s = min(GATHER_S, self._interval_s)
        self._ready: list[Batch] = [prelude]
        self._sequence = len(prelude)
        self._details = Details(lambda kind: self._stamp(kind, clock.boot_ns()), counters)
        self._walks_always = config.tree_source == "signals"  # else after a loss
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
        lookups, groups = _container_lookups(config, counters)
        defines = macros.macros(config)
        clock_offset = ClockOffset.open(config.state_directory, hostfacts.boot_id(), clock)
        try:
            host = hostfacts.host_record(Stamp(clock.boot_ns(), 0, 0, wire.HOST), clock_offset.offset_ns)
            accounts = hostfacts.accounts(Stamp(clock.boot_ns(), 0, 1, wire.ACCOUNT))
            prelude = [encode(host), *map(encode, accounts)]
            log.info("compiling the eBPF programs, a few seconds ...")
            handover = launch.start(defines, kernel_headers=config.kernel_headers, debug=debug)
        except BaseException:
            clock_offset.close()
            raise
        if handover.missing:
            log.warning("changes are told late: this kernel has no tracepoints of", calls=" ".join(handover.missing))
        return cls(handover, prelude, clock_offset, config, counters, clock, lookups, groups)

    async def run(self) -> None:
        """Ask the container runtime; its answers join the stream."""
        if self._lookups is not None:
            await self._lookups.run()

    async def receive(self) -> Batch:
        while True:
            if self._ready:
                return self._ready.pop(0)
            if self._ended:
                raise anyio.EndOfStream
            if self._snapshot is not None and not self._finishing:
                await self._tell_snapshot(self._snapshot)
                continue
            batch = self._drain()
            if batch:
                await anyio.lowlevel.checkpoint()
                return batch
            if self._finishing:
                await self._see_off()
            elif self._repair.walking or self._walk_end is not None:
                await anyio.lowlevel.checkpoint()
            else:
                await self._wait()

    def finish(self) -> None:
        """Take the probes off; what they have told so far is still handed over."""
        if not self._finishing:
            takeoff.take_off(self._links, self._calls)
            self._repair.give_up()
            self._walk_end = None
        self._finishing = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def aclose(self) -> None:
        self._ended = True
        self._ready.clear()
        if self._lookups is not None:
            await self._lookups.aclose()
        if self._descriptors:
            self._ring.close()
            self._losses.close()
            if self._called is not None:
                self._called.close()
            self._clock_offset.close()
        self._close(self._links)
        takeoff.close_elsewhere(self._calls)
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
        """What the source has to say about the records, the records, and what it has to say after them."""
        now_ns = self._clock.boot_ns()
        batch: Batch = []
        offset_ns = self._clock_offset.check()
        if offset_ns is not None:
            self._counters.clock_steps += 1
            batch.append(encode(ClockStep(self._stamp(wire.CLOCK, now_ns), offset_ns)))
        if not self._finishing:
            self._go_on_repairing(now_ns, batch)
        records = self._ring.drain(RECORDS_MAX)
        self._tell_losses(batch)  # now: what comes with these records, or before, is marked before them
        self._loss_warning.tell(now_ns)
        batch += records
        if self._walk_end is not None or self._repair.walking:
            for record in records:
                if record[4] == wire.RUNNING:
                    batch += self._details.of(Found(record), again=True)
        if self._walk_end is not None and self._ring.has_passed(self._walk_end):
            self._walk_end = None
            batch.append(encode(SnapshotEnd(self._stamp(wire.SNAPSHOT_END, self._clock.boot_ns()))))
        if self._lookups is not None:
            self._look_up(self._lookups, batch)
        return batch

    def _go_on_repairing(self, now_ns: int, batch: Batch) -> None:
        """Begin a walk if one is due, with its mark, and have some tasks told through the ring.

        The mark at its end waits until all that it has told is out of the ring, which may lie behind a record that
        another processor has not finished: who is not found by that mark is taken to have ended.
        """
        if self._walks_always:
            self._repair.want()
        if self._walk_end is None and self._repair.begin(now_ns):
            batch.append(encode(SnapshotBegin(self._stamp(wire.SNAPSHOT_BEGIN, self._clock.boot_ns()))))
        if self._repair.walking and self._repair.step(now_ns):
            self._walk_end = self._ring.written()

    def _look_up(self, lookups: Lookups, batch: Batch) -> None:
        """Ask about containers that the batch is the first to name, and add what is known of those before."""
        for record in batch:
            if record[4] == wire.CGROUP:
                container = container_of(decode_cgroup(record).path)
                if container is not None:
                    lookups.want(container.id)
        for container_id, facts in lookups.take():
            stamp = self._stamp(wire.CONTAINER, self._clock.boot_ns())
            batch.append(encode(Container(stamp, container_id, facts)))

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
        raise unfinished()

    async def _tell_snapshot(self, snapshot: Snapshot) -> None:
        began_ns = self._clock.boot_ns()
        batch: Batch = [encode(SnapshotBegin(self._stamp(wire.SNAPSHOT_BEGIN, began_ns)))]
        snapshot.walk()
        found = snapshot.found()
        for at in range(0, len(found), PROCESSES_AT_ONCE):
            for each in found[at : at + PROCESSES_AT_ONCE]:
                batch.append(each.record)
                batch += self._details.of(each, again=False)
            await anyio.lowlevel.checkpoint()
        batch += snapshot.threads()
        batch.append(encode(SnapshotEnd(self._stamp(wire.SNAPSHOT_END, self._clock.boot_ns()))))
        self._ready.append(batch)
        if self._lookups is not None:
            self._look_up(self._lookups, batch)
        losses: Batch = []
        if snapshot.not_held:
            losses.append(self._loss(snapshot.not_held, began_ns))
        self._tell_losses(losses)
        if losses:
            self._ready.append(losses)
        if snapshot.held:
            if self._lookups is not None:
                self._look_up(self._lookups, snapshot.held)
            self._ready.append(snapshot.held)
        self._snapshot = None

    def _tell_losses(self, batch: Batch) -> None:
        lost = self._losses.since_last(self._clock.boot_ns())
        if lost:
            batch.append(self._loss(lost, self._losses.since_ns))

    def _loss(self, lost: dict[int, int], since_ns: int) -> bytes:
        """They were lost between ``since_ns`` and now."""
        count_lost(self._counters, lost)
        self._loss_warning.add(sum(lost.values()))
        self._repair.want()
        return encode(Loss(self._stamp(wire.LOSS, self._clock.boot_ns()), since_ns, dict(lost)))

    def _stamp(self, kind: int, time_ns: int) -> Stamp:
        stamp = Stamp(time_ns, 0, self._sequence, kind)
        self._sequence += 1
        return stamp

    @staticmethod
    def _close(descriptors: list[int]) -> None:
        while descriptors:
            os.close(descriptors.pop())
