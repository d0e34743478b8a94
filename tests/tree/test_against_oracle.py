"""The tree against a naive oracle (``oracle``) that keeps every event for ever; they share no code.

Hypothesis makes up histories: births, births told after the child's first exec, births nobody tells of, execs, ends
told once or twice, adoption by whom the end names, other names and users, pids used again at once, more processes than
the bound; execs and ends that are lost, and walks over all that runs, which repair. After each step every process that
the tree still knows must be as the oracle has it, and only what may go may be gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from pipeline import wire
from pipeline.process import ProcessVersion
from tests.tree.history import History, Who, booted
from tests.tree.oracle import EVICTED, LOSS, SNAPSHOT, UNKNOWN, Happened, Key, Oracle

BOUND = 12
PREVIOUS_MAX = 16


def _is_among(some: Sequence[str], all_: Sequence[str]) -> bool:
    """In the same order, perhaps with others in between."""
    left = iter(all_)
    return all(one in left for one in some)


class Tree(RuleBasedStateMachine):
    alive = Bundle("alive")
    ended = Bundle("ended")
    hidden = Bundle("hidden")  # born, and nobody told

    def __init__(self) -> None:
        super().__init__()
        self.oracle = Oracle(lambda: self.history.now_ns)
        self.history: History
        self.init: Who
        self.shell: Who
        self.world: dict[Key, Who] = {}  # what the kernel knows, of everyone
        self.path: dict[Key, str] = {}  # likewise
        self.images: dict[Key, dict[int, str]] = {}  # likewise: what each has been, by the count of execs
        self.mothers: dict[Key, tuple[Key, int]] = {}  # likewise, and her count of execs at the birth
        self.ever_missed = False  # an exec or an end
        self.lost_about: set[Key] = set()  # of whom a record may have been lost
        self.walked: set[Key] = set()  # who was found by a walk over all that runs; nothing was lost since
        self.reapers: set[Key] = set()
        self.living: set[Key] = set()  # likewise
        self.hidden_keys: set[Key] = set()
        self.places: dict[Key, int] = {}  # in the order of what happened, of births that nobody told of
        self.comm_untold: set[Key] = set()
        self.missed_ends: set[Key] = set()
        self.gone: set[Key] = set()  # what went when it might; a late child of its child does not bring it back
        self.twice = 0

    @initialize(target=alive)
    def boot(self) -> Who:
        self.history, self.init, shell = booted(processes_max=BOUND)
        self.shell = shell
        self.reapers.add(self.init.key)
        for who, birth, name in ((self.init, None, "systemd"), (shell, self.init, "bash")):
            self.oracle.add(Happened("born", who.key, birth.key if birth else None, name, exec_id=1))
            who.birth_exec_id = who.exec_id
            self._lives(who, "/usr/lib/systemd/systemd" if birth is None else "/usr/bin/bash", birth)
            self._told(who)
        return shell

    # The world.

    def _lives(self, who: Who, path: str, mother: Who | None = None) -> None:
        self.world[who.key] = who
        self._is(who, path)
        self.living.add(who.key)
        if mother is not None:
            self.mothers[who.key] = mother.key, who.birth_exec_id

    def _is(self, who: Who, path: str) -> None:
        self.path[who.key] = path
        self.images.setdefault(who.key, {})[who.exec_id] = path.rpartition("/")[2]

    def _told(self, who: Who) -> None:
        """A record of its task."""
        self.comm_untold.discard(who.key)
        self.oracle.recorded(who.key, who.exec_id)
        self.oracle.present[who.key] = who.parent.key if who.parent else None

    def _dies(self, who: Who, reaper: Who) -> None:
        self.reapers.add(reaper.key)
        self.living.discard(who.key)
        for child in self.world.values():
            if child.parent is not None and child.parent.key == who.key:
                child.parent = reaper

    def _pid(self, wanted: int) -> int:
        """The wanted one, or the next that is free."""
        taken = {key[0] for key in self.living} | {key[0] for key in self.missed_ends}
        while wanted in taken:
            wanted += 1
        return wanted

    def _reaper(self, wanted: Who, who: Who) -> Who:
        """Somebody else, who lives and is known; no descendant, for that is no reaper."""
        above: Who | None = wanted
        while above is not None and above.key != who.key:
            above = above.parent
        fits = above is None and wanted.key in self.living and wanted.key not in self.hidden_keys
        return wanted if fits else self.init

    # Births.

    def _born(self, child: Who, parent: Who, known: bool, *, late: bool = False) -> None:
        if known:
            place = self.places[child.key] if late else None
            self.oracle.born(child.key, parent.key, child.birth_exec_id, place=place)
            return
        if not late:
            self.oracle.recorded(child.key, child.birth_exec_id)
        doubt = frozenset(self.history.get(child).doubt)
        if EVICTED in doubt and child.key in self.oracle.interrupted:
            doubt -= {LOSS}  # which is its own
        unknown = {UNKNOWN, LOSS} if self.oracle.loss_seen else {UNKNOWN}
        assert doubt in ({EVICTED}, unknown)  # the memory of what was evicted has a bound as well
        birth = Happened("born", child.key, None, "" if late else child.comm, doubt=doubt, exec_id=child.birth_exec_id)
        self.oracle.add(birth)

    @rule(target=alive, parent=alive, pid=st.integers(100, 110))
    def forks(self, parent: Who, pid: int) -> Who | object:
        if parent.key not in self.living:
            return multiple()
        child = self.history.forks(parent, pid=self._pid(pid))
        self._lives(child, self.path[parent.key], parent)
        self._born(child, parent, True)
        self._told(child)
        return child

    @rule(target=alive, parent=ended, pid=st.integers(100, 110))
    def forks_late(self, parent: Who, pid: int) -> Who:
        """The child of a process that has ended already, and may have been forgotten."""
        known = self.history.tree.get(*parent.key) is not None
        child = self.history.forks(parent, pid=self._pid(pid))
        self._lives(child, self.path[parent.key], parent)
        self._born(child, parent, known)
        self.oracle.present[child.key] = None  # whoever adopted it, if that is still known
        child.parent = self.init
        return child

    @rule(target=hidden, parent=alive, pid=st.integers(100, 110), adopted=st.booleans())
    def forks_unseen(self, parent: Who, pid: int, adopted: bool) -> tuple[Who, Who] | object:
        if parent.key not in self.living:
            return multiple()
        child = self.history.forks(parent, pid=self._pid(pid), tell=False)
        if adopted:
            child.parent = self.init
        self._lives(child, self.path[parent.key], parent)
        self.hidden_keys.add(child.key)
        self.places[child.key] = self.oracle.length
        return child, parent

    @rule(target=alive, pair=consumes(hidden), name=st.sampled_from("abc"), told_late=st.booleans())
    def comes_to_light(self, pair: tuple[Who, Who], name: str, told_late: bool) -> Who:
        """By an exec; its fork comes after that, or never. A walk may have found it before."""
        child, birth = pair
        if child.key in self.hidden_keys:
            self.hidden_keys.discard(child.key)
            assert child.parent is not None
            doubt = frozenset({UNKNOWN, LOSS} if self.oracle.loss_seen else {UNKNOWN})
            seen = Happened("seen", child.key, child.parent.key, child.comm, doubt=doubt, exec_id=child.exec_id + 1)
            self.oracle.add(seen)
        self._executes(child, f"/bin/{name}")
        if told_late:
            self.gone |= {key for key in self.oracle.log if self.history.tree.get(*key) is None}
            known = self.history.tree.get(*birth.key) is not None
            self.history.born(child, birth)
            self._born(child, birth, known, late=True)
        return child

    @rule(target=alive, parent=alive, pids=st.lists(st.integers(100, 110), min_size=2, max_size=BOUND))
    def has_many_short_lived_children(self, parent: Who, pids: list[int]) -> object:
        for pid in pids:
            if parent.key in self.living:
                child = self.history.forks(parent, pid=self._pid(pid))
                self._lives(child, self.path[parent.key], parent)
                self.living.discard(child.key)
                self._born(child, parent, True)
                self._told(child)
                self.history.exits(child)
                self._told(child)
                self.oracle.ended(child.key, 0, None)
        return multiple()

    # Changes.

    def _executes(self, who: Who, path: str) -> None:
        assert self.history.execs(who, path) is not None
        self._is(who, path)
        self.oracle.executed(who.key, path.rpartition("/")[2], who.exec_id)
        self._told(who)

    @rule(who=alive, name=st.sampled_from("defghi"))
    def execs(self, who: Who, name: str) -> None:
        if who.key in self.living:
            self._executes(who, f"/usr/bin/{name}")

    @rule(who=alive, uid=st.integers(0, 3), comm=st.sampled_from(["", "x", "yy"]))
    def changes(self, who: Who, uid: int, comm: str) -> None:
        if who.key in self.living:
            assert self.history.changes_credentials(who, uid) is not None
            self._told(who)
            if comm:
                assert self.history.renames(who, comm) is not None

    @rule(target=ended, who=consumes(alive), status=st.integers(0, 255), wanted=alive)
    def exits(self, who: Who, status: int, wanted: Who) -> Who | object:
        if who.key not in self.living:
            return multiple()
        reaper = self._reaper(wanted, who)
        version = self.history.exits(who, status, reaper=reaper)
        assert version is not None
        assert version.exit_status == status
        self._told(who)
        self._dies(who, reaper)
        self.oracle.ended(who.key, status, reaper.key)
        return who

    @rule(who=ended)
    def is_said_to_exit_again(self, who: Who) -> None:
        if self.history.tree.get(*who.key) is not None:
            assert self.history.exits(who, 99) is None
            self.twice += 1

    # Loss and repair.

    @rule(who=alive, name=st.sampled_from("jkl"), admitted=st.booleans(), records=st.integers(0, 3))
    def execs_unseen(self, who: Who, name: str, admitted: bool, records: int) -> None:
        """Also what it has been before. Not ``admitted``: no loss is told, its next record alone counts one more."""
        if who.key not in self.living:
            return
        self.ever_missed = True
        self.lost_about.add(who.key)
        self.walked = set()
        self.history.execs_unseen(who, f"/opt/{name}")
        self._is(who, f"/opt/{name}")
        self.comm_untold.add(who.key)
        if admitted:
            self._loses(wire.EXEC, records)

    @rule(who=consumes(alive), wanted=alive, records=st.integers(0, 3))
    def exits_unseen(self, who: Who, wanted: Who, records: int) -> None:
        if who.key in self.living:
            self._dies(who, self._reaper(wanted, who))
            self.ever_missed = True
            self.missed_ends.add(who.key)
            self._loses(wire.EXIT, records)

    def _loses(self, kind: int, records: int) -> None:
        self.history.loses(kind, records)
        self.oracle.loses(records)
        self.lost_about |= self.oracle.log.keys()
        self.walked = set()

    @rule(data=st.data())
    def a_walk_repairs(self, data: st.DataObject) -> None:
        self.history.snapshot_begins()
        found: list[Key] = data.draw(st.permutations(sorted(self.living)))
        for key in found:
            who = self.world[key]
            assert who.parent is not None or who is self.init
            self.history.finds(who, self.path[key], reaper=self._is_below_a_reaper(who))
            if key not in self.hidden_keys:
                length, name = self.oracle.length, self.path[key].rpartition("/")[2]
                told = self.oracle.image(key, length)[1] == who.exec_id and self.oracle.has_image(key, length)
                self.oracle.looked_at(key, None if told else name, who.exec_id)
                if not self._is_below_a_reaper(who):
                    self._parent_is_sure(key)
            self._told(who)
        for key in self.hidden_keys & self.living:  # they refer to their parents as those are at the end
            self._is_found(self.world[key])
        self.history.snapshot_ends()
        closed = {(version.pid, version.start_ns) for version in self.history.tree.closed()}
        assert closed == self.missed_ends
        for key in self.missed_ends:
            self.oracle.ended(key, None, None)
        self.missed_ends = set()
        self.walked = set(self.living)
        self.history.renames(self.init, self.init.comm)  # whom the walk closed may go with the next event

    def _is_found(self, who: Who) -> None:
        self.hidden_keys.discard(who.key)
        assert who.parent is not None
        both = {SNAPSHOT, LOSS} if self.oracle.loss_seen else {SNAPSHOT}
        doubt = frozenset(both if self._is_below_a_reaper(who) else ())
        name = self.path[who.key].rpartition("/")[2]
        self.oracle.add(Happened("found", who.key, who.parent.key, name, doubt=doubt, exec_id=who.exec_id))

    def _is_below_a_reaper(self, who: Who) -> bool:
        return who.parent is not None and who.parent.key in self.reapers

    def _parent_is_sure(self, key: Key) -> None:
        """Nobody but a reaper adopts: whom nobody told the birth of has the parent that it always had."""
        log = self.oracle.log[key]
        for at, (place, happened) in enumerate(log):
            if happened.what == "seen" and happened.parent is not None:
                log[at] = place, Happened("seen", key, happened.parent, happened.name, exec_id=happened.exec_id)

    # What must hold.

    @invariant()
    def what_is_known_is_right(self) -> None:
        tree, oracle = self.history.tree, self.oracle
        must = oracle.must_be_known(self.gone)
        known = {key: tree.get(*key) for key in oracle.log}
        back = self.gone.intersection(key for key, version in known.items() if version is not None)
        assert not back, f"{back} came back"
        self.gone |= {key for key, version in known.items() if version is None}
        assert must.isdisjoint(self.gone), f"{must & self.gone} were forgotten"
        for key, version in known.items():
            if version is None:
                continue
            assert version.depth == len(version.ancestors)
            assert version.complete == (oracle.root(key) == self.init.key)
            parent = oracle.parent(key)
            assert parent == ((version.parent.pid, version.parent.start_ns) if version.parent else None)
            assert version.exit_status == oracle.end(key)
            self._is_true_or_in_doubt(key, version)

    def _is_true_or_in_doubt(self, key: Key, version: ProcessVersion) -> None:
        """Images are known by the count of execs: what a walk or a birth tells of one may mend many.

        So the tree may know more than the oracle, and be in less doubt; what it does not doubt is the truth.
        """
        oracle, doubt = self.oracle, set(version.doubt)
        chain = [ancestor.image.name for ancestor in version.ancestors]
        previous = [image.name for image in version.previous]
        # While more live than there is room for, what a process has been between goes: a late birth may count that.
        dropped = self.history.counters.versions_dropped
        # And who was forgotten before the image it was born with was found out cannot tell that to its children.
        forgotten = self.ever_missed and not self.gone.isdisjoint(self._above(key))
        assert doubt <= oracle.doubts(key) | ({LOSS} if dropped or forgotten else set())
        lost = {key, *self._above(key)} & self.lost_about
        assert LOSS not in doubt or UNKNOWN in doubt or lost or dropped
        if doubt.isdisjoint({LOSS, EVICTED, UNKNOWN}):
            # A record, or a birth by it, has counted so many; of one more that nobody heard of, nothing can be known.
            assert version.image.name == self._true_image(key, oracle.counted[key])
            if SNAPSHOT not in doubt:  # else whoever it was found below may have adopted it
                assert [(one.pid, one.start_ns) for one in version.ancestors] == self._above(key)
                # Who was found refers to its parent as that was then.
                for name, *known in zip(chain, self._true_chain(key), oracle.chain(key), strict=True):
                    assert name in known
        assert _is_among(previous, self._true_previous(key))
        if not self.ever_missed and not dropped:
            assert doubt == oracle.doubts(key)
        if not self.ever_missed and not dropped and key not in (self.init.key, self.shell.key):
            assert previous == oracle.previous(key)[:PREVIOUS_MAX]

    def _true_image(self, key: Key, exec_id: int) -> str:
        return self.images[key][exec_id]

    def _true_chain(self, key: Key) -> list[str]:
        if key not in self.mothers:
            return []
        mother, exec_id = self.mothers[key]
        return [self._true_image(mother, exec_id), *self._true_chain(mother)]

    def _above(self, key: Key) -> list[Key]:
        """Who bore it, who bore that, and so on."""
        above = []
        while key in self.mothers:
            key = self.mothers[key][0]
            above.append(key)
        return above

    def _true_previous(self, key: Key) -> list[str]:
        """Newest first; of all that it has been, the present one too, should that not be known yet."""
        return [name for _, name in sorted(self.images[key].items(), reverse=True)]

    @invariant()
    def after_a_walk_everyone_is_what_it_is(self) -> None:
        for version in self.history.tree.alive():
            key = version.pid, version.start_ns
            assert key not in self.walked or version.image.name == self.path[key].rpartition("/")[2]

    @invariant()
    def everyone_has_the_parent_user_and_name_that_was_told_last(self) -> None:
        for version in self.history.tree.alive():
            key = (version.pid, version.start_ns)
            who, present = self.world[key], self.oracle.present[key]
            assert version.credentials.uid == who.uid
            if key not in self.comm_untold:
                assert version.thread_name == who.comm
            if present is not None:
                now = version.reaper or version.parent
                assert now is not None
                assert (now.pid, now.start_ns) == present

    @invariant()
    def the_bound_holds(self) -> None:
        must = self.oracle.must_be_known(self.gone)
        assert len(self.history.tree) <= max(BOUND, len(must))
        living = {key for key in self.oracle.log if self.oracle.lives(key)}
        assert {(v.pid, v.start_ns) for v in self.history.tree.alive()} == living
        assert self.history.bad == ({"exit_twice": self.twice} if self.twice else {})


TestTree = Tree.TestCase
TestTree.settings = settings(max_examples=250, stateful_step_count=30, deadline=None)
