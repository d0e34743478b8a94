"""An event that does not fit changes nothing, and is counted under its reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.tree.history import History, Who, booted


def _ended(history: History, shell: Who) -> Who:
    child = history.forks(shell)
    history.starts_thread(child, 900)
    history.exits(child)
    return child


def _evicted(history: History, shell: Who) -> Who:
    child = _ended(history, shell)
    for _ in range(120):
        history.exits(history.forks(shell))
    assert history.tree.get(*child.key) is None
    return child


def _nobody(_: History, shell: Who) -> Who:
    return Who(300, 3)


def _shell(_: History, shell: Who) -> Who:
    return shell


def _child(history: History, shell: Who) -> Who:
    return history.forks(shell)


def _grandchild(history: History, shell: Who) -> Who:
    return history.forks(history.forks(shell))


def _executed(history: History, shell: Who) -> Who:
    history.execs(shell, "/bin/zsh")
    return shell


def _threaded(history: History, shell: Who) -> Who:
    history.starts_thread(shell, 900)
    return shell


def _young(history: History, shell: Who) -> Who:
    """Its start is later than the records that follow."""
    return history.forks(shell, start_ns=history.now_ns + 100_000)


Prepare = Callable[[History, Who], Who]
Happen = Callable[[History, Who, Who], object]  # history, the shell, what Prepare gave

CASES: dict[str, tuple[str, Prepare, Happen]] = {
    "a birth told twice": ("fork_twice", _child, lambda h, s, c: h.born(c, s)),
    "a birth after birth and end": ("fork_twice", _ended, lambda h, s, c: h.born(c, s)),
    "a birth after eviction": ("fork_twice", _evicted, lambda h, s, c: h.born(c, s)),
    "a birth of itself": ("fork_of_itself", _nobody, lambda h, s, c: h.born(c, c)),
    "a birth of a known one of itself": ("fork_of_itself", _shell, lambda h, s, c: h.born(c, c)),
    "a birth by its own child": ("fork_of_itself", _child, lambda h, s, c: h.born(s, c)),
    "a birth by its own grandchild": ("fork_of_itself", _grandchild, lambda h, s, c: h.born(s, c)),
    "an end told twice": ("exit_twice", _ended, lambda h, s, c: h.exits(c)),
    "an end after eviction": ("exit_twice", _evicted, lambda h, s, c: h.exits(c)),
    "an end before its start": ("exit_before_start", _child, lambda h, s, c: h.exits(c, at=c.start_ns - 1)),
    "an exec after the end": ("exec_after_exit", _ended, lambda h, s, c: h.execs(c, "/bin/late")),
    "an exec after eviction": ("exec_after_exit", _evicted, lambda h, s, c: h.execs(c, "/bin/late")),
    "a thread told twice": ("thread_start_twice", _threaded, lambda h, s, c: h.starts_thread(c, 900)),
    "a thread that is the leader": ("thread_start_twice", _shell, lambda h, s, c: h.starts_thread(c, c.pid)),
    "an end of a thread before its start": (
        "thread_exit_before_start",
        _threaded,
        lambda h, s, c: h.ends_thread(c, 901, h.now_ns + 10_000),
    ),
    "an end of a leader before its start": (
        "thread_exit_before_start",
        _young,
        lambda h, s, c: h.ends_thread(c, c.pid),
    ),
    "an argv of nobody": ("command_line_of_unknown", _nobody, lambda h, s, c: h.args(c, "x")),
    "an argv after an exec": ("command_line_too_late", _executed, lambda h, s, c: h.args(c, "bash")),
    "an argv after a birth": ("command_line_too_late", _child, lambda h, s, c: h.args(c, "bash")),
    "an argv after the end": ("command_line_too_late", _ended, lambda h, s, c: h.args(c, "bash")),
    "pid 0": ("pid_zero", lambda h, s: Who(0, 5), lambda h, s, c: h.execs(c, "/bin/idle")),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_transition_changes_nothing_and_is_counted(case: str) -> None:
    reason, prepare, happen = CASES[case]
    history, _, shell = booted()
    who = prepare(history, shell)
    before = list(history.tree.alive()), history.tree.get(*who.key), history.tree.threads(*who.key)
    assert history.bad == {}
    assert happen(history, shell, who) is None
    assert history.bad == {reason: 1}
    assert (list(history.tree.alive()), history.tree.get(*who.key), history.tree.threads(*who.key)) == before


def test_what_has_ended_is_not_found_running() -> None:
    history, _, shell = booted()
    child = _ended(history, shell)
    history.runs("/bin/bash", shell, pid=child.pid, start_ns=child.start_ns)
    assert history.bad == {"running_after_exit": 1}
    assert history.get(child).end_ns is not None


def test_nothing_is_known_before_the_host_is() -> None:
    history = History(boot=False)
    init = history.runs("/sbin/init", pid=1)
    assert history.execs(init, "/bin/sh") is None
    history.starts_thread(init, 5)
    assert (len(history.tree), history.bad) == (0, {"before_host_facts": 3})


def test_parents_in_a_circle_are_cut_apart() -> None:
    history = History()
    one, two = Who(10, 1), Who(20, 2)
    one.parent, two.parent = two, one
    history.runs("/bin/one", two, pid=10, start_ns=1)
    history.runs("/bin/two", one, pid=20, start_ns=2)
    versions = history.snapshot_ends()
    assert history.bad == {"parent_cycle": 1}
    assert sorted(version.depth for version in versions) == [0, 1]


def test_births_in_a_circle_told_backwards_are_refused() -> None:
    history, _, _ = booted()
    one, two = Who(300, 3_000_000), Who(400, 3_000_001)
    assert history.born(two, one) is not None
    assert history.born(one, two) is None
    assert history.bad == {"fork_of_itself": 1}


def test_command_lines_that_find_no_process_are_counted_at_the_snapshots_end() -> None:
    history = History()
    history.args(Who(300, 3), "gone")
    assert history.bad == {}
    history.snapshot_ends()
    assert history.bad == {"command_line_of_unknown": 1}


def test_command_lines_held_are_bounded() -> None:
    history = History(processes_max=4)
    for pid in range(300, 310):
        history.args(Who(pid, 3), "gone")
    assert history.bad == {"command_line_of_unknown": 6}


def test_a_thread_that_dies_with_its_process_may_be_told_after_it() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.starts_thread(child, 900)
    history.exits(child)
    history.ends_thread(child, 900)
    assert history.bad == {}


def test_what_is_no_event_of_the_tree_is_a_mistake_of_the_caller() -> None:
    history, _, _ = booted()
    with pytest.raises(TypeError, match="not an event of the tree"):
        history.tree.apply("fork")  # type: ignore[arg-type]
