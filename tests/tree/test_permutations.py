"""In whatever order the events of a small history are told, the tree gives the same answers, at every moment.

Loss and snapshots are no part of it: what ran before is told first, all else comes once, with its true time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from itertools import chain, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.counters import Counters
from pipeline.tree import NoAnswer, ProcessKey, ProcessTree, ThreadKey
from tests.tree import adoption_histories, entry_histories
from tests.tree.answers import answered, differences, id_of, images, intervals, leader, seen_thread, threads
from tests.tree.chronicle import Key, Seen
from tests.tree.thread_chronicle import SeenLeader, SeenThread, ThreadChronicle
from tests.tree.world import Told, World


class Expected:
    """What a history makes of everyone in it, at every moment that matters, by the chronicle."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chronicle = chronicle = ThreadChronicle()
        for event in (*world.before, *world.events):
            chronicle.tell(event)
        told_ns = [event.stamp.time_ns for event in world.events]
        moments = sorted({time_ns + by for time_ns in told_ns for by in (-1, 0, 1)})
        self.answers: dict[tuple[Key, int | None], Seen] = {}
        for key in chronicle:
            for time_ns in moments:
                if time_ns >= chronicle.known_since(key):
                    self.answers[key, time_ns] = chronicle.at(key, time_ns)
            self.answers[key, None] = chronicle.at(key)
        self.images = {key: chronicle.images(key) for key in chronicle}
        in_order = self.told_as(world.events)
        self.intervals = {key: intervals(in_order, key) for key in chronicle}
        self.born_of = {key: _born_of(in_order, key) for key in chronicle}
        self.children = _children(in_order)
        self.threads = {
            key: {one: chronicle.thread_versions(key, one) for one in chronicle.threads(key)} for key in chronicle
        }
        self.threads_at: dict[tuple[Key, int], SeenThread | None] = {}
        self.leaders: dict[tuple[Key, int], SeenLeader] = {}
        for key in chronicle:
            for time_ns in moments:
                if time_ns >= chronicle.known_since(key):
                    self.leaders[key, time_ns] = chronicle.leader_at(key, time_ns)
                for one in self.threads[key]:
                    if time_ns >= one[1]:
                        self.threads_at[one, time_ns] = chronicle.thread_at(key, one, time_ns)

    def told_as(self, order: Iterable[Told]) -> ProcessTree:
        counters = Counters()
        tree = ProcessTree(100, 100, counters)
        for event in (*self.world.before, *order):
            tree.apply(event)
        assert not counters.bad_transitions
        return tree

    def assert_holds(self, tree: ProcessTree) -> None:
        processes = tree._state.processes
        for process in processes:
            assert all(child.alive for child in (process.children or {}).values())  # who has ended is nobody's any more
        for key in chain.from_iterable(tree._state.with_unknown_reaper.values()):
            child = processes.peek(key)
            assert child is not None
            assert child.alive
        for (key, time_ns), expected in self.answers.items():
            try:
                seen = answered(tree, key, time_ns)
            except NoAnswer as no_answer:
                raise AssertionError(f"{key} at {time_ns}: {no_answer.reason}") from no_answer
            if seen != expected:
                raise AssertionError(f"{key} at {time_ns}: {differences(seen, expected)}")
        for key, expected_images in self.images.items():
            assert images(tree, key) == expected_images, key
            assert intervals(tree, key) == self.intervals[key], key
            assert _born_of(tree, key) == self.born_of[key], key
        assert _children(tree) == self.children
        for (key, time_ns), expected_leader in self.leaders.items():
            assert leader(tree, key, time_ns) == expected_leader, (key, time_ns)
        for key, expected_threads in self.threads.items():
            assert threads(tree, key) == expected_threads, key
            living = [tid for (tid, _), versions in expected_threads.items() if versions[-1].end_ns is None]
            assert sorted(set(tree.threads(*key)) - {key[0]}) == sorted(living)
        for (one, time_ns), expected_thread in self.threads_at.items():
            assert _thread_at(tree, one, time_ns) == expected_thread, (one, time_ns)


def _born_of(tree: ProcessTree, key: Key) -> tuple[list[int], tuple[str, ...]]:
    """Since when its ancestors were as they were at the births, and what of that is not sure."""
    process = tree.process(ProcessKey(id_of(key))).process
    return [one.began_ns for one in process.ancestors], process.doubt


def _children(tree: ProcessTree) -> dict[Key, set[Key]]:
    """Whom the end of each would hand over."""
    return {one.key: set(one.children or ()) for one in tree._state.processes}


def _thread_at(tree: ProcessTree, one: Key, time_ns: int) -> SeenThread | None:
    try:
        return seen_thread(tree.thread_at(ThreadKey(id_of(one), time_ns)))
    except NoAnswer as no_answer:
        if no_answer.reason != "before_memory":
            raise
        return None


@cache
def expected_of(history: Callable[[], World]) -> Expected:
    return Expected(history())


def births_and_execs() -> World:
    world = World()
    a = world.forks(world.shell)
    world.execs(a, "/bin/a", "a", "-1")
    b = world.forks(a)
    world.execs(b, "/bin/b", directory="/srv")
    world.execs(b, "/bin/c")
    world.exits(a, 256)
    return world


def ends() -> World:
    """The middle one ends, and its child later."""
    world = World()
    a = world.forks(world.shell)
    b = world.forks(a)
    world.execs(a, "/bin/a")
    world.exits(a, 1)
    world.execs(b, "/bin/b")
    world.exits(b, 9)
    return world


def grandchildren() -> World:
    world = World()
    a = world.forks(world.shell)
    b = world.forks(a)
    c = world.forks(b)
    world.exits(a)
    world.exits(b, reaper=world.shell)
    world.execs(c, "/bin/c")
    return world


def images_at_births() -> World:
    """Each child was born of another image of its parent."""
    world = World()
    a = world.forks(world.shell)
    world.forks(a)
    world.execs(a, "/bin/a")
    world.forks(a)
    world.execs(a, "/bin/b")
    world.forks(a)
    return world


def a_pid_used_again() -> World:
    world = World()
    first = world.forks(world.shell, pid=200)
    world.execs(first, "/bin/first")
    world.exits(first, 5)
    second = world.forks(world.shell, pid=200)
    world.execs(second, "/bin/second")
    world.exits(second, 6)
    return world


def a_child_ends_first() -> World:
    """Nobody adopts it after that."""
    world = World()
    a = world.forks(world.shell)
    b = world.forks(a)
    world.forks(b)
    world.exits(b, 1, reaper=world.shell)
    world.exits(a, 2)
    return world


def a_reaper_told_late() -> World:
    """It adopts, and ends itself."""
    world = World()
    reaper = world.forks(world.shell)
    a = world.forks(world.shell)
    world.forks(a)
    world.exits(a, reaper=reaper)
    world.exits(reaper)
    return world


def one_thread() -> World:
    """All that can be told of it, and its process's end."""
    world = World()
    world.starts_thread(world.shell, 301)
    world.renames(world.shell, "worker", tid=301)
    world.changes_credentials(world.shell, 1000, groups=(7,), tid=301)
    world.finds_thread(world.shell, 301)
    world.ends_thread(world.shell, 301)
    return world


def a_thread_whose_beginning_is_not_told() -> World:
    """A walk finds it, and finds that it has got another name unseen."""
    world = World()
    a = world.forks(world.shell)
    world.finds_thread(a, 301)
    world.changes_credentials(a, 1000, tid=301)
    world.finds_thread(a, 301, "unseen")
    world.execs(a, "/bin/a")
    world.exits(a)
    return world


def rights_at_birth() -> World:
    """A thread has those of the thread that made it, as they were then; that may have them from another."""
    world = World()
    world.starts_thread(world.shell, 301)
    world.changes_credentials(world.shell, 1, groups=(1,), tid=301)
    world.starts_thread(world.shell, 302, birth_tid=301)
    world.starts_thread(world.shell, 303, birth_tid=302)
    world.changes_credentials(world.shell, 2, groups=(2,))
    world.starts_thread(world.shell, 304)
    return world


def a_leader_that_ends() -> World:
    """Another thread tells what the process is from then on; at last it executes something, and is the leader then."""
    world = World()
    a = world.forks(world.shell)
    world.starts_thread(a, 301)
    world.changes_credentials(a, 1, groups=(1,), tid=301)
    world.changes_namespaces(a, 5, uts=6, tid=301)
    world.ends_thread(a, a.pid)
    world.changes_credentials(a, 2, groups=(2,), tid=301, mnt_ns=5)
    world.changes_namespaces(a, 7, uts=8, tid=301)
    a.session = a.group = a.key
    world.changes_session(a, tid=301, comm="stays", uid=2)
    world.renames(a, "stays", tid=301)
    a.uid, a.groups, a.mnt_ns = 2, (2,), 7
    world.execs(a, "/bin/a")
    return world


SMALL = (
    *adoption_histories.SMALL,
    *entry_histories.SMALL,
    one_thread,
    a_thread_whose_beginning_is_not_told,
    rights_at_birth,
    a_reaper_told_late,
    a_child_ends_first,
    births_and_execs,
    ends,
    grandchildren,
    images_at_births,
    a_pid_used_again,
)


@pytest.mark.parametrize("history", SMALL, ids=lambda history: history.__name__)
def test_every_order_of_births_execs_and_ends_gives_the_same_answers(history: Callable[[], World]) -> None:
    expected = expected_of(history)
    for order in permutations(expected.world.events):
        expected.assert_holds(expected.told_as(order))


def one_life() -> World:
    """The first process of the issue: it is everything, one after the other, and leaves a child behind."""
    world = World()
    a = world.forks(world.shell)
    world.execs(a, "/bin/a", "a", "-1", directory="/srv")
    world.changes_credentials(a, 1000, groups=(7, 8))
    world.renames(a, "worker")
    b = world.forks(a)
    world.execs(b, "/bin/b")
    world.execs(b, "/bin/c", directory="/tmp")
    world.changes_directory(a, "/var")
    world.exits(a, 256)
    world.renames(b, "heir")
    world.exits(b, 9)
    return world


def surroundings() -> World:
    """Session, namespaces, directory; what a child has of them, and what the parent does after the birth."""
    world = World()
    a = world.forks(world.shell)
    a.session = a.group = a.key
    world.changes_session(a)
    world.changes_namespaces(a, 22, uts=5)
    world.changes_directory(a, "/a")
    b = world.forks(a)
    world.changes_namespaces(a, 33, uts=6)
    world.changes_directory(a, "/aa")
    b.group = b.key
    world.changes_session(b)
    c = world.forks(b)
    world.execs(c, "/bin/c")
    world.exits(b)
    return world


def containers() -> World:
    world = World()
    inside, other = "/docker/" + "a" * 64, "/docker/" + "b" * 64
    a = world.forks(world.shell)
    world.enters_cgroup(a, inside, hierarchy=1)
    world.enters_cgroup(a, inside, hierarchy=2)
    b = world.forks(a)
    world.enters_cgroup(a, "/", hierarchy=1)
    world.forks(a)
    world.enters_cgroup(a, "/", hierarchy=2)
    world.enters_cgroup(b, other, hierarchy=1)
    world.execs(b, "/bin/b")
    return world


def users() -> World:
    """A child has the users and groups of its parent, as they were; its own record tells of users alone."""
    world = World()
    a = world.forks(world.shell)
    world.changes_credentials(a, 1, groups=(1, 2))
    b = world.forks(a)
    world.changes_credentials(a, 2, groups=(3,))
    c = world.forks(a)
    world.changes_credentials(b, 4, groups=(5,))
    world.forks(b)
    world.execs(c, "/bin/c")
    world.exits(c)
    return world


def threads_of_a_process() -> World:
    world = World()
    a = world.forks(world.shell)
    world.starts_thread(a, 301)
    world.starts_thread(a, 302)
    world.ends_thread(a, 301)
    world.execs(a, "/bin/a")
    world.starts_thread(a, 303)
    world.starts_thread(a, 304)
    world.renames(a, "other", tid=303)
    world.ends_thread(a, 304)
    b = world.forks(a)
    world.starts_thread(b, 305)
    world.exits(b)
    return world


def leaders() -> World:
    """One ends and another thread takes over by exec; that one ends too, and the process with those who stay."""
    world = World()
    a = world.forks(world.shell)
    world.starts_thread(a, 301)
    world.renames(a, "one", tid=301)
    world.ends_thread(a, a.pid)
    world.changes_credentials(a, 2, groups=(2,), tid=301)
    world.starts_thread(a, 302, birth_tid=301)
    a.uid, a.groups = 2, (2,)
    world.execs(a, "/bin/a")
    world.starts_thread(a, 303)
    world.changes_credentials(a, 3, groups=(3,), tid=303)
    world.renames(a, "leader")
    world.ends_thread(a, a.pid)
    world.changes_credentials(a, 4, groups=(4,), tid=303)
    a.uid, a.groups, a.comm, a.tid = 4, (4,), "a", 303
    world.exits(a)
    return world


LONG = (
    *adoption_histories.LONG,
    *entry_histories.LONG,
    one_life,
    surroundings,
    containers,
    users,
    threads_of_a_process,
    a_leader_that_ends,
    leaders,
)


@pytest.mark.parametrize("history", LONG, ids=lambda history: history.__name__)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_order_of_a_longer_history_gives_the_same_answers(
    history: Callable[[], World], data: st.DataObject
) -> None:
    expected = expected_of(history)
    expected.assert_holds(expected.told_as(data.draw(st.permutations(expected.world.events))))


@pytest.mark.parametrize("history", [*SMALL, *LONG], ids=lambda history: history.__name__)
def test_the_order_in_which_it_happened_gives_them(history: Callable[[], World]) -> None:
    expected = expected_of(history)
    expected.assert_holds(expected.told_as(expected.world.events))
