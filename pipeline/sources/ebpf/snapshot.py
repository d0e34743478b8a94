"""What runs already: the walk over the kernel's processes, and what happens meanwhile, kept apart.

Rules of this file:
- the probes are on before the walk begins, so that nothing falls between; what they tell during the walk is held back
  and comes after it: whoever reads the stream knows every older process before the first event;
- a walk that lost its place begins again; a process found twice is told once, as it was last;
- what is held back is bounded in bytes; what does not fit any more is counted by kind, never dropped in silence.
"""

from __future__ import annotations

from collections import Counter
from struct import Struct
from typing import Protocol

from pipeline import wire
from pipeline.errors import HostError
from pipeline.sources.ebpf.ring import Ring

MORE, END, BEGIN_AGAIN, FULL = range(4)  # enum snapshot_answer of bpf/snapshot.bpf.c
HELD_BYTES_MAX = 64 * 1024 * 1024
BEGINNINGS_MAX = 10_000
DRAIN_EVERY = 64  # processes; so many records are at most a few hundred KiB
RECORDS_MAX = 4096
_FULL_MAX = 1_000_000

_identity = Struct("<II Q")  # pid, tid, start_ns: the beginning of struct lineage_task
_flags = Struct("<I")
_TASK_AT = wire.LAYOUT["exec"]["task"][0]
_FLAGS_AT = wire.LAYOUT["header"]["flags"][0]


class Walkable(Protocol):
    def run(self, argument: int) -> int:
        """0 begins, 1 goes on; returns one of MORE, END, BEGIN_AGAIN, FULL."""
        ...


class Found:
    """One process of the snapshot: its record, and what is needed to ask /proc about it."""

    __slots__ = ("flags", "pid", "record", "start_ns")

    def __init__(self, record: bytes) -> None:
        self.record = record
        self.pid, _, self.start_ns = _identity.unpack_from(record, _TASK_AT)
        (self.flags,) = _flags.unpack_from(record, _FLAGS_AT)

    @property
    def has_command_line(self) -> bool:
        return not self.flags & (wire.KERNEL_THREAD | wire.ZOMBIE)


class Snapshot:
    """``walk`` once; then ``found`` are the processes, oldest first, and ``held`` the records that came meanwhile."""

    def __init__(self, program: Walkable, ring: Ring, held_bytes_max: int = HELD_BYTES_MAX) -> None:
        self._program = program
        self._ring = ring
        self._held_bytes_max = held_bytes_max
        self._held_bytes = 0
        self._running: dict[tuple[int, int], Found] = {}
        self.held: list[bytes] = []
        self.not_held: Counter[int] = Counter()  # by kind
        self.walked = False

    def walk(self) -> None:
        """Tell every process. Raises ``HostError`` where the kernel does not run the program, or it never ends."""
        argument, calls, beginnings, full = 0, 0, 0, 0
        while True:
            try:
                answer = self._program.run(argument)
            except OSError as error:
                mend = "kernel.unprivileged_bpf_disabled needs a kernel since 5.19; please report this"
                raise HostError(f"the kernel does not run the snapshot program ({error.strerror})", mend) from error
            calls += 1
            if answer == END:
                break
            if answer == BEGIN_AGAIN:
                argument, beginnings = 0, beginnings + 1
            elif answer == FULL:
                full += 1
            else:
                argument = 1
            if answer == FULL or calls % DRAIN_EVERY == 0:
                self._sort_in()
            if beginnings > BEGINNINGS_MAX or full > _FULL_MAX:
                raise HostError("processes come and go faster than they can be listed", "start again when it is calmer")
        self._sort_in()
        self.walked = True

    def found(self) -> list[Found]:
        """Parents come before their children, being older."""
        return sorted(self._running.values(), key=lambda found: (found.start_ns, found.pid))

    def _sort_in(self) -> None:
        while records := self._ring.drain(RECORDS_MAX):
            for record in records:
                if record[4] == wire.RUNNING:  # low byte of header.kind; the kernel's kinds are below 64
                    found = Found(record)
                    self._running[found.pid, found.start_ns] = found
                elif self._held_bytes + len(record) > self._held_bytes_max:
                    self.not_held[record[4]] += 1
                else:
                    self._held_bytes += len(record)
                    self.held.append(record)
