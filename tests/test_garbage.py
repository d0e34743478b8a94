"""When Python looks for garbage that refers to itself: seldom, but it does; and the tree makes none."""

from __future__ import annotations

import gc
import weakref

import anyio
import pytest

from pipeline import garbage
from pipeline.garbage import LOOK_AT_OBJECTS, look_seldom, seldom_collecting
from tests.tree.history import booted


class Circle:
    def __init__(self) -> None:
        self.itself = self


async def test_what_refers_to_itself_is_found_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "EVERY_S", 0.01)
    found = anyio.Event()
    with seldom_collecting():
        circle = weakref.ref(Circle(), lambda _: found.set())
        assert circle() is not None
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(look_seldom)
                await found.wait()
                tasks.cancel_scope.cancel()


def test_pythons_own_thresholds_are_back_afterwards() -> None:
    before = gc.get_threshold()
    with seldom_collecting():
        assert gc.get_threshold()[0] == LOOK_AT_OBJECTS
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_the_tree_makes_none() -> None:
    history, _, shell = booted(processes_max=8)
    gc.collect()
    gc.disable()
    try:
        for number in range(50):
            child = history.forks(shell)
            grandchild = history.forks(child)
            history.execs(child, "/usr/bin/curl")
            history.starts_thread(child, 900 + number)
            history.renames(child, "late")
            history.exits(child)
            history.exits(grandchild)
            history.get(shell)
        assert history.counters.processes_evicted > 50
        assert gc.collect() == 0
    finally:
        gc.enable()
