"""What runs already: the walk over the kernel's tasks, at the start and, to repair, after a loss.

Rules of this file:
- the probes are on before the first walk begins, so that nothing falls between; what they tell during that walk is held
  back and comes after it: whoever reads the stream knows every older process before the first event;
- a later walk is made in steps between which the ring is drained as ever: what it finds comes through the same ring, in
  its place among the events;
- a walk that lost its place begins again; a process found twice is told once, as it was last;
- what is held back is bounded in bytes; what does not fit any more is counted by kind, never dropped in silence.
"""

from __future__ import annotations

from collections import Counter
from struct import Struct
from typing import Protocol

from pipeline import wire
from pipeline.errors import HostError
from pipeline.sources.ebpf.ring import Ring, unfinished

MORE, END, BEGIN_AGAIN, FULL = range(4)  # enum snapshot_answer of bpf/snapshot.bpf.c
HELD_BYTES_MAX = 64 * 1024 * 1024
BEGINNINGS_MAX = 10_000
DRAIN_EVERY = 64  # tasks; so many records are at most a few hundred KiB
RECORDS_MAX = 4096
FULL_MAX = 1_000_000
LOOKS_MAX = 1_000_000  # a second and more, for what takes microseconds

_identity = Struct("<II Q")  # pid, tid, start_ns: the beginning of struct lineage_task
_thread_identity = Struct("<II QQ")  # pid, tid, start_ns, thread_start_ns
_flags = Struct("<I")
_TASK_AT = wire.LAYOUT["exec"]["task"][0]
_THREAD_AT = wire.LAYOUT["thread"]["pid"][0]
_FLAGS_AT = wire.LAYOUT["header"]["flags"][0]


class Walkable(Protocol):
    def run(self, argument: int) -> int:
        """0 begins, 1 goes on; returns one of MORE, END, BEGIN_AGAIN, FULL."""
        ...


class TooBusy(HostError):  # noqa: N818 - a state of the host, not a mistake
    """A walk that had to begin again too often: processes end at its place faster than it gets on."""


class Walk:
    """One walk, as many steps at a time as the caller likes. Ends by itself, or raises ``TooBusy`` or ``HostError``."""

    def __init__(self, program: Walkable) -> None:
        self._program = program
        self._argument = 0
        self._beginnings = 0
        self._full = 0
        self.ended = False

    def steps(self, steps_max: int) -> None:
        """Until the end, a full ring, or so many tasks."""
        for _ in range(steps_max):
            try:
                answer = self._program.run(self._argument)
            except OSError as error:
                mend = "kernel.unprivileged_bpf_disabled needs a kernel since 5.19; please report this"
                raise HostError(f"the kernel does not run the snapshot program ({error.strerror})", mend) from error
            if answer == END:
                self.ended = True
                return
            if answer == FULL:
                self._full += 1
            elif answer == BEGIN_AGAIN:
                self._argument, self._beginnings = 0, self._beginnings + 1
            else:
                self._argument = 1
            if self._beginnings > BEGINNINGS_MAX or self._full > FULL_MAX:
                raise TooBusy("processes come and go faster than they can be listed", "start again when it is calmer")
            if answer == FULL:
                return


class Found:
    """One process of the snapshot: its record, and what is needed to ask /proc about it."""

    __slots__ = ("flags", "pid", "record", "start_ns")

    def __init__(self, record: bytes) -> None:
        self.record = record
        self.pid, _, self.start_ns = _identity.unpack_from(record, _TASK_AT)
        (self.flags,) = _flags.unpack_from(record, _FLAGS_AT)

    @property
    def has_command_line(self) -> bool:
        return not self.flags & (wire.KERNEL_THREAD | wire.ZOMBIE | wire.ENDING)

    @property
    def is_filtered(self) -> bool:
        return bool(self.flags & wire.FILTERED)


class Snapshot:
    """The first walk, whole: ``found`` and ``threads`` are what runs, ``held`` the records that came meanwhile."""

    def __init__(self, program: Walkable, ring: Ring, held_bytes_max: int = HELD_BYTES_MAX) -> None:
        self._walk = Walk(program)
        self._ring = ring
        self._held_bytes_max = held_bytes_max
        self._held_bytes = 0
        self._running: dict[tuple[int, int], Found] = {}
        self._threads: dict[tuple[int, int], bytes] = {}
        self.held: list[bytes] = []
        self.not_held: Counter[int] = Counter()  # by kind

    def walk(self) -> None:
        """Tell every task. Raises ``HostError`` where the kernel does not run the program, or it never ends."""
        while not self._walk.ended:
            self._walk.steps(DRAIN_EVERY)
            self._sort_in()
        end = self._ring.written()
        for _ in range(LOOKS_MAX):  # what was found may lie behind a record that another CPU has not finished
            if self._ring.has_passed(end):
                return
            self._sort_in()
        raise unfinished()

    def found(self) -> list[Found]:
        """Parents come before their children, being older."""
        return sorted(self._running.values(), key=lambda found: (found.start_ns, found.pid))

    def threads(self) -> list[bytes]:
        """Records of the threads other than leaders, whose processes are among ``found`` or have ended."""
        return list(self._threads.values())

    def _sort_in(self) -> None:
        while records := self._ring.drain(RECORDS_MAX):
            for record in records:
                kind = record[4]  # low byte of header.kind; the kernel's kinds are below 64
                if kind == wire.RUNNING:
                    found = Found(record)
                    self._running[found.pid, found.start_ns] = found
                elif kind == wire.THREAD_RUNNING:
                    _, tid, _, start_ns = _thread_identity.unpack_from(record, _THREAD_AT)
                    self._threads[tid, start_ns] = record
                elif self._held_bytes + len(record) > self._held_bytes_max:
                    self.not_held[kind] += 1
                else:
                    self._held_bytes += len(record)
                    self.held.append(record)
