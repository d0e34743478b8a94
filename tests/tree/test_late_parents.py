"""A fact told late that makes another process the parent: the child is that one's at once, and goes where it goes."""

from __future__ import annotations

from dataclasses import replace

from tests.tree.adoption_histories import a_sibling_that_ends_adopted
from tests.tree.history import STEP_NS, History, Who, booted
from tests.tree.test_permutations import Expected


def _reaper(history: History, who: Who) -> int | None:
    version = history.get(who)
    return version.reaper.pid if version.reaper else None


def _children(history: History, who: Who) -> list[int]:
    """Whom its end would hand over."""
    found = history.tree._state.processes.peek(who.key)
    assert found is not None
    return [pid for pid, _ in found.children or ()]


def _adopted_late() -> tuple[History, Who, Who, Who, Who]:
    """An exec that names another parent comes after the rename that followed it; no end of the first was told yet."""
    history, init, shell = booted()
    parent, adopter = history.forks(shell), history.forks(shell)
    child = history.forks(parent)
    exec_ns = history.now_ns + STEP_NS
    history.now_ns += 2 * STEP_NS
    history.renames(child, "worker")
    child.parent = adopter
    history.execs(child, "/bin/child", at=exec_ns, comm="child")
    return history, init, parent, adopter, child


def test_a_late_record_puts_a_child_below_the_parent_that_it_names() -> None:
    history, _, parent, adopter, child = _adopted_late()
    assert (_children(history, parent), _children(history, adopter)) == ([], [child.pid])
    assert _reaper(history, child) == adopter.pid


def test_who_has_adopted_by_a_late_record_hands_the_child_over() -> None:
    history, init, _, adopter, child = _adopted_late()
    history.exits(adopter, reaper=init)
    assert _reaper(history, child) == 1
    assert child.pid in _children(history, init)


def test_who_has_lost_a_child_by_a_late_record_does_not_hand_it_over() -> None:
    history, init, parent, adopter, child = _adopted_late()
    history.exits(parent, reaper=init)
    assert _reaper(history, child) == adopter.pid
    assert _children(history, adopter) == [child.pid]


def test_an_end_told_late_gives_the_child_of_a_late_record_to_the_heir_from_then_on() -> None:
    """The child's own record of after that end has been told, and names the heir."""
    history, init, _, adopter, child = _adopted_late()
    history.now_ns += 10 * STEP_NS
    end_ns = history.now_ns - 5 * STEP_NS
    child.parent = init
    history.execs(child, "/bin/again")
    history.exits(replace(adopter), reaper=init, at=end_ns)
    state = history.tree._state
    process = state.processes.peek(child.key)
    assert process is not None
    reapers = [(one.since_ns, one.reaper_key) for one in process.past or ()]
    assert reapers[-1] == (end_ns, init.key)
    assert child.pid in _children(history, init)


def test_a_sibling_whose_birth_parent_is_not_known_yet_goes_with_its_parents_children() -> None:
    """The end of its parent is told after its own."""
    expected = Expected(a_sibling_that_ends_adopted())
    birth_a, birth_b, birth_c, end_a, end_c = expected.world.events
    expected.assert_holds(expected.told_as([birth_a, birth_c, end_c, end_a, birth_b]))
