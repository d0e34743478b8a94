"""What stays known, what goes, and that memory stays flat: by number of objects, not by time."""

from __future__ import annotations

import gc
from typing import get_type_hints

import pytest

from pipeline.events import Credentials
from pipeline.process import Ancestor, Image, ProcessVersion
from pipeline.tree import NoAnswer, ProcessKey
from pipeline.tree.known.state import Process
from tests.tree.answers import id_of
from tests.tree.history import Who, booted


def _processes_in_memory() -> int:
    gc.collect()
    return sum(type(thing) is Process for thing in gc.get_objects())


def _values_in_memory() -> int:
    gc.collect()
    return sum(isinstance(thing, (Process, Ancestor, Image, Credentials)) for thing in gc.get_objects())


def test_ended_processes_go_when_the_bound_is_reached_and_the_longest_unused_first() -> None:
    history, _, shell = booted(processes_max=5)
    ended = [history.forks(shell) for _ in range(3)]
    for child in ended:
        history.exits(child)
    assert len(history.tree) == 5
    assert history.tree.get(*ended[0].key) is not None  # an access
    history.exits(history.forks(shell))
    assert [history.tree.get(*child.key) is not None for child in ended] == [True, False, True]
    assert history.counters.processes_evicted == 1


def test_to_go_through_all_that_are_known_is_no_access() -> None:
    history, _, shell = booted(processes_max=5)
    ended = [history.forks(shell) for _ in range(3)]
    for child in ended:
        history.exits(child)
    assert history.tree.get(*ended[0].key) is not None  # the longest unused is the second from now on
    assert len(list(history.tree.alive_at())) == 2
    assert list(history.tree.children(ProcessKey(id_of(shell.key)), "reaper")) == []
    history.exits(history.forks(shell))
    assert id_of(ended[1].key) not in history.tree._state.processes.by_id
    assert id_of(ended[0].key) in history.tree._state.processes.by_id


def test_nothing_alive_and_no_ancestor_of_something_alive_goes() -> None:
    history, _, shell = booted(processes_max=8)
    relay = [history.forks(shell)]
    for _ in range(4):
        relay.append(history.forks(relay[-1]))
        history.exits(relay[-2])
    for _ in range(50):
        history.exits(history.forks(shell))
    assert all(history.tree.get(*who.key) is not None for who in relay)
    assert len(history.tree) == 8
    history.exits(relay[-1])
    for _ in range(50):
        history.exits(history.forks(shell))
    assert not any(history.tree.get(*who.key) for who in relay)


def test_more_alive_than_the_bound_are_all_kept_and_counted() -> None:
    history, _, shell = booted(processes_max=5)
    living = [history.forks(shell) for _ in range(20)]
    assert len(history.tree) == 22
    assert history.counters.over_bound == 17
    assert history.counters.processes_evicted == 0
    for child in living:
        history.exits(child)
    assert len(history.tree) == 5
    assert history.counters.processes_evicted == 17


def test_a_child_keeps_the_version_of_its_parent_that_was_dropped() -> None:
    history, _, shell = booted(processes_max=1)
    history.execs(shell, "/usr/bin/less")
    history.execs_unseen(shell, "/opt/missed")
    child = history.forks(shell)
    history.execs(shell, "/usr/bin/vim")  # more live than the bound: what the shell was is not kept
    assert history.counters.versions_dropped == 1
    assert history.get(shell).image.name == "vim"
    assert history.chain(child) == "systemd less less"
    assert history.doubt(child) == ("loss",)


def test_a_child_keeps_the_ancestors_that_were_evicted() -> None:
    history, _, shell = booted(processes_max=6)
    parent = history.forks(shell)
    history.execs(parent, "/usr/bin/make")
    child = history.forks(parent)
    history.exits(child)
    history.exits(parent)
    for _ in range(3):
        history.tree.get(*child.key)
        history.exits(history.forks(shell))
    history.tree.get(*child.key)
    assert history.tree.get(*parent.key) is None
    history.born(shell, Who(1, 10))  # an edge above changes: every chain is made again
    assert history.chain(child) == "systemd bash make make"
    assert history.get(child).depth == 3


def test_an_entry_leader_that_was_evicted_is_shown_as_it_was() -> None:
    history, init, shell = booted(processes_max=6)
    leader = history.forks(init)
    leader.session = leader.group = leader.key
    history.execs(leader, "/usr/sbin/cron")
    orphan = history.forks(Who(4000, 40, session=leader.key))
    history.exits(leader)
    for _ in range(6):
        history.exits(history.forks(shell))
    assert history.tree.get(*leader.key) is None
    entry = history.get(orphan).entry_leader
    assert entry is not None
    assert (entry.pid, entry.image.name) == (leader.pid, "cron")


def test_one_parent_with_many_short_lived_children_costs_nothing() -> None:
    history, _, shell = booted(processes_max=64)
    counts = []
    for _ in range(3):
        for _ in range(2000):
            child = history.forks(shell)
            history.execs(child, "/bin/true")
            history.exits(child)
        counts.append((_processes_in_memory(), _values_in_memory()))
    assert counts[0] == counts[1] == counts[2]
    assert len(history.tree) == 64
    assert history.counters.over_bound == 0


def test_generations_that_hand_on_and_end_leave_nothing_behind() -> None:
    history, _, shell = booted(processes_max=64)
    before = _processes_in_memory()
    for _ in range(20):
        relay = shell
        for _ in range(100):
            child = history.forks(relay)
            if relay is not shell:
                history.exits(relay)
            relay = child
        history.exits(relay)
    assert len(history.tree) == 64
    assert _processes_in_memory() - before == 62


def test_children_of_parents_nobody_told_of_leave_nothing_behind() -> None:
    history, _, _ = booted(processes_max=64)
    ghost = Who(4000, 40)
    before = _processes_in_memory()
    for _ in range(1000):
        history.exits(history.forks(ghost))
    state = history.tree._state
    assert _processes_in_memory() - before == 62
    assert sum(len(children) for children in state.processes.waiting.values()) == 62
    assert len(state.processes.by_pid) == 64
    assert len(state.processes.evicted) == 1000 - 62


def test_who_was_evicted_is_remembered_up_to_a_bound() -> None:
    history, _, shell = booted(processes_max=2)
    history.tree._state.processes.evicted_max = 3
    children = [history.forks(shell) for _ in range(5)]
    for child in children:
        history.exits(child)
    reasons = []
    for child in children:
        with pytest.raises(NoAnswer) as no_answer:
            history.tree.process(ProcessKey(id_of(child.key)))
        reasons.append(no_answer.value.reason)
    assert reasons == ["never_known"] * 2 + ["forgotten"] * 3


def test_adopted_by_somebody_nobody_told_of_they_leave_nothing_behind() -> None:
    history, _, shell = booted(processes_max=64)
    ghost = Who(4000, 40)
    before = set(history.tree._state.with_unknown_reaper)
    for _ in range(1000):
        parent = history.forks(shell)
        child = history.forks(parent)
        history.exits(parent, reaper=ghost)
        history.exits(child)  # whose record still names the parent
    assert set(history.tree._state.with_unknown_reaper) == before


def test_a_version_has_the_types_it_declares() -> None:
    history, init, shell = booted()
    child = history.forks(history.forks(shell), parent=init)
    history.execs(child, "/usr/bin/curl")
    version = history.exits(child)
    assert version is not None
    assert version.parent is not None
    for value, kind in ((version, ProcessVersion), (version.parent, Ancestor), (version.credentials, Credentials)):
        for name, declared in get_type_hints(kind).items():
            expected = getattr(declared, "__origin__", declared)
            assert isinstance(getattr(value, name), expected), name


def test_the_same_events_give_the_same_answers() -> None:
    def tell() -> list[ProcessVersion]:
        history, _, shell = booted(processes_max=64)
        for number in range(200):
            child = history.forks(shell, uid=number % 3)
            history.execs(child, f"/bin/{number}")
            if number % 5:
                history.exits(child)
        return [*history.tree.alive(), *history.tree.snapshot()]

    assert tell() == tell()
