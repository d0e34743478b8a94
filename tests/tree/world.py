"""A world in which things happen, and what a kernel would tell of them: events with true times, told to nobody yet.

A test hands the events out in an order of its own choice. Each record says what was true at its time: a child's birth
counts its parent's execs, and whoever lost its parent names the one that adopted it.
"""

from __future__ import annotations

from typing import Any

from pipeline.events import HostFacts, ProcessEvent
from pipeline.process import ProcessVersion
from tests.tree.history import BASH, SYSTEMD, History, Who

Told = ProcessEvent | HostFacts


class World(History):
    """A history that is written down: ``before``, what the tree finds when it begins; ``events``, what comes then."""

    def __init__(self) -> None:
        self.events: list[Told] = []
        self.everyone: list[Who] = []
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

    def exits(self, who: Who, status: int = 0, *, at: int | None = None, reaper: Who | None = None) -> None:
        """``reaper``: None is init."""
        heir = reaper or self.init
        super().exits(who, status, at=at, reaper=heir)
        for other in self.everyone:
            if other.parent is who:
                other.parent = heir
