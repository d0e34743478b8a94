"""The tree against a naive oracle that keeps every event for ever and answers by scanning; they share no code.

Hypothesis makes up histories: births, births told after the child's first exec, births nobody tells of, execs, ends
told once or twice, adoption by pid 1, pids used again at once, more processes than the bound. After each step every
process that the tree still knows must be as the oracle has it, and only what may go may be gone.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from tests.tree.history import History, Who, booted

BOUND = 12
PREVIOUS_MAX = 16
Key = tuple[int, int]
UNKNOWN = "unknown_parent"
EVICTED = "evicted"


@dataclass(frozen=True)
class Happened:
    what: str  # born, seen, exec, exit
    key: Key
    parent: Key | None = None
    name: str = ""
    status: int = 0
    doubt: str = ""


class Oracle:
    """Everything that happened, with its place in the order, by process."""

    def __init__(self) -> None:
        self.length = 0
        self.log: dict[Key, list[tuple[int, Happened]]] = {}

    def add(self, happened: Happened) -> None:
        self.log.setdefault(happened.key, []).append((self.length, happened))
        self.length += 1

    def _birth(self, key: Key) -> tuple[int, Happened]:
        """A birth that was told goes before what was only seen."""
        found = [(at, h) for at, h in self.log[key] if h.what in ("born", "seen")]
        return next(((at, h) for at, h in found if h.what == "born"), found[0])

    def name(self, key: Key, until: int) -> str:
        for at, happened in reversed(self.log[key]):
            if at < until and happened.what == "exec":
                return happened.name
        at, birth = self._birth(key)
        if birth.parent is None or birth.name:
            return birth.name
        return self.name(birth.parent, at)

    def has_image(self, key: Key, until: int) -> bool:
        """Or a name from comm and nothing else: nobody told of an image, neither its own nor one it was born with."""
        if any(at < until and happened.what == "exec" for at, happened in self.log[key]):
            return True
        at, birth = self._birth(key)
        return birth.doubt == "" if birth.parent is None else self.has_image(birth.parent, at)

    def chain(self, key: Key) -> list[str]:
        """Nearest ancestor first."""
        at, birth = self._birth(key)
        if birth.parent is None:
            return []
        return [self.name(birth.parent, at), *self.chain(birth.parent)]

    def parent(self, key: Key) -> Key | None:
        return self._birth(key)[1].parent

    def doubts(self, key: Key) -> set[str]:
        birth = self._birth(key)[1]
        own = {birth.doubt} if birth.doubt else set()
        return own | (self.doubts(birth.parent) if birth.parent else set())

    def root(self, key: Key) -> Key:
        parent = self.parent(key)
        return key if parent is None else self.root(parent)

    def previous(self, key: Key) -> list[str]:
        """Names of earlier images, newest first."""
        execs = [h.name for _, h in self.log[key] if h.what == "exec"]
        at, first = self.log[key][0]
        if execs and first.what == "born" and self.has_image(key, at + 1):
            execs.insert(0, self.name(key, at + 1))
        return execs[-2::-1]

    def end(self, key: Key) -> int | None:
        ends = [h.status for _, h in self.log[key] if h.what == "exit"]
        return ends[0] if ends else None

    def must_be_known(self, gone: set[Key]) -> set[Key]:
        """What lives, and whatever is above it, up to what was allowed to go when nothing below it lived."""
        kept: set[Key] = set()
        for key in self.log:
            above: Key | None = key if self.end(key) is None else None
            while above is not None and above not in gone:
                kept.add(above)
                above = self.parent(above)
        return kept


class Tree(RuleBasedStateMachine):
    alive = Bundle("alive")
    ended = Bundle("ended")
    hidden = Bundle("hidden")  # born, and nobody told

    def __init__(self) -> None:
        super().__init__()
        self.oracle = Oracle()
        self.history: History
        self.init: Who
        self.shell: Who
        self.hidden_pids: set[int] = set()
        self.gone: set[Key] = set()  # what went when it might; a late child of its child does not bring it back
        self.twice = 0

    @initialize(target=alive)
    def boot(self) -> Who:
        self.history, self.init, shell = booted(processes_max=BOUND)
        self.shell = shell
        self.oracle.add(Happened("born", self.init.key, None, "systemd"))
        self.oracle.add(Happened("born", shell.key, self.init.key, "bash"))
        return shell

    def _pid(self, wanted: int) -> int:
        """The wanted one, or the next that is free."""
        taken = {key[0] for key in self.oracle.log if self.oracle.end(key) is None} | self.hidden_pids
        while wanted in taken:
            wanted += 1
        return wanted

    def _born(self, child: Who, parent: Who, known: bool) -> None:
        if known:
            self.oracle.add(Happened("born", child.key, parent.key))
            return
        doubt = self.history.get(child).doubt
        assert doubt in ((EVICTED,), (UNKNOWN,))  # the memory of what was evicted has a bound as well
        self.oracle.add(Happened("born", child.key, None, child.comm, doubt=doubt[0]))

    @rule(target=alive, parent=alive, pid=st.integers(100, 110))
    def forks(self, parent: Who, pid: int) -> Who:
        child = self.history.forks(parent, pid=self._pid(pid))
        self._born(child, parent, True)
        return child

    @rule(target=alive, parent=ended, pid=st.integers(100, 110))
    def forks_late(self, parent: Who, pid: int) -> Who:
        """The child of a process that has ended already, and may have been forgotten."""
        known = self.history.tree.get(*parent.key) is not None
        child = self.history.forks(parent, pid=self._pid(pid))
        self._born(child, parent, known)
        return child

    @rule(target=hidden, parent=alive, pid=st.integers(100, 110), adopted=st.booleans())
    def forks_unseen(self, parent: Who, pid: int, adopted: bool) -> tuple[Who, Who]:
        child = self.history.forks(parent, pid=self._pid(pid), tell=False)
        if adopted:
            child.parent = self.init
        self.hidden_pids.add(child.pid)
        return child, parent

    @rule(target=alive, pair=consumes(hidden), name=st.sampled_from("abc"), told_late=st.booleans())
    def comes_to_light(self, pair: tuple[Who, Who], name: str, told_late: bool) -> Who:
        """By an exec; its fork comes after that, or never."""
        child, birth = pair
        self.hidden_pids.discard(child.pid)
        now = child.parent
        assert now is not None
        if self.history.tree.get(*now.key) is None:
            now = child.parent = self.init
        self.oracle.add(Happened("seen", child.key, now.key, child.comm, doubt=UNKNOWN))
        self.history.execs(child, f"/bin/{name}")
        self.oracle.add(Happened("exec", child.key, name=name))
        if told_late:
            self.gone |= {key for key in self.oracle.log if self.history.tree.get(*key) is None}
            known = self.history.tree.get(*birth.key) is not None
            self.history.born(child, birth)
            self._born(child, birth, known)
        return child

    @rule(who=alive, name=st.sampled_from("defghi"))
    def execs(self, who: Who, name: str) -> None:
        version = self.history.execs(who, f"/usr/bin/{name}")
        assert version is not None
        self.oracle.add(Happened("exec", who.key, name=name))

    @rule(target=ended, who=consumes(alive), status=st.integers(0, 255))
    def exits(self, who: Who, status: int) -> Who:
        version = self.history.exits(who, status)
        assert version is not None
        assert version.exit_status == status
        self.oracle.add(Happened("exit", who.key, status=status))
        return who

    @rule(who=ended)
    def is_said_to_exit_again(self, who: Who) -> None:
        if self.history.tree.get(*who.key) is not None:
            assert self.history.exits(who, 99) is None
            self.twice += 1

    @rule(target=alive, parent=alive, pids=st.lists(st.integers(100, 110), min_size=2, max_size=BOUND))
    def has_many_short_lived_children(self, parent: Who, pids: list[int]) -> object:
        for pid in pids:
            child = self.history.forks(parent, pid=self._pid(pid))
            self._born(child, parent, True)
            self.history.exits(child)
            self.oracle.add(Happened("exit", child.key))
        return multiple()

    @invariant()
    def what_is_known_is_right(self) -> None:
        tree, oracle = self.history.tree, self.oracle
        must = oracle.must_be_known(self.gone)
        for key in oracle.log:
            version = tree.get(*key)
            if version is None:
                assert key not in must, f"{key} was forgotten"
                self.gone.add(key)
                continue
            assert key not in self.gone, f"{key} came back"
            chain = oracle.chain(key)
            assert version.image.name == oracle.name(key, oracle.length)
            assert [ancestor.image.name for ancestor in version.ancestors] == chain
            assert version.depth == len(chain)
            assert version.complete == (oracle.root(key) == self.init.key)
            assert set(version.doubt) == oracle.doubts(key)
            parent = oracle.parent(key)
            assert (parent and (parent[0], parent[1])) == (
                (version.parent.pid, version.parent.start_ns) if version.parent else None
            )
            assert version.exit_status == oracle.end(key)
            if key not in (self.init.key, self.shell.key):
                assert [image.name for image in version.previous] == oracle.previous(key)[:PREVIOUS_MAX]

    @invariant()
    def the_bound_holds(self) -> None:
        must = self.oracle.must_be_known(self.gone)
        assert len(self.history.tree) <= max(BOUND, len(must))
        living = {key for key in self.oracle.log if self.oracle.end(key) is None}
        assert {(v.pid, v.start_ns) for v in self.history.tree.alive()} == living
        assert self.history.bad == ({"exit_twice": self.twice} if self.twice else {})


TestTree = Tree.TestCase
TestTree.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
