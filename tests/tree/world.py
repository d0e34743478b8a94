"""A world in which things happen, and what a kernel would tell of them: events with true times, told to nobody yet.

A test hands the events out in an order of its own choice. Each record says what was true at its time: a child's birth
counts its parent's execs, and whoever lost its parent names the one that adopted it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.events import HostFacts, ProcessEvent
from pipeline.process import ProcessVersion
from tests.tree.history import BASH, SYSTEMD, History, Who

Told = ProcessEvent | HostFacts


class Own(NamedTuple):
    """What a thread has of its own."""

    uid: int
    groups: tuple[int, ...]
    mnt_ns: int


@dataclass
class Group:
    """The threads of a process that live."""

    has_leader: bool = True
    others: dict[int, Own] = field(default_factory=dict)  # by tid
    made: int = 0


class World(History):
    """A history that is written down: ``before``, what the tree finds when it begins; ``events``, what comes then."""

    def __init__(self) -> None:
        self.events: list[Told] = []
        self.everyone: list[Who] = []
        self.groups: dict[tuple[int, int], Group] = {}
        super().__init__()
        self.snapshot_begins()
        self.init = self.runs(SYSTEMD, pid=1, args=("/sbin/init",), session=(1, 10), group=(1, 10))
        self.shell = self.runs(BASH, self.init, pid=50, args=("-bash",), session=(50, 500), group=(50, 500))
        self.snapshot_ends()
        self.everyone += self.init, self.shell
        self.before, self.events = self.events, []

    def tell(self, event: Told) -> ProcessVersion | None:
        self.events.append(event)
        return None

    def forks(self, birth: Who, **options: Any) -> Who:
        child = super().forks(birth, **options)
        self.everyone.append(child)
        return child

    def group(self, who: Who) -> Group:
        return self.groups.setdefault(who.key, Group())

    def makes_thread(self, who: Who, maker: int) -> int:
        """Returns its tid. ``maker``: a thread of the process, which has its rights of that one."""
        group = self.group(who)
        group.made += 1
        tid = 300 + group.made
        group.others[tid] = group.others.get(maker, Own(who.uid, who.groups, who.mnt_ns))
        self.starts_thread(who, tid, birth_tid=maker)
        return tid

    def another_acts(self, who: Who, tid: int) -> None:
        """What is told of its process from now on is told of that thread, the leader having ended."""
        who.tid = tid
        who.uid, who.groups, who.mnt_ns = self.group(who).others[tid]
        who.comm = self.names[tid, who.start_ns + tid]

    def exits(self, who: Who, status: int = 0, *, at: int | None = None, reaper: Who | None = None) -> None:
        """``reaper``: None is init."""
        heir = reaper or self.init
        super().exits(who, status, at=at, reaper=heir)
        for other in self.everyone:
            if other.parent is who:
                other.parent = heir
