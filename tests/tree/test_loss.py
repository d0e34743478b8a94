"""What a loss puts in doubt, and which records make it sure again. What a walk mends is in test_repair."""

from __future__ import annotations

import pytest

from pipeline import wire
from tests.tree.history import BASH, Who, booted


def test_a_lost_exec_makes_the_images_of_the_living_unsure() -> None:
    history, init, shell = booted()
    gone = history.forks(shell)
    history.exits(gone)
    history.loses(wire.EXEC)
    assert [history.doubt(who) for who in (init, shell)] == [("loss",)] * 2
    assert history.doubt(gone) == ()  # it had ended before


@pytest.mark.parametrize("kind", [wire.RENAME, wire.CREDENTIALS, wire.THREAD_START, wire.FORK])
def test_a_loss_of_other_records_leaves_the_living_sure(kind: int) -> None:
    history, _, shell = booted()
    history.loses(kind)
    assert history.doubt(shell) == ()


def test_a_lost_end_makes_it_unsure_whose_child_everyone_is_until_a_record_names_the_parent() -> None:
    history, init, shell = booted()
    parent = history.forks(shell)
    first, second = history.forks(parent), history.forks(parent)
    history.loses(wire.EXIT)
    first.parent = second.parent = init
    assert [history.doubt(who) for who in (first, second)] == [("loss",)] * 2
    history.changes_credentials(first, 7)
    assert [history.doubt(who) for who in (first, second)] == [(), ("loss",)]
    reaper = history.get(first).reaper
    assert reaper is not None
    assert reaper.pid == 1


def test_a_record_of_another_thread_makes_it_sure_where_the_parent_is_still_the_same() -> None:
    history, init, shell = booted()
    parent = history.forks(shell)
    moved, stays = history.forks(parent), history.forks(shell)
    history.loses(wire.EXIT)
    moved.parent = init
    history.changes_credentials(moved, 7, tid=900)  # of the parent that it names nothing is taken
    history.changes_namespaces(stays, 7, tid=901)
    assert [history.doubt(who) for who in (moved, stays)] == [("loss",), ()]


def test_where_an_end_could_not_name_who_adopts_its_children_are_in_doubt_until_they_do() -> None:
    history, init, shell = booted()
    parent = history.forks(shell)
    child = history.forks(parent)
    history.exits(parent)
    assert history.doubt(child) == ("loss",)
    child.parent = init
    history.execs(child, "/bin/sleep")
    assert history.doubt(child) == ()


def test_an_exec_from_before_the_loss_that_was_handed_over_after_its_mark_hides_no_later_one() -> None:
    """One execs twice: the first fits the ring, the second does not."""
    history, _, shell = booted()
    history.loses(wire.EXEC, records=2)
    history.execs(shell, "/usr/bin/first")
    history.execs_unseen(shell, "/usr/bin/second")
    assert history.doubt(shell) == ("loss",)
    history.walks((shell, "/usr/bin/second"))
    assert (history.get(shell).image.name, history.doubt(shell)) == ("second", ())


def test_an_exec_that_is_told_is_sure_again() -> None:
    history, _, shell = booted()
    history.loses(wire.EXEC)
    version = history.execs(shell, "/usr/bin/zsh")
    assert version is not None
    assert version.doubt == ()


def test_a_record_that_counts_no_exec_more_clears_it_and_one_that_does_says_so() -> None:
    history, _, shell = booted()
    other = history.forks(shell)
    history.loses(wire.EXEC)
    history.execs_unseen(other, "/usr/bin/zsh")
    for who in (shell, other):
        history.changes_credentials(who, 7)
    assert [history.doubt(who) for who in (shell, other)] == [(), ("loss",)]


def test_an_exec_that_nobody_admits_to_have_lost_is_noticed_by_the_next_record() -> None:
    history, _, shell = booted()
    history.execs_unseen(shell, BASH)
    assert history.doubt(shell) == ()
    history.changes_credentials(shell, 7)
    assert history.doubt(shell) == ("loss",)


def test_a_record_from_before_the_end_of_the_loss_clears_nothing() -> None:
    history, _, shell = booted()
    before_ns = history.now_ns + 1
    history.loses(wire.EXEC)
    child = history.forks(shell, at=before_ns)
    assert [history.doubt(who) for who in (shell, child)] == [("loss",)] * 2
    history.changes_credentials(child, 7)
    assert [history.doubt(who) for who in (shell, child)] == [("loss",), ()]


def test_who_ends_is_in_doubt_for_ever_only_if_its_end_counts_an_exec_more() -> None:
    history, _, shell = booted()
    same, other = history.forks(shell), history.forks(shell)
    history.loses(wire.EXEC)
    history.execs_unseen(other, "/usr/bin/zsh")
    for who in (same, other):
        history.exits(who)
    history.walks()
    assert [history.doubt(who) for who in (same, other)] == [(), ("loss",)]


def test_who_is_closed_is_in_doubt_unless_its_end_says_otherwise() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.loses(wire.EXEC)
    history.walks()
    assert (history.closed(), history.doubt(child)) == ([child.pid], ("loss",))
    history.exits(child)
    assert history.doubt(child) == ()


def test_a_child_says_whether_its_parent_was_what_it_is_known_as() -> None:
    history, _, shell = booted()
    before = history.forks(shell)
    history.loses(wire.EXEC)
    child = history.forks(shell)
    assert [history.doubt(who) for who in (shell, child, before)] == [("loss",), (), ("loss",)]
    history.execs_unseen(child, "/usr/bin/env")
    grandchild = history.forks(child)
    history.execs(grandchild, "/usr/bin/curl")
    history.execs(before, "/usr/bin/ls")
    assert [history.doubt(who) for who in (before, child, grandchild)] == [(), ("loss",), ("loss",)]


def test_a_process_whose_birth_is_told_but_no_parent_known_has_a_sure_image() -> None:
    history, _, _ = booted()
    history.loses(wire.EXEC)
    orphan = history.forks(Who(4000, 40))
    assert history.doubt(orphan) == ("loss", "unknown_parent")
    assert history.counters.unknown_parents == 1
