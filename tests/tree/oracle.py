"""A naive oracle of the tree: it keeps every event for ever and answers by scanning. It shares no code with that."""

from __future__ import annotations

from dataclasses import dataclass

Key = tuple[int, int]
UNKNOWN = "unknown_parent"
EVICTED = "evicted"
LOSS = "loss"
SNAPSHOT = "snapshot"


@dataclass(frozen=True)
class Happened:
    what: str  # born, seen (by a record of its own), found (by a walk), exec, exit, closed
    key: Key
    parent: Key | None = None
    name: str = ""
    status: int = 0
    doubt: frozenset[str] = frozenset()


class Oracle:
    """Everything that was told, with its place in the order, by process; and what a loss left open."""

    def __init__(self) -> None:
        self.length = 0
        self.log: dict[Key, list[tuple[int, Happened]]] = {}
        self.present: dict[Key, Key | None] = {}  # the parent that was told last
        self.loss_seen = False
        self.unsure: set[Key] = set()  # images: an exec may have been missed
        self.born_unsure: dict[Key, Key] = {}  # child -> parent that was unsure then, and may still be confirmed
        self.never_sure: set[Key] = set()  # children whose parent cannot be confirmed any more
        self.ended_unsure: set[Key] = set()

    def add(self, happened: Happened) -> None:
        self.log.setdefault(happened.key, []).append((self.length, happened))
        self.length += 1

    def born(self, key: Key, parent: Key, *, late: bool = False) -> None:
        self.add(Happened("born", key, parent))
        if parent in self.unsure:
            self.born_unsure[key] = parent
        if parent in self.ended_unsure:
            self.never_sure.add(key)
        if parent in self.unsure | self.ended_unsure and not late:
            self.unsure.add(key)  # its image is its parent's

    def executed(self, key: Key, name: str) -> None:
        self.add(Happened("exec", key, name=name))
        self._is_sure(key, confirmed=False)

    def ended(self, key: Key, status: int | None, reaper: Key | None) -> None:
        """Status None: a walk found that it had ended."""
        self.add(Happened("closed", key) if status is None else Happened("exit", key, status=status))
        if key in self.unsure:
            self.ended_unsure.add(key)
        self._is_sure(key, confirmed=False)
        for child, parent in self.present.items():
            if parent == key and self.lives(child) and reaper is not None:
                self.present[child] = reaper

    def interrupted(self) -> None:
        """Execs were lost."""
        self.loss_seen = True
        self.unsure = {key for key in self.log if self.lives(key)}

    def looked_at(self, key: Key, missed: str | None) -> None:
        """A walk came to it. ``missed``: the exec that nobody told of."""
        if missed is not None:
            self.add(Happened("exec", key, name=missed))
        self._is_sure(key, confirmed=missed is None)

    def _is_sure(self, key: Key, *, confirmed: bool) -> None:
        if key not in self.unsure:
            return
        self.unsure.discard(key)
        children = {child for child, parent in self.born_unsure.items() if parent == key}
        for child in children:
            del self.born_unsure[child]
        if not confirmed:
            self.never_sure |= children

    def lives(self, key: Key) -> bool:
        return not any(h.what in ("exit", "closed") for _, h in self.log[key])

    def _birth(self, key: Key) -> tuple[int, Happened]:
        """A birth that was told goes before what was only seen."""
        found = [(at, h) for at, h in self.log[key] if h.what in ("born", "seen", "found")]
        return next(((at, h) for at, h in found if h.what == "born"), found[0])

    def name(self, key: Key, until: int) -> str:
        for at, happened in reversed(self.log[key]):
            if at < until and happened.what in ("exec", "found"):
                return happened.name
        at, birth = self._birth(key)
        if birth.parent is None or birth.name:
            return birth.name
        return self.name(birth.parent, at)

    def has_image(self, key: Key, until: int) -> bool:
        """Or a name from comm and nothing else: nobody told of an image, neither its own nor one it was born with."""
        if any(at < until and happened.what in ("exec", "found") for at, happened in self.log[key]):
            return True
        at, birth = self._birth(key)
        return not birth.doubt if birth.parent is None else self.has_image(birth.parent, at)

    def chain(self, key: Key) -> list[str]:
        """Nearest ancestor first."""
        at, birth = self._birth(key)
        if birth.parent is None:
            return []
        return [self.name(birth.parent, at), *self.chain(birth.parent)]

    def parent(self, key: Key) -> Key | None:
        return self._birth(key)[1].parent

    def doubts(self, key: Key) -> set[str]:
        own = {LOSS} if key in self.unsure | self.ended_unsure else set()
        return own | self._lineage_doubts(key)

    def _lineage_doubts(self, key: Key) -> set[str]:
        birth = self._birth(key)[1]
        own = set(birth.doubt) | ({LOSS} if key in self.born_unsure or key in self.never_sure else set())
        return own | (self._lineage_doubts(birth.parent) if birth.parent else set())

    def root(self, key: Key) -> Key:
        parent = self.parent(key)
        return key if parent is None else self.root(parent)

    def previous(self, key: Key) -> list[str]:
        """Names of earlier images, newest first."""
        images = [h.name for _, h in self.log[key] if h.what in ("exec", "found")]
        at, first = self.log[key][0]
        if images and first.what == "born" and self.has_image(key, at + 1):
            images.insert(0, self.name(key, at + 1))
        return images[-2::-1]

    def end(self, key: Key) -> int | None:
        ends = [h.status for _, h in self.log[key] if h.what == "exit"]
        return ends[0] if ends else None

    def must_be_known(self, gone: set[Key]) -> set[Key]:
        """What lives, and whatever is above it, up to what was allowed to go when nothing below it lived."""
        kept: set[Key] = set()
        for key in self.log:
            above: Key | None = key if self.lives(key) else None
            while above is not None and above not in gone:
                kept.add(above)
                above = self.parent(above)
        return kept
