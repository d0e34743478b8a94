"""Threads of a group, and what exec and exit do to them."""

from __future__ import annotations

import pytest

from pipeline.tree import NoAnswer, ProcessKey, ThreadKey
from tests.tree.history import booted


def test_a_leader_counts_as_a_thread() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    assert history.tree.threads(*child.key) == (child.pid,)
    history.starts_thread(child, 900)
    assert history.tree.threads(*child.key) == (child.pid, 900)


def test_a_thread_is_known_by_tid_and_start() -> None:
    history, _, shell = booted()
    history.starts_thread(shell, 900, 5)
    history.starts_thread(shell, 900, 6)
    thread = history.tree.thread(900, 5)
    assert thread is not None
    assert (thread.process, thread.birth_tid, thread.name) == (shell.key, shell.pid, "bash")
    history.ends_thread(shell, 900, 5)
    assert history.tree.thread(900, 5) is None
    assert history.tree.thread(900, 6) is not None


def test_a_process_lives_on_when_its_leader_has_ended() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.starts_thread(child, 900)
    history.ends_thread(child, child.pid)
    assert history.get(child).end_ns is None
    assert history.tree.threads(*child.key) == (900,)


def test_an_exec_by_another_thread_keeps_the_process_and_ends_the_other_threads() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    for tid in (900, 901):
        history.starts_thread(child, tid)
    before = history.get(child)
    history.ends_thread(child, child.pid)  # the leader goes first, the caller takes its tid and start
    version = history.execs(child, "/usr/bin/new")
    assert version is not None
    assert (version.entity_id, version.tid, version.image.name) == (before.entity_id, child.pid, "new")
    assert history.tree.threads(*child.key) == (child.pid,)
    assert history.tree.thread(900, child.start_ns + 900) is None


def test_an_exit_ends_all_threads() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.starts_thread(child, 900)
    history.exits(child)
    assert history.tree.threads(*child.key) == ()
    assert history.tree.thread(900, child.start_ns + 900) is None


def test_a_child_of_a_thread_is_a_child_of_its_process() -> None:
    history, _, shell = booted()
    history.starts_thread(shell, 900)
    shell.tid = 900
    child = history.get(history.forks(shell))
    assert child.parent is not None
    assert child.parent.pid == shell.pid


def test_a_thread_older_than_the_source_may_end() -> None:
    history, _, shell = booted()
    history.ends_thread(shell, 900)
    threads = history.tree.threads_of(ProcessKey(history.get(shell).entity_id))
    assert [(thread.tid, thread.alive) for thread in threads] == [(shell.pid, True), (900, False)]
    assert history.bad == {}


def test_of_the_ended_threads_the_longest_unused_goes() -> None:
    history, _, shell = booted(threads_max=4)
    for tid in range(900, 904):
        history.starts_thread(shell, tid)
    ids = {answer.tid: answer.entity_id for answer in history.tree.threads_of(ProcessKey(history.get(shell).entity_id))}
    for tid in (900, 901):
        history.ends_thread(shell, tid)
    history.tree.thread_at(ThreadKey(ids[900]))  # used
    history.starts_thread(shell, 904)
    assert history.tree.threads(*shell.key) == (shell.pid, 902, 903, 904)
    assert history.tree.thread_at(ThreadKey(ids[900])).alive is False
    with pytest.raises(NoAnswer, match="forgotten"):
        history.tree.thread_at(ThreadKey(ids[901]))
    assert (history.counters.threads_evicted, history.counters.threads_over_bound) == (1, 0)
    assert history.bad == {}


def test_a_thread_that_is_told_of_before_its_process_is_one_of_it() -> None:
    history, _, shell = booted()
    child = history.forks(shell, tell=False)
    history.starts_thread(child, 900)
    assert history.renames(child, "worker", 900) is None
    history.born(child, shell)
    thread = history.tree.thread(900, child.start_ns + 900)
    assert thread is not None
    assert thread.name == "worker"
    assert history.bad == {}


def test_of_what_is_told_of_unknown_processes_so_much_is_held_and_the_rest_counted() -> None:
    history, _, shell = booted(processes_max=8)
    for number in range(10):
        history.starts_thread(history.forks(shell, tell=False), 900 + number)
    assert history.bad == {"thread_of_unknown_process": 2}


def test_threads_of_nobody_are_none() -> None:
    history, _, _ = booted()
    assert history.tree.threads(4000, 40) == ()
