"""A naive oracle of the tree: it keeps every event for ever and answers by scanning. It shares no code with that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.tree.history import STEP_NS

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
    exec_id: int = 0  # of the image; of a birth, the one of the parent


class Oracle:
    """Everything that was told, with its place in the order, by process; and what a loss left open."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.now_ns = now_ns
        self.lost_until_ns = 0
        self.length = 0
        self.log: dict[Key, list[tuple[int, Happened]]] = {}
        self.present: dict[Key, Key | None] = {}  # the parent that was told last
        self.loss_seen = False
        self.interrupted: set[Key] = set()  # execs were lost since the last record of them
        self.counted: dict[Key, int] = {}  # execs, by the last record
        self.at_birth: dict[tuple[Key, int], tuple[tuple[str, int], int]] = {}  # by length

    def add(self, happened: Happened) -> None:
        self.log.setdefault(happened.key, []).append((self.length, happened))
        self.length += 1

    def recorded(self, key: Key, exec_id: int) -> None:
        """A record of a task has counted its execs, and named its parent."""
        if key in self.log and not self.lives(key):
            return
        self.counted[key] = exec_id
        if self.now_ns() < self.lost_until_ns:
            self.interrupted.add(key)
        else:
            self.interrupted.discard(key)

    def born(self, key: Key, parent: Key, exec_id: int, *, place: int | None = None) -> None:
        """``place``: in the order of what happened, where it is told late."""
        happened = Happened("born", key, parent, exec_id=exec_id)
        if place is None:
            self.add(happened)
        else:
            self.log[key].insert(0, (place, happened))
            self.length += 1
            if self.lives(parent) and exec_id > self.image(parent, self.length)[1]:
                self.counted[parent] = max(exec_id, self.counted.get(parent, 0))
            return
        self.recorded(key, exec_id)
        if self.lives(parent):
            self.counted[parent] = exec_id

    def executed(self, key: Key, name: str, exec_id: int) -> None:
        self.recorded(key, exec_id)
        self.add(Happened("exec", key, name=name, exec_id=exec_id))

    def ended(self, key: Key, status: int | None, reaper: Key | None) -> None:
        """Status None: a walk found that it had ended."""
        self.add(Happened("closed", key) if status is None else Happened("exit", key, status=status))
        for child, parent in self.present.items():
            if parent == key and self.lives(child) and reaper is not None:
                self.present[child] = reaper

    def loses(self, records: int) -> None:
        """Execs or ends, until so many records more have been made."""
        self.loss_seen = True
        self.lost_until_ns = self.now_ns() + records * STEP_NS
        self.interrupted |= {key for key in self.log if self.lives(key)}

    def looked_at(self, key: Key, missed: str | None, exec_id: int) -> None:
        """A walk came to it. ``missed``: the image that nobody told of."""
        if missed is None:
            self.recorded(key, exec_id)
        else:
            self.executed(key, missed, exec_id)

    def lives(self, key: Key) -> bool:
        return not any(h.what in ("exit", "closed") for _, h in self.log[key])

    def _birth(self, key: Key) -> tuple[int, Happened]:
        """A birth that was told goes before what was only seen."""
        found = [(at, h) for at, h in self.log[key] if h.what in ("born", "seen", "found")]
        return next(((at, h) for at, h in found if h.what == "born"), found[0])

    def image(self, key: Key, until: int) -> tuple[str, int]:
        """Its name, and the exec that it came with."""
        for at, happened in reversed(self.log[key]):
            if at < until and happened.what in ("exec", "found"):
                return happened.name, happened.exec_id
        at, birth = self._birth(key)
        if birth.parent is None or birth.name:
            return birth.name, birth.exec_id
        return self._image_at_birth(key) if self._known_since(key) < until else self.image(birth.parent, at)

    def _image_at_birth(self, key: Key) -> tuple[str, int]:
        """The parent's: as it was known then or, if it had executed more than that, as was found out since."""
        return self._look_at_birth(key)[0]

    def _known_since(self, key: Key) -> int:
        return self._look_at_birth(key)[1]

    def _corrected(self, key: Key) -> bool:
        at, birth = self._birth(key)
        return birth.parent is not None and self._known_since(key) > at

    def _look_at_birth(self, key: Key) -> tuple[tuple[str, int], int]:
        """The image, and since when that was known."""
        if (key, self.length) not in self.at_birth:
            self.at_birth[key, self.length] = self._found_out(key)
        return self.at_birth[key, self.length]

    def _found_out(self, key: Key) -> tuple[tuple[str, int], int]:
        """Nobody looks back: an image of the parent's that comes after the missed one hides it for good."""
        at, birth = self._birth(key)
        assert birth.parent is not None
        known = self.image(birth.parent, at)
        if birth.what != "born" or birth.exec_id <= known[1]:
            return known, at
        told = [
            (place, h.name, h.exec_id)
            for place, h in self.log[birth.parent]
            if place >= at and h.what in ("exec", "found") and h.exec_id >= birth.exec_id
        ]
        if self._corrected(birth.parent) and self._known_since(birth.parent) > at:
            name, exec_id = self._image_at_birth(birth.parent)
            told.append((self._known_since(birth.parent), name, exec_id))
        place, name, exec_id = min(told, default=(at, "", 0))
        return ((name, exec_id), place) if exec_id == birth.exec_id else (known, at)

    def name(self, key: Key, until: int) -> str:
        return self.image(key, until)[0]

    def has_image(self, key: Key, until: int) -> bool:
        """Or a name from comm and nothing else: nobody told of an image, neither its own nor one it was born with."""
        if any(at < until and happened.what in ("exec", "found") for at, happened in self.log[key]):
            return True
        at, birth = self._birth(key)
        if birth.parent is None:
            return not birth.doubt
        found_out = self._corrected(key) and self._known_since(key) < until
        return found_out or self.has_image(birth.parent, at)

    def chain(self, key: Key) -> list[str]:
        """Nearest ancestor first."""
        birth = self._birth(key)[1]
        return [] if birth.parent is None else [self._image_at_birth(key)[0], *self.chain(birth.parent)]

    def parent(self, key: Key) -> Key | None:
        return self._birth(key)[1].parent

    def doubts(self, key: Key) -> set[str]:
        missed = self.counted.get(key, 0) > self.image(key, self.length)[1]
        own = {LOSS} if key in self.interrupted or missed else set()
        return own | self._lineage_doubts(key)

    def _lineage_doubts(self, key: Key) -> set[str]:
        birth = self._birth(key)[1]
        if birth.parent is None:
            return set(birth.doubt)
        own = {LOSS} if birth.what == "born" and birth.exec_id > self._image_at_birth(key)[1] else set()
        return own | birth.doubt | self._lineage_doubts(birth.parent)

    def root(self, key: Key) -> Key:
        parent = self.parent(key)
        return key if parent is None else self.root(parent)

    def previous(self, key: Key) -> list[str]:
        """Names of earlier images, newest first."""
        images = [(h.name, h.exec_id) for _, h in self.log[key] if h.what in ("exec", "found")]
        at, birth = self._birth(key)
        told_first = birth is self.log[key][0][1]  # else what it was before its first exec is known if it was found out
        if images and birth.what == "born" and (self.has_image(key, at + 1) if told_first else self._corrected(key)):
            name, exec_id = self._image_at_birth(key) if birth.parent else (birth.name, birth.exec_id)
            # Else it is one that the parent had before, and never its own; or the one that a walk saw it have.
            if exec_id >= birth.exec_id and exec_id != images[0][1]:
                images.insert(0, (name, exec_id))
        return [name for name, _ in images[-2::-1]]

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
