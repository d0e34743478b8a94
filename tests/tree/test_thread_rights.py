"""Whose rights a thread has, and a child that it bears: its own, or those of whoever made it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.events import Fork, Stamp
from pipeline.tree import ProcessKey
from tests.tree.answers import id_of
from tests.tree.history import History, Who, booted
from tests.tree.test_thread_histories import TID, thread


def test_a_thread_has_the_rights_of_the_one_that_made_it_and_not_of_its_process_now() -> None:
    history, _, shell = booted()
    history.starts_thread(shell, TID)
    history.changes_credentials(shell, 1, tid=TID)
    history.starts_thread(shell, TID + 1, birth_tid=TID)
    history.starts_thread(shell, TID + 2)
    history.changes_credentials(shell, 2, tid=TID)
    history.changes_credentials(shell, 3)
    history.starts_thread(shell, TID + 3, birth_tid=TID + 1)
    rights = [thread(history, shell, tid=TID + number).credentials.uid for number in range(4)]
    assert rights == [2, 1, 0, 1]
    assert [answer.credentials.uid for answer in history.tree.threads_of(ProcessKey(id_of(shell.key)))] == [3, *rights]


def test_threads_that_made_one_another_in_a_long_row_have_the_rights_of_the_first() -> None:
    history, _, shell = booted(threads_max=5000)
    history.starts_thread(shell, 1000)
    history.changes_credentials(shell, 7, tid=1000)
    for tid in range(1001, 4000):
        history.starts_thread(shell, tid, birth_tid=tid - 1)
    assert thread(history, shell, tid=3999).credentials.uid == 7


def _groups(history: History, who: Who) -> tuple[tuple[int, ...], bool]:
    answer = history.tree.process(ProcessKey(id_of(who.key)))
    return answer.process.credentials.groups, "supplemental_groups" in answer.unsure


@pytest.mark.parametrize("leader_gone", [False, True])
@pytest.mark.parametrize("overtaken", [False, True])
def test_a_child_has_the_groups_of_the_thread_that_bore_it(leader_gone: bool, overtaken: bool) -> None:
    """No record of a birth tells them, and a thread may have got others alone, or have them from who made it."""
    history, _, shell = booted()
    history.changes_credentials(shell, 0, groups=(1, 2))
    for tid, maker in ((TID, None), (TID + 1, TID), (TID + 2, TID + 1)):
        history.starts_thread(shell, tid, birth_tid=maker)
        if tid == TID:
            history.changes_credentials(shell, 0, groups=(7, 8), tid=TID)
    history.starts_thread(shell, TID + 3)
    if leader_gone:
        history.ends_thread(shell, shell.pid)
    children = []
    for tid in (TID + 2, TID + 3):
        child = history.forks(replace(shell, tid=tid), tell=not overtaken)
        if overtaken:
            history.renames(child, "early")
            history.changes_session(child)
            fork = Fork(Stamp(child.start_ns, 0, 0, 0), child.task(), shell.pid, tid, shell.start_ns, False)
            history.tell(fork)
        children.append(child)
    assert [_groups(history, child) for child in children] == [((7, 8), False), ((1, 2), False)]
    history.changes_directory(shell, "/late", at=children[0].start_ns - 1)
    assert [_groups(history, child) for child in children] == [((7, 8), False), ((1, 2), False)]


def test_what_the_leader_is_told_late_to_have_got_is_not_a_childs_that_another_thread_bore() -> None:
    history, _, shell = booted()
    history.starts_thread(shell, TID)
    late_ns = history.now_ns
    history.now_ns += 5000
    child, others = history.forks(replace(shell, tid=TID)), history.forks(shell)
    now_ns, history.now_ns = history.now_ns, late_ns
    history.changes_credentials(shell, 0, groups=(7, 8))
    history.now_ns = now_ns
    assert [_groups(history, one) for one in (child, others)] == [((0,), False), ((7, 8), False)]


def test_groups_from_a_thread_that_nobody_told_of_are_unsure() -> None:
    history, _, shell = booted()
    history.starts_thread(shell, TID)
    history.changes_credentials(shell, 0, groups=(7, 8), tid=TID)
    assert _groups(history, history.forks(replace(shell, tid=TID + 1))) == ((0,), True)
    history.execs(shell, "/bin/new")  # it has one thread from now on
    assert _groups(history, history.forks(replace(shell, tid=TID + 2))) == ((), False)
