"""A late fact of a parent costs what it changes: who has of its parent what he should have is not made anew."""

from __future__ import annotations

import pytest

from pipeline import wire
from pipeline.tree.changes import folding
from pipeline.tree.known.history import Version
from tests.tree.history import BASH, STEP_NS, History, Who, booted

CHILDREN = 20
RENAMES = 6


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> list[Version]:
    """Versions that were made anew, or would have been."""
    made: list[Version] = []
    real = folding._carried

    def counted(before: Version, version: Version) -> Version:
        made.append(version)
        return real(before, version)

    monkeypatch.setattr(folding, "_carried", counted)
    return made


def _a_shell_of_many_children(executing: bool = True) -> tuple[History, Who, list[Who], int]:
    """And a moment before their births."""
    history, _, shell = booted()
    history.now_ns += 10 * STEP_NS
    before_ns = history.now_ns - 5 * STEP_NS
    children = [history.forks(shell) for _ in range(CHILDREN)]
    for child in children:
        if executing:
            history.execs(child, "/bin/child")
        for number in range(RENAMES):
            history.renames(child, f"child{number}")
        history.exits(child)
    return history, shell, children, before_ns


def _directory_at_birth(history: History, child: Who) -> str:
    process = history.tree._state.processes.peek(child.key)
    assert process is not None
    assert process.past
    assert process.birth
    assert process.birth.working_directory == process.past[0].working_directory
    return process.past[0].working_directory


def test_a_late_fact_that_no_child_inherits_makes_none_of_them_anew(carried: list[Version]) -> None:
    history, shell, _, before_ns = _a_shell_of_many_children()
    history.now_ns, now_ns = before_ns, history.now_ns
    history.renames(shell, "late")
    history.now_ns = now_ns
    assert 0 < len(carried) < CHILDREN


def test_of_a_child_that_told_it_anew_no_more_than_the_first_versions_are_made_anew(carried: list[Version]) -> None:
    history, shell, children, before_ns = _a_shell_of_many_children()
    history.changes_directory(shell, "/late", at=before_ns)
    assert {_directory_at_birth(history, child) for child in children} == {"/late"}
    assert CHILDREN <= len(carried) < 3 * CHILDREN
    assert {history.get(child).working_directory for child in children} != {"/late"}


def test_of_a_child_that_told_nothing_of_it_all_versions_get_it(carried: list[Version]) -> None:
    history, shell, children, before_ns = _a_shell_of_many_children(executing=False)
    history.changes_directory(shell, "/late", at=before_ns)
    assert {history.get(child).working_directory for child in children} == {"/late"}
    assert len(carried) >= CHILDREN * (1 + RENAMES)


def test_an_exec_that_a_walk_makes_good_is_told_to_those_born_of_it_alone(carried: list[Version]) -> None:
    history, shell, children, _ = _a_shell_of_many_children()
    history.loses(wire.EXEC)
    history.execs_unseen(shell, "/usr/bin/zsh")
    child = history.forks(shell)
    carried.clear()
    history.walks((shell, "/usr/bin/zsh"))
    assert history.get(child).image.name == "zsh"
    assert 0 < len(carried) < CHILDREN
    assert {history.get(one).ancestors[0].image.name for one in children} == {BASH.rpartition("/")[2]}
