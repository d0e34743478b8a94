"""What a process did: bounded lists by kind, beside what it was (``history``). ``changes.artifacts`` feeds them.

Rules of this file:
- At most ``artifacts_max`` of a kind and process; the oldest go first, and are counted: in the answer, and in
  ``counters.artifacts_dropped``. While more processes live than ``processes_max``, none are added.
- They stand in the order of their times, whatever the order in which they were told of.
- What was executed is not noted again: the versions tell it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from pipeline.events import Credentials
from pipeline.process import Image

Kind = Literal["files", "connections", "mounts", "modules", "credentials"]
KINDS: tuple[Kind, ...] = ("files", "connections", "mounts", "modules", "credentials")
"""Those that have a place. The collector tells of credentials; of files, what was executed."""


class Artifact(NamedTuple):
    time_ns: int
    kind: Kind
    action: str  # what was done: changed, executed ...
    tid: int  # the thread that did it
    about: Credentials | Image  # kept once, with the version or the thread that has it

    @property
    def details(self) -> Iterator[tuple[str, Any]]:
        """Name and value, by ECS names."""
        for name, field in _DETAILS[self.kind]:
            yield name, field(self.about)


_DETAILS: dict[Kind, tuple[tuple[str, Callable[[Any], Any]], ...]] = {
    "credentials": (
        ("user.id", attrgetter("uid")),
        ("user.effective.id", attrgetter("euid")),
        ("group.id", attrgetter("gid")),
        ("group.effective.id", attrgetter("egid")),
        ("thread.capabilities.effective", attrgetter("cap_effective")),
    ),
    "files": (
        ("file.path", attrgetter("executable")),
        ("file.inode", attrgetter("file.inode")),
        ("file.device", attrgetter("file.device")),
    ),
}


TOLD_OF: tuple[Kind, ...] = tuple(_DETAILS)
"""Kinds that some event, or the versions, tell of."""


class Artifacts:
    """Those of one process."""

    __slots__ = ("dropped", "noted")

    def __init__(self) -> None:
        self.noted: list[Artifact] = []  # of all kinds: most processes have a few, and a list each would be dear
        self.dropped: dict[Kind, int] | None = None  # None: none

    def of(self, kind: Kind) -> list[Artifact]:
        return [one for one in self.noted if one.kind == kind]

    def add(self, artifact: Artifact, artifacts_max: int) -> int:
        """Returns how many had to go for it; with ``artifacts_max`` 0, itself."""
        if artifacts_max:
            insort(self.noted, artifact, key=_time)
            of_this_kind = self.of(artifact.kind) if len(self.noted) > artifacts_max else []
            if len(of_this_kind) <= artifacts_max:
                return 0
            self.noted.remove(of_this_kind[0])
        self.dropped = self.dropped or {}
        self.dropped[artifact.kind] = self.dropped.get(artifact.kind, 0) + 1
        return 1


_time = attrgetter("time_ns")
