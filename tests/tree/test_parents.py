"""Both edges to a parent, from when to when: who gave birth to a process, and whoever would have reaped it."""

from __future__ import annotations

import pytest

from pipeline.tree import NoAnswer, ParentAnswer, ProcessKey
from tests.tree.answers import id_of
from tests.tree.history import History, Who, booted

Edge = tuple[str, int, int, int | None, str, bool]


def _parents(history: History, who: Who, time_ns: int | None = None) -> list[Edge]:
    return [_told(one) for one in history.tree.parents(ProcessKey(id_of(who.key), time_ns))]


def _told(one: ParentAnswer) -> Edge:
    return one.edge, one.parent.pid, one.since_ns, one.until_ns, one.how, one.unsure


def test_an_adopted_process_has_had_two_reapers_and_one_birth() -> None:
    history, init, shell = booted()
    parent = history.forks(shell)
    child = history.forks(parent)
    born_ns = history.now_ns
    history.execs(child, "/usr/bin/daemon")
    history.exits(parent, reaper=init)
    adopted_ns = history.now_ns
    child.parent = init
    birth, first = ("birth", parent.pid, born_ns), ("reaper", parent.pid, born_ns, adopted_ns, "kernel", False)
    assert _parents(history, child) == [
        (*birth, None, "kernel", False),
        first,
        ("reaper", init.pid, adopted_ns, None, "kernel", False),
    ]
    assert _parents(history, child, adopted_ns - 1) == [(*birth, None, "kernel", False), first]
    history.exits(child)
    assert _parents(history, child)[0] == (*birth, history.now_ns, "kernel", False)
    assert _parents(history, child)[2] == ("reaper", init.pid, adopted_ns, history.now_ns, "kernel", False)


def test_a_parent_is_told_as_it_was_when_the_edge_began() -> None:
    history, _, shell = booted()
    parent = history.forks(shell)
    child = history.forks(parent)
    history.execs(parent, "/usr/bin/later")
    birth, reaper = history.tree.parents(ProcessKey(id_of(child.key)))
    assert (birth.parent.image.name, reaper.parent.image.name) == ("bash", "bash")


def test_a_late_end_of_the_parent_tells_since_when_another_is() -> None:
    history, init, shell = booted()
    parent = history.forks(shell)
    child = history.forks(parent)
    before = _parents(history, child)
    adopted_ns = history.now_ns + 1
    child.parent = init
    history.execs(child, "/usr/bin/daemon")
    assert _parents(history, child)[:1] == before[:1]
    history.exits(parent, at=adopted_ns, reaper=init)
    assert [(edge, pid, since) for edge, pid, since, *_ in _parents(history, child)[1:]] == [
        ("reaper", parent.pid, before[1][2]),
        ("reaper", init.pid, adopted_ns),
    ]


def test_whose_birth_nobody_told_of_has_an_unsure_one() -> None:
    history, init, shell = booted()
    assert [(edge, pid, how, unsure) for edge, pid, _, _, how, unsure in _parents(history, shell)] == [
        ("birth", init.pid, "snapshot", False),
        ("reaper", init.pid, "snapshot", False),
    ]
    assert _parents(history, init) == []
    child = history.forks(shell, tell=False)
    history.execs(child, "/usr/bin/curl")
    assert [(edge, pid, how, unsure) for edge, pid, _, _, how, unsure in _parents(history, child)] == [
        ("birth", shell.pid, "kernel", True),
        ("reaper", shell.pid, "kernel", False),
    ]


def test_where_versions_are_missing_there_may_have_been_another() -> None:
    history, init, shell = booted(versions_max=3)
    subreaper = history.forks(shell)
    parent = history.forks(subreaper)
    child = history.forks(parent)
    history.exits(parent, reaper=subreaper)
    history.exits(subreaper, reaper=init)
    child.parent = init
    for name in "abc":
        history.renames(child, name)
    (birth, *reapers) = _parents(history, child)
    assert birth[5] is False
    assert any(unsure for *_, unsure in reapers)


def test_before_its_birth_there_is_no_answer() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    with pytest.raises(NoAnswer, match="born") as raised:
        _parents(history, child, child.start_ns - 1)
    assert raised.value.reason == "not_yet_born"
