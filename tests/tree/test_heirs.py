"""Records that name a parent which has ended: the kernel gives its children away a moment after its end is told."""

from __future__ import annotations

from pipeline.events import Exit, Stamp
from tests.tree.history import History, Who, booted


def _ends(history: History, who: Who, heir: Who) -> None:
    history.now_ns += 1000
    stamp = Stamp(history.now_ns, 0, 0, 0)
    assert history.tree.apply(Exit(stamp, who.task(), 0, False, heir.pid, heir.start_ns))


def _reaper(history: History, who: Who) -> int:
    reaper = history.get(who).reaper
    return 0 if reaper is None else reaper.pid


def test_an_exec_that_names_a_parent_which_has_ended_names_its_heir() -> None:
    history, init, shell = booted()
    parent = history.forks(shell)
    child = history.forks(parent)
    _ends(history, parent, init)
    assert _reaper(history, child) == 1
    history.execs(child, "/bin/sleep")  # its record still has the parent that it had
    assert _reaper(history, child) == 1


def test_a_subreaper_whose_end_is_told_first_is_passed_over() -> None:
    history, init, shell = booted()
    subreaper = history.forks(shell)
    parent = history.forks(subreaper)
    child = history.forks(parent)
    _ends(history, subreaper, init)
    _ends(history, parent, subreaper)
    assert _reaper(history, child) == 1


def test_a_child_told_of_after_its_reaper_has_ended_is_the_heirs() -> None:
    history, init, shell = booted()
    caller = history.forks(shell)
    sibling = history.forks(caller, parent=shell, tell=False)  # CLONE_PARENT
    _ends(history, shell, init)
    history.born(sibling, caller)
    assert _reaper(history, sibling) == 1
    assert history.get(sibling).ancestors[0].pid == caller.pid


def test_where_an_end_named_nobody_the_next_record_does() -> None:
    history, init, shell = booted()
    parent = history.forks(shell)
    child = history.forks(parent)
    history.exits(parent)
    assert _reaper(history, child) == 0
    child.parent = init
    history.execs(child, "/bin/sleep")
    assert _reaper(history, child) == 1
