"""How many relatives are not known any more: beside a list of all that was ever born."""

from __future__ import annotations

import random

import pytest

from pipeline.tree import ProcessKey
from tests.tree.answers import id_of
from tests.tree.history import Who, booted


@pytest.fixture(autouse=True)
def few_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tree.known.retention.EVICTED_MIN", 30)


def test_a_parent_of_many_says_how_many_it_has_had_also_of_those_that_nobody_remembers() -> None:
    history, _, shell = booted(processes_max=20)
    parent = history.forks(shell)
    for _ in range(500):
        history.exits(history.forks(parent))
    known = len(list(history.tree.children(ProcessKey(id_of(parent.key)))))
    assert known == 17
    assert history.tree.forgotten(ProcessKey(id_of(parent.key)), "children") == 500 - known
    assert history.tree.forgotten(ProcessKey(id_of(parent.key)), "descendants") == 500 - known
    assert history.tree.forgotten(ProcessKey(id_of(shell.key)), "children") == 0
    assert history.tree.forgotten(ProcessKey(id_of(shell.key)), "descendants") == 500 - known
    assert history.tree.forgotten(ProcessKey(id_of(parent.key), parent.start_ns), "children") == 0


@pytest.mark.parametrize("seed", range(20))
def test_known_and_forgotten_together_are_all_that_were_born(seed: int) -> None:
    dice = random.Random(seed)
    history, init, shell = booted(processes_max=20)
    born: dict[tuple[int, int], Who] = {}
    parents: dict[tuple[int, int], tuple[int, int]] = {}
    living = [shell]
    for _ in range(400):
        if len(living) > 1 and dice.random() < 0.5:
            history.exits(living.pop(dice.randrange(1, len(living))))
        elif len(living) < 12:
            parent = dice.choice(living)
            child = history.forks(parent)
            born[child.key], parents[child.key] = child, parent.key
            living.append(child)

    def above(key: tuple[int, int]) -> set[tuple[int, int]]:
        found = set()
        while key in parents:
            key = parents[key]
            found.add(key)
        return found

    tree = history.tree
    for who in living:
        key = ProcessKey(id_of(who.key))
        children = sum(parents[one] == who.key for one in born)
        assert tree.forgotten(key, "children") == children - len(list(tree.children(key)))
        below = sum(who.key in above(one) for one in born)
        assert tree.forgotten(key, "descendants") == below - len(list(tree.descendants(key)))
        assert tree.forgotten(key, "living") == 0
        if who is not shell:
            others = sum(parents[one] == parents[who.key] for one in born) - 1
            assert tree.forgotten(key, "siblings") == others - len(list(tree.siblings(key)))
    assert tree.forgotten(ProcessKey(id_of(init.key)), "siblings") == 0
    processes = tree._state.processes
    assert all(processes.peek(key) is not None or key in processes.evicted for key in processes.beyond)


def test_of_threads_that_are_forgotten_the_number_is_told() -> None:
    history, _, shell = booted(threads_max=5)
    for tid in range(300, 320):
        history.starts_thread(shell, tid)
        history.ends_thread(shell, tid)
    key = ProcessKey(id_of(shell.key))
    assert history.tree.forgotten(key, "threads") == 20 - (len(history.tree.threads_of(key)) - 1) == 15
