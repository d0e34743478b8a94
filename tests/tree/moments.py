"""A machine that asks the tree about any moment, and the chronicle, which keeps every event; they share no code.

Hypothesis makes up histories: births, execs, ends and adoption, other names, users, sessions and directories, pids
used again at once, more processes than the bound, records that come some steps late. After each step every process
that the tree still knows is asked about, at random moments; what it does not know must have a reason that is true.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from pipeline.counters import Counters
from pipeline.events import SessionChange
from pipeline.tree import LineageKey, NoAnswer, ProcessAnswer, ProcessKey, ProcessTree
from tests.tree.answers import answered, differences, id_of, leader, threads
from tests.tree.chronicle import FOR_EVER, NOBODY, Key
from tests.tree.history import STEP_NS, Who
from tests.tree.thread_chronicle import ThreadChronicle
from tests.tree.world import Group, Told, World

BOUND = 12
HELD_MAX = 8
NAMES = st.sampled_from(["a", "b", "c", "sshd", "login", "runc"])
TERMINALS = st.sampled_from([0, 136 << 20, 4 << 20 | 1, 4 << 20 | 64])  # none, a pts, a console, a serial line
LATE = st.integers(0, 3).map(lambda number: number == 0)
RARELY = st.integers(0, 7).map(lambda number: number == 7)
PIDS = st.integers(100, 110)


class Moments(RuleBasedStateMachine):
    everyone = Bundle("everyone")
    versions_max = 256

    def __init__(self) -> None:
        super().__init__()
        self.counters = Counters()
        self.tree = ProcessTree(BOUND, 100, self.counters, versions_max=self.versions_max)
        self.world = World()
        self.told = ThreadChronicle()
        self.held: list[Told] = []
        self.living: set[Key] = {self.world.init.key, self.world.shell.key}  # by the world
        self.forgotten: set[Key] = set()
        self.asked: list[Key] = []

    @initialize(target=everyone)
    def begin(self) -> Who:
        for event in self.world.before:
            self._tell(event)
        return self.world.shell

    # Telling.

    def _tell(self, event: Told) -> None:
        about = getattr(event, "task", event)
        if (getattr(about, "pid", 0), getattr(about, "start_ns", 0)) in self.forgotten:
            return  # what comes so late may come too late
        self.tree.apply(event)
        self.told.tell(event)
        for key in list(self.told):
            if self.tree.get(*key) is None:
                self.forgotten.add(key)
                self.told.forget(key)

    def _hand_out(self, late: bool) -> None:
        events, self.world.events = self.world.events, []
        if late:
            self.held += events
            events, self.held = self.held[:-HELD_MAX], self.held[-HELD_MAX:]
        for event in events:
            self._tell(event)

    @rule(place=st.integers(0, HELD_MAX))
    def what_was_held_back_is_told(self, place: int) -> None:
        if self.held:
            self._tell(self.held.pop(place % len(self.held)))

    # The world.

    @rule(target=everyone, parent=everyone, pid=PIDS, kernel_thread=RARELY, late=LATE)
    def forks(self, parent: Who, pid: int, kernel_thread: bool, late: bool) -> Any:
        taken = {key[0] for key in self.living}
        while pid in taken:
            pid += 1
        if not self._acts(parent):
            return multiple()
        child = self.world.forks(parent, pid=pid, kernel_thread=kernel_thread)
        self.living.add(child.key)
        self._hand_out(late)
        return child

    @rule(who=everyone, name=NAMES, sockets=st.integers(0, 7), late=LATE)
    def execs(self, who: Who, name: str, sockets: int, late: bool) -> None:
        if who.key in self.living:
            group = self.world.group(who)
            if not group.has_leader:
                self.world.another_acts(who, next(iter(group.others)))
                who.tid = 0  # it is the leader now
            self.world.groups[who.key] = Group(made=group.made)
            self.world.execs(who, f"/bin/{name}", directory=f"/{name}", sockets=sockets, environment=(f"NAME={name}",))
            self._hand_out(late)

    @rule(who=everyone, name=NAMES, late=LATE)
    def renames(self, who: Who, name: str, late: bool) -> None:
        if self._acts(who):
            self.world.renames(who, name)
            self._hand_out(late)

    @rule(who=everyone, uid=st.integers(0, 3), late=LATE)
    def changes_user(self, who: Who, uid: int, late: bool) -> None:
        if self._acts(who):
            self.world.changes_credentials(who, uid, groups=(uid, uid + 1))
            self._hand_out(late)

    @rule(who=everyone, terminal=TERMINALS, late=LATE)
    def leads_a_session(self, who: Who, terminal: int, late: bool) -> None:
        """Any thread may call that, and is what calls it once the leader has gone."""
        if who.key in self.living:
            who.session = who.group = who.key
            who.tty = terminal
            self.world.changes_session(who, tid=0 if self._acts(who) else self._thread(who, 0))
            self._hand_out(late)

    @rule(who=everyone, name=NAMES, late=LATE)
    def changes_directory(self, who: Who, name: str, late: bool) -> None:
        if who.key in self.living:
            self.world.changes_directory(who, f"/srv/{name}")
            self._hand_out(late)

    @rule(who=everyone, cgroup_id=st.integers(1, 3), late=LATE)
    def enters_cgroup(self, who: Who, cgroup_id: int, late: bool) -> None:
        if who.key in self.living:
            self.world.enters_cgroup(who, f"/docker/{cgroup_id:064x}" if cgroup_id > 1 else "/", cgroup_id=cgroup_id)
            self._hand_out(late)

    @rule(who=everyone, wanted=everyone, status=st.integers(0, 255), late=LATE)
    def exits(self, who: Who, wanted: Who, status: int, late: bool) -> None:
        if who.key in self.living and who is not self.world.shell:
            self.living.discard(who.key)
            group = self.world.group(who)
            if not group.has_leader:
                self.world.another_acts(who, next(iter(group.others)))
            self.world.exits(who, status, reaper=self._reaper(wanted, who))
            self._hand_out(late)

    # Its threads.

    @rule(who=everyone, number=st.integers(0, 3), late=LATE)
    def starts_thread(self, who: Who, number: int, late: bool) -> None:
        if who.key in self.living:
            group = self.world.group(who)
            makers = [*group.others, *([who.pid] if group.has_leader else [])]
            self.world.makes_thread(who, makers[number % len(makers)])
            self._hand_out(late)

    @rule(who=everyone, number=st.integers(0, 3), name=NAMES, uid=st.none() | st.integers(0, 3), late=LATE)
    def thread_changes(self, who: Who, number: int, name: str, uid: int | None, late: bool) -> None:
        """Its rights, or its name."""
        tid = self._thread(who, number)
        if tid and uid is not None:
            own = self.world.group(who).others
            own[tid] = own[tid]._replace(uid=uid, groups=(uid,))
            self.world.changes_credentials(who, uid, groups=(uid,), tid=tid, mnt_ns=own[tid].mnt_ns)
        elif tid:
            self.world.renames(who, name, tid=tid)
        self._hand_out(late)

    @rule(who=everyone, number=st.integers(0, 3), mnt_ns=st.integers(2, 4), late=LATE)
    def enters_namespace(self, who: Who, number: int, mnt_ns: int, late: bool) -> None:
        """A thread beside the leader, or where there is none the leader itself."""
        if who.key in self.living:
            tid, own = self._thread(who, number), self.world.group(who).others
            if tid:
                own[tid] = own[tid]._replace(mnt_ns=mnt_ns)
            self.world.changes_namespaces(who, mnt_ns, tid=tid)
            self._hand_out(late)

    @rule(who=everyone, number=st.integers(0, 3), late=LATE)
    def thread_ends(self, who: Who, number: int, late: bool) -> None:
        tid, group = self._thread(who, number), self.world.group(who)
        if tid and (group.has_leader or len(group.others) > 1):
            del group.others[tid]
            self.world.ends_thread(who, tid)
            self._hand_out(late)

    @rule(who=everyone, late=LATE)
    def leader_ends(self, who: Who, late: bool) -> None:
        group = self.world.group(who)
        if who.key in self.living and group.has_leader and group.others:
            group.has_leader = False
            self.world.ends_thread(who, who.pid)
            self._hand_out(late)

    def _thread(self, who: Who, number: int) -> int:
        """Of a living process one beside its leader; 0: it has none."""
        others = list(self.world.group(who).others) if who.key in self.living else []
        return others[number % len(others)] if others else 0

    def _acts(self, who: Who) -> bool:
        """Whether the process lives, and its leader."""
        return who.key in self.living and self.world.group(who).has_leader

    @rule(parent=everyone, pids=st.lists(PIDS, min_size=2, max_size=BOUND))
    def has_many_short_lived_children(self, parent: Who, pids: list[int]) -> None:
        taken = {key[0] for key in self.living}
        for pid in pids:
            if self._acts(parent) and pid not in taken:
                child = self.world.forks(parent, pid=pid)
                self.world.exits(child)
                self._hand_out(False)

    def _reaper(self, wanted: Who, who: Who) -> Who:
        """Who lives and is no descendant: that is no reaper."""
        above: Who | None = wanted
        while above is not None and above is not who:
            above = above.parent
        return wanted if above is None and wanted.key in self.living else self.world.init

    # What must hold.

    @rule(data=st.data())
    def answers_are_those_of_the_chronicle(self, data: st.DataObject) -> None:
        for key in list(self.told):
            since_ns = self.told.known_since(key)
            time_ns = data.draw(st.none() | st.integers(since_ns, max(self.world.now_ns, since_ns) + STEP_NS))
            self._compare(key, time_ns)

    @rule(data=st.data())
    def threads_are_those_of_the_chronicle(self, data: st.DataObject) -> None:
        """All that each has been, and what it and the leader were at some moment."""
        for key in list(self.told):
            if not self._is_told_since_its_birth(key) or self._has_dropped(key):
                continue
            since_ns = self.told.known_since(key)
            time_ns = data.draw(st.integers(since_ns, max(self.world.now_ns, since_ns) + STEP_NS))
            seen, expected = leader(self.tree, key, time_ns), self.told.leader_at(key, time_ns)
            # Births tell of users where nothing later is known: see _compare.
            assert seen._replace(ids=()) == expected._replace(ids=()), (key, time_ns)
            answers = threads(self.tree, key)
            assert list(answers) == self.told.threads(key)
            for one, versions in answers.items():
                if not any(version.dropped for version in self.tree.thread_versions(id_of(one))):
                    assert versions == self.told.thread_versions(key, one), one

    @rule(data=st.data())
    def families_are_those_of_the_chronicle(self, data: st.DataObject) -> None:
        tree, told, now_ns = self.tree, self.told, self.world.now_ns
        then_ns = data.draw(st.integers(told.listening_ns, now_ns))
        assert _keys(tree.alive_at(then_ns)) == told.alive(then_ns)
        assert _keys(tree.alive_at()) == told.alive(FOR_EVER)
        key = data.draw(st.sampled_from(sorted(told)))
        children = told.children(key, now_ns)
        assert _keys(tree.children(ProcessKey(id_of(key)))) == children
        if told.known_since(key) <= then_ns:
            assert _keys(tree.children(ProcessKey(id_of(key), then_ns))) == told.children(key, then_ns)
        for child in children:
            assert _keys(tree.siblings(ProcessKey(id_of(child)))) == [one for one in children if one != child]
        sessions = {one: answered(tree, one).session[1:3] for one in told}  # which are right: see below
        members = [one for one in told.alive(FOR_EVER) if sessions[one] == sessions[key]]
        assert _keys(tree.session_members(ProcessKey(id_of(key)))) == members
        depth = data.draw(st.integers(1, 4))
        lineage = tree.lineage(LineageKey(id_of(key), max_depth=depth))
        assert lineage.ancestors == tree.lineage(LineageKey(id_of(key), max_depth=32)).ancestors[:depth]

    @rule(data=st.data(), pid=PIDS)
    def who_had_a_pid_is_known_by_the_chronicle(self, data: st.DataObject, pid: int) -> None:
        then_ns = data.draw(st.integers(self.told.listening_ns, self.world.now_ns))
        had = [key for key in sorted(self.told, reverse=True) if key[0] == pid and key[1] <= then_ns]
        had = [key for key in had if self.told.lives(key, then_ns - 1)]  # at its end it had it still
        gone = [key for key, end_ns in self.told.gone.items() if key[0] == pid and key[1] <= then_ns <= end_ns]
        if len(had) == 1 and not gone and self.told.birth(had[0]) is None and then_ns < self.told.known_since(had[0]):
            with pytest.raises(NoAnswer, match="nothing is known of it from before"):
                self.tree.by_pid(pid, then_ns)
            return
        if len(had) == 1 and not gone:
            assert _keys([self.tree.by_pid(pid, then_ns)]) == had
            return
        with pytest.raises(NoAnswer) as raised:
            self.tree.by_pid(pid, then_ns)
        assert raised.value.reason == ("ambiguous" if had else "forgotten" if gone else "no_such_pid")
        assert _keys(raised.value.candidates) == had

    @rule(data=st.data())
    def before_a_birth_there_is_no_answer(self, data: st.DataObject) -> None:
        pid, start_ns = data.draw(st.sampled_from(sorted(self.told)))
        with pytest.raises(NoAnswer) as raised:
            self.tree.process(ProcessKey(id_of((pid, start_ns)), start_ns - 1))
        assert raised.value.reason == "not_yet_born"
        with pytest.raises(NoAnswer) as raised:
            self.tree.process(ProcessKey(id_of((pid, start_ns + 1))))
        assert raised.value.reason == "never_known"

    @invariant()
    def answers_about_now_are_those_of_the_chronicle(self) -> None:
        for key in list(self.told):
            self._compare(key, None)

    def _compare(self, key: Key, time_ns: int | None) -> None:
        if not self._is_told_since_its_birth(key) or self._has_dropped(key):
            return
        try:
            seen = answered(self.tree, key, time_ns)
        except NoAnswer as no_answer:
            raise AssertionError(f"{key} at {time_ns}: {no_answer.reason}") from no_answer
        expected = self.told.at(key, time_ns)
        without = self.told.at(key, time_ns, by_children=False)  # births tell of parents where nothing later is known
        if seen.session == without.session:
            expected = expected._replace(session=seen.session)
        if seen.ids == without.ids:
            expected = expected._replace(ids=seen.ids)
        if expected.parent_now is None or expected.parent_now not in self.told.facts | {expected.parent: []}:
            expected = expected._replace(parent_now=seen.parent_now)  # it is not there to be named
        if not self._all_is_told_that_an_entry_hangs_on(key):
            expected = expected._replace(entry=seen.entry)
        if seen != expected:
            raise AssertionError(f"{key} at {time_ns}: {differences(seen, expected)}")

    def _is_told_since_its_birth(self, key: Key) -> bool:
        """It, and whoever bore it. Of others the lineage begins in the dark: they carry that doubt."""
        kinds = {fact.kind for fact in self.told.facts[key]}
        if kinds.isdisjoint({"birth", "found"}):
            assert "unknown_parent" in self.tree.process(ProcessKey(id_of(key))).process.doubt
            return False
        parent = self.told.parent(key)
        if parent is None or parent not in self.told.facts:
            return True
        return self.told.known_since(parent) <= self.told.born_ns(key) and self._is_told_since_its_birth(parent)

    def _all_is_told_that_an_entry_hangs_on(self, key: Key | None) -> bool:
        """It and all above are known, and whoever was to reap them; and no setsid of them is known by a birth alone."""
        held = {(event.task.pid, event.task.start_ns) for event in self.held if isinstance(event, SessionChange)}
        while key is not None:
            if key not in self.told.facts or key in held:
                return False
            if not self.told.parents_then(key) <= self.told.facts.keys() | {NOBODY}:
                return False
            if self.told.birth(key) is None and key not in (self.world.init.key, self.world.shell.key):
                return False
            key = self.told.parent(key)
        return True

    def _has_dropped(self, key: Key | None) -> bool:
        """Versions of it, or of an ancestor that its first may be of."""
        while key in self.told.facts:
            if any(answer.dropped for answer in self.tree.versions(id_of(key))):
                return True
            key = self.told.parent(key)
        return False

    @invariant()
    def what_may_not_go_is_known(self) -> None:
        needed: set[Key] = set()
        for key in list(self.told):
            above: Key | None = key if self.told.lives(key) else None
            while above is not None and above in self.told.facts:
                needed.add(above)
                above = self.told.parent(above)
        assert needed <= set(self.told)
        assert len(self.tree) <= max(BOUND, len(needed))
        assert not self.counters.bad_transitions

    @invariant()
    def who_is_forgotten_gets_that_answer(self) -> None:
        for key in list(self.forgotten)[-BOUND:]:
            with pytest.raises(NoAnswer) as raised:
                self.tree.process(ProcessKey(id_of(key)))
            assert raised.value.reason in ("forgotten", "never_known")


def _keys(answers: Iterable[ProcessAnswer]) -> list[Key]:
    return [(answer.process.pid, answer.process.start_ns) for answer in answers]
