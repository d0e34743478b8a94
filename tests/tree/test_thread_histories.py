"""What a thread was, by time: in whatever order it was told, by whom it was told, and what is missing of it."""

from __future__ import annotations

import pytest

from pipeline.events import Exec, Rename, Stamp, ThreadEnd
from pipeline.tree import NoAnswer, ProcessKey, ThreadAnswer, ThreadKey
from pipeline.tree.changes.thread_groups import LEADER_ENDS_MAX
from pipeline.tree.known.threads import SHARE
from tests.tree.answers import id_of
from tests.tree.history import BASH, FILE, STEP_NS, SYSTEMD, History, Who, booted

TID = 900


def thread_id(who: Who, tid: int = TID) -> str:
    return id_of((tid, who.start_ns + tid))


def thread(history: History, who: Who, time_ns: int | None = None, tid: int = TID) -> ThreadAnswer:
    return history.tree.thread_at(ThreadKey(thread_id(who, tid), time_ns))


def leader(history: History, who: Who, time_ns: int | None = None) -> ThreadAnswer:
    return history.tree.thread_at(ThreadKey(id_of(who.key), time_ns))


def lives(answers: list[ThreadAnswer]) -> list[tuple[int, int | None, bool]]:
    return [(answer.since_ns, answer.until_ns, answer.alive) for answer in answers]


# How each fact was learnt.


def test_a_version_says_what_was_told_and_how() -> None:
    history, _, shell = booted()
    history.finds_thread(shell, TID)
    history.changes_credentials(shell, 1000, tid=TID)
    history.renames(shell, "worker", tid=TID)
    found, other_user, renamed = history.tree.thread_versions(thread_id(shell))
    assert (found.how, found.told, found.birth_tid) == ("snapshot", ("thread_name",), None)
    assert (other_user.how, other_user.told) == ("kernel", ("credentials", "supplemental_groups", "thread_name"))
    assert (renamed.how, renamed.told, renamed.credentials.uid) == ("kernel", ("thread_name",), 1000)
    history.starts_thread(shell, TID)
    assert history.tree.thread_versions(thread_id(shell))[0].told == ("birth", "thread_name")


def test_of_a_thread_found_running_nothing_is_known_from_before() -> None:
    history, _, shell = booted()
    history.finds_thread(shell, TID)
    found_ns = history.now_ns
    with pytest.raises(NoAnswer) as raised:
        thread(history, shell, found_ns - 1)
    assert raised.value.reason == "before_memory"
    assert thread(history, shell, found_ns).since_ns == found_ns
    history.starts_thread(shell, TID)
    assert thread(history, shell, found_ns - 1).since_ns == shell.start_ns + TID


def test_an_end_is_not_shown_before_it() -> None:
    history, _, shell = booted()
    history.starts_thread(shell, TID)
    before_ns = history.now_ns
    history.ends_thread(shell, TID)
    then, now = thread(history, shell, before_ns), thread(history, shell)
    assert (then.end_ns, then.end_how, then.alive, then.until_ns) == (None, None, True, history.now_ns)
    assert (now.end_ns, now.end_how, now.alive) == (history.now_ns, "kernel", False)


@pytest.mark.parametrize("step_ns", [5000, -5000])
def test_of_two_ends_that_are_told_the_first_counts(step_ns: int) -> None:
    history, _, shell = booted()
    history.starts_thread(shell, TID)
    history.now_ns += 10_000
    history.ends_thread(shell, TID)
    one_ns = history.now_ns
    history.now_ns += step_ns
    history.ends_thread(shell, TID)
    assert thread(history, shell).end_ns == min(one_ns, history.now_ns)


# Walks.


def begin_walk(history: History, init: Who, shell: Who) -> None:
    """It has come to both, and to no thread."""
    history.snapshot_begins()
    history.finds(init, SYSTEMD)
    history.finds(shell, BASH, reaper=True)


def walk(history: History, init: Who, shell: Who, *threads: tuple[int, str]) -> None:
    begin_walk(history, init, shell)
    for tid, comm in threads:
        history.finds_thread(shell, tid, comm)
    history.snapshot_ends()


def test_a_walk_repairs_the_name_of_a_thread_that_is_known() -> None:
    history, init, shell = booted()
    history.starts_thread(shell, TID)
    for _ in range(5):
        walk(history, init, shell, (TID, "renamed unseen"))
    first, repaired = history.tree.thread_versions(thread_id(shell))
    assert (first.name, repaired.name, repaired.how) == ("bash", "renamed unseen", "repair")
    found = history.tree.thread(TID, shell.start_ns + TID)
    assert found is not None
    assert len(found.changes) == 3  # of walks that find nothing new the first and the last are kept


def test_an_end_that_was_told_while_a_walk_went_on_stays() -> None:
    history, init, shell = booted()
    history.starts_thread(shell, TID)
    begin_walk(history, init, shell)
    history.ends_thread(shell, TID)
    end_ns = history.now_ns
    history.snapshot_ends()
    assert (thread(history, shell).end_ns, thread(history, shell).end_how) == (end_ns, "kernel")


def test_an_end_that_a_walk_infers_is_said_to_be_and_the_kernels_own_takes_its_place() -> None:
    history, init, shell = booted()
    history.starts_thread(shell, TID)
    walk(history, init, shell)
    inferred = thread(history, shell)
    assert (inferred.alive, inferred.end_how) == (False, "repair")
    history.ends_thread(shell, TID)  # of later than its beginning
    assert (thread(history, shell).end_ns, thread(history, shell).end_how) == (history.now_ns, "kernel")


def test_a_thread_that_a_walk_missed_lived_until_its_last_record_whichever_was_told_last() -> None:
    history, init, shell = booted()
    history.starts_thread(shell, TID)
    begin_walk(history, init, shell)
    history.now_ns += 5000
    history.renames(shell, "last", tid=TID)
    last_ns, history.now_ns = history.now_ns, history.now_ns - 5000
    history.renames(shell, "late", tid=TID)
    history.now_ns = last_ns
    history.snapshot_ends()
    assert (thread(history, shell).end_ns, thread(history, shell).end_how) == (last_ns, "repair")


def test_a_thread_that_a_walk_has_missed_and_the_next_has_found_lives() -> None:
    history, init, shell = booted()
    history.starts_thread(shell, TID)
    walk(history, init, shell)
    assert not thread(history, shell).alive
    walk(history, init, shell, (TID, "bash"))
    assert thread(history, shell).alive


def test_threads_of_a_process_that_a_walk_closes_end_with_it_and_it_not_before_them() -> None:
    history, init, shell = booted()
    child = history.forks(shell)
    history.snapshot_begins()
    history.starts_thread(child, TID)
    began_ns = history.now_ns
    history.finds(init, SYSTEMD)
    history.finds(shell, BASH, reaper=True)
    history.snapshot_ends()  # the child's end was lost
    assert history.get(child).end_ns == began_ns
    assert (thread(history, child).end_ns, thread(history, child).end_how) == (began_ns, "repair")
    assert history.tree.sizes().threads == 0


# What comes after an end.


def test_a_thread_told_to_have_ended_after_its_process_ended_with_it() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.exits(child)
    end_ns = history.now_ns
    history.ends_thread(child, TID)
    assert thread(history, child).end_ns == end_ns
    assert history.bad == {}


def test_what_begins_or_is_found_after_its_process_ended_is_counted() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.exits(child)
    history.starts_thread(child, TID)
    history.finds_thread(child, TID)
    assert history.bad == {"thread_after_exit": 2}


def test_what_is_told_of_threads_of_forgotten_processes_is_counted() -> None:
    history, _, shell = booted(processes_max=3)
    child = history.forks(shell)
    history.exits(child)
    history.forks(shell)
    history.ends_thread(child, TID)
    assert history.bad == {"thread_of_forgotten_process": 1}


def test_a_thread_that_was_forgotten_does_not_come_back() -> None:
    history, _, shell = booted(threads_max=1)
    history.starts_thread(shell, TID)
    history.ends_thread(shell, TID)
    history.starts_thread(shell, TID + 1)
    assert history.renames(shell, "late", tid=TID) is None
    assert history.changes_credentials(shell, 5, tid=TID) is None
    history.ends_thread(shell, TID)
    assert history.bad == {"thread_forgotten": 3}
    assert history.tree.threads(*shell.key) == (shell.pid, TID + 1)


def test_a_thread_is_of_one_process_alone() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.starts_thread(child, TID)
    history.exits(child)
    start_ns = child.start_ns + TID
    history.tell(Rename(Stamp(history.now_ns, 0, 0, 0), shell.pid, TID, shell.start_ns, start_ns, TID, "x"))
    history.starts_thread(shell, TID, start_ns)
    assert history.bad == {"thread_of_another_process": 1, "thread_start_twice": 1}
    assert (thread(history, child).alive, thread(history, child).name) == (False, "bash")


# Bounds.


def test_what_is_dropped_of_a_thread_is_said_before_and_after_the_hole() -> None:
    history, _, shell = booted(versions_max=4)
    history.starts_thread(shell, TID)
    for number in range(8):
        history.renames(shell, f"name{number}", tid=TID)
    answers = history.tree.thread_versions(thread_id(shell))
    assert [answer.name for answer in answers] == ["bash", "name5", "name6", "name7"]
    assert [answer.dropped for answer in answers] == [0, 5, 0, 0]
    assert [answer.dropped_after for answer in answers] == [5, 0, 0, 0]
    assert history.counters.versions_dropped == 5
    in_the_hole = thread(history, shell, answers[1].since_ns - 1)
    assert (in_the_hole.name, in_the_hole.dropped_after) == ("bash", 5)


def test_over_the_bound_the_present_of_a_living_thread_is_kept() -> None:
    history, _, shell = booted(threads_max=2)
    for tid in range(TID, TID + 5):
        history.starts_thread(shell, tid)
    history.changes_credentials(shell, 1234, tid=TID)
    history.renames(shell, "passing", tid=TID)
    history.renames(shell, "newname", tid=TID)
    now = thread(history, shell)
    assert (now.name, now.credentials.uid, now.dropped) == ("newname", 1234, 2)
    first = thread(history, shell, shell.start_ns + TID)
    assert (first.name, first.credentials.uid, first.dropped_after) == ("bash", 0, 2)
    assert (history.counters.versions_dropped, history.counters.threads_over_bound) == (2, 3)


def test_an_exec_that_was_dropped_has_ended_the_threads_all_the_same() -> None:
    history, _, shell = booted(versions_max=4)
    history.starts_thread(shell, TID)
    history.execs(shell, "/bin/first")
    first_ns = history.now_ns
    for number in range(10):
        history.execs(shell, f"/bin/n{number}")
        assert thread(history, shell).end_ns == first_ns
    history.exits(shell)
    assert thread(history, shell).end_ns == first_ns
    history.now_ns += 10
    late_ns, history.now_ns = history.now_ns, first_ns - 1500
    history.renames(shell, "late", tid=TID)
    history.now_ns = late_ns
    assert thread(history, shell).end_ns == first_ns


@pytest.mark.parametrize("told_late", [False, True])
def test_who_took_over_is_known_though_that_exec_was_dropped(told_late: bool) -> None:
    history, _, shell = booted(versions_max=4)
    history.starts_thread(shell, TID)
    ended_ns = history.now_ns + STEP_NS
    if told_late:
        history.now_ns += 2 * STEP_NS
    else:
        history.ends_thread(shell, shell.pid)
    history.execs(shell, "/bin/taken")
    taken_ns = history.now_ns
    if told_late:
        history.now_ns = ended_ns - STEP_NS
        history.ends_thread(shell, shell.pid)
        history.now_ns = taken_ns
    for number in range(20):
        history.execs(shell, f"/bin/n{number}")
    for time_ns, lives in ((ended_ns - 1, (True, True)), (taken_ns - 1, (False, True)), (taken_ns, (True, False))):
        assert (leader(history, shell, time_ns).alive, thread(history, shell, time_ns).alive) == lives
    assert (thread(history, shell).end_ns, leader(history, shell).alive) == (taken_ns, True)


# A leader that ends before its process.


def test_a_leaders_end_is_remembered_when_another_thread_has_taken_over() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    born_ns = history.now_ns
    history.starts_thread(child, TID)
    history.ends_thread(child, child.pid)
    ended_ns = history.now_ns
    history.execs(child, "/bin/new")
    taken_ns = history.now_ns
    assert [leader(history, child, at).alive for at in (ended_ns - 1, ended_ns, taken_ns - 1, taken_ns)] == [
        True,
        False,
        False,
        True,
    ]
    assert leader(history, child, ended_ns - 1).until_ns == ended_ns
    between = leader(history, child, taken_ns - 1)
    assert (between.end_ns, between.end_how, between.name) == (ended_ns, "kernel", "bash")
    assert lives(history.tree.thread_versions(id_of(child.key))) == [
        (born_ns, ended_ns, False),
        (taken_ns, None, True),
    ]
    then = history.tree.threads_of(ProcessKey(id_of(child.key), taken_ns - 1))
    assert [(answer.tid, answer.alive) for answer in then] == [(child.pid, False), (TID, True)]


def test_a_rename_of_another_thread_is_its_own_also_after_the_leaders_end() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.starts_thread(child, TID)
    history.ends_thread(child, child.pid)
    history.renames(child, "stays", tid=TID)
    assert (history.get(child).thread_name, thread(history, child).name) == ("bash", "stays")


@pytest.mark.parametrize("leader_first", [True, False])
def test_groups_that_were_cut_are_the_processs_once_its_leader_has_ended(leader_first: bool) -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.starts_thread(child, TID)
    if leader_first:
        history.ends_thread(child, child.pid)
    version = history.changes_credentials(child, 5, groups=(5,), cut=True, tid=TID)
    assert version is not None
    assert version.cut == (("groups",) if leader_first else ())
    if not leader_first:
        history.now_ns -= 1500  # it had ended before that
        history.ends_thread(child, child.pid)
    now = history.get(child)
    assert (now.cut, now.credentials.uid, now.credentials.groups) == (("groups",), 5, (5,))


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_an_exec_after_a_leaders_end_makes_a_leader_whenever_it_is_told(order: tuple[int, ...]) -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.starts_thread(child, TID)
    now_ns = history.now_ns
    child.exec_id += 1
    told = (
        ThreadEnd(Stamp(now_ns + 100, 0, 0, 0), child.pid, child.pid, child.start_ns, child.start_ns, child.pid, "x"),
        Exec(Stamp(now_ns + 200, 0, 0, 0), child.task(), TID, "/bin/n", "/bin/n", "/", ("n",), 0, (), FILE, 0, ()),
        Rename(Stamp(now_ns + 300, 0, 0, 0), child.pid, child.pid, child.start_ns, child.start_ns, child.pid, "n"),
    )
    for place in order:
        history.tell(told[place])
    assert history.tree.threads(*child.key) == (child.pid,)
    assert (leader(history, child).alive, leader(history, child).end_ns) == (True, None)
    assert not leader(history, child, now_ns + 150).alive


def test_a_leaders_last_version_ends_as_its_processs_does() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.renames(child, "other")
    history.exits(child)
    ours, its = history.tree.thread_versions(id_of(child.key)), history.tree.versions(id_of(child.key))
    assert lives(ours) == [(answer.since_ns, answer.until_ns, answer.alive) for answer in its]
    assert (ours[-1].alive, ours[-1].end_ns) == (False, history.now_ns)


def test_a_leader_that_ended_before_its_process_has_that_end() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.starts_thread(child, TID)
    history.ends_thread(child, child.pid)
    ended_ns = history.now_ns
    child.tid = TID
    history.exits(child)
    assert leader(history, child).end_ns == ended_ns
    assert thread(history, child).end_ns == history.now_ns


def test_a_leader_of_which_a_change_was_told_first_has_a_history() -> None:
    history, _, shell = booted()
    child = history.forks(shell, tell=False)
    history.renames(child, "early")
    history.execs(child, "/bin/x")
    answers = history.tree.thread_versions(id_of(child.key))
    assert lives(answers) == [
        (answer.since_ns, answer.until_ns, answer.alive) for answer in history.tree.versions(id_of(child.key))
    ]


def test_ends_of_leaders_that_are_remembered_are_bounded() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    for number in range(20):
        history.starts_thread(child, TID + number)
        history.ends_thread(child, child.pid)
        history.execs(child, f"/bin/n{number}")
    assert leader(history, child).alive
    assert len(history.tree._state.processes.by_id[id_of(child.key)].leader_ends) == 16
    assert history.counters.versions_dropped == 4


def test_what_a_thread_was_called_at_its_end_is_told_by_that() -> None:
    history, _, shell = booted()
    history.starts_thread(shell, TID)
    history.names[TID, shell.start_ns + TID] = "renamed unseen"
    history.ends_thread(shell, TID)
    first, at_end = history.tree.thread_versions(thread_id(shell))
    assert (first.name, first.alive, first.end_ns) == ("bash", True, None)
    assert (at_end.name, at_end.told, at_end.since_ns) == ("renamed unseen", ("thread_name", "end"), history.now_ns)
    assert (at_end.alive, at_end.end_ns) == (False, history.now_ns)


def test_a_thread_that_began_after_a_look_told_late_was_not_missed_by_it() -> None:
    history, init, shell = booted()
    history.snapshot_begins()
    history.finds(init, SYSTEMD)
    looked_ns = history.now_ns
    history.now_ns += 10_000
    history.starts_thread(shell, TID)
    history.renames(shell, "newer")
    now_ns, history.now_ns = history.now_ns, looked_ns
    history.finds(shell, BASH, reaper=True)
    history.now_ns = now_ns
    history.snapshot_ends()
    assert thread(history, shell).alive


def test_one_more_end_of_a_leader_tells_nothing_again() -> None:
    history, _, shell = booted(versions_max=8)
    threads = [TID + number for number in range(3)]
    for tid in threads:
        history.starts_thread(shell, tid)
    history.ends_thread(shell, shell.pid)
    for uid in range(1, 31):
        history.changes_credentials(shell, uid, tid=threads[uid % 3])
    assert history.get(shell).credentials.uid == 30
    dropped = history.counters.versions_dropped
    history.execs(shell, "/usr/bin/next")  # whose caller is the leader
    history.ends_thread(shell, shell.pid)
    assert history.counters.versions_dropped - dropped <= 1
    assert history.bad == {}


def test_of_what_counts_late_the_newest_stays_and_the_rest_is_counted() -> None:
    history, _, shell = booted(versions_max=8)
    history.starts_thread(shell, TID)
    history.starts_thread(shell, TID + 1)
    end_ns = history.now_ns + 1
    for uid in range(1, 31):
        history.changes_credentials(shell, uid, tid=TID + uid % 2)
    assert history.get(shell).credentials.uid == 0
    history.tell(
        ThreadEnd(Stamp(end_ns, 0, 0, 0), shell.pid, shell.pid, shell.start_ns, shell.start_ns, shell.pid, "x")
    )
    assert history.get(shell).credentials.uid == 30
    answers = history.tree.versions(history.get(shell).entity_id)
    assert len(answers) <= 8
    assert history.counters.versions_dropped > 0


def test_changes_of_all_threads_together_are_bounded() -> None:
    history, _, shell = booted(threads_max=10)
    for number in range(9):
        history.starts_thread(shell, TID + number)
    for number in range(100):
        history.renames(shell, f"n{number}", TID)
    kept = history.tree._state.threads
    assert kept.changes == sum(len(one.changes) for one in kept.by_id.values())
    assert kept.changes <= (SHARE + 1) * 10
    history.renames(shell, "last", TID + 1)
    assert kept.by_id  # whoever changes little keeps what it has
    names = [one.name for one in history.tree.thread_versions(thread_id(shell, TID + 1))]
    assert names[-1] == "last"
    assert history.counters.versions_dropped > 0


def test_a_change_of_rights_counts_though_others_around_it_were_dropped() -> None:
    history, _, shell = booted(versions_max=8)
    history.starts_thread(shell, TID)
    end_ns = history.now_ns + 1
    history.changes_credentials(shell, 7, tid=TID)
    for number in range(30):
        history.changes_directory(shell, f"/{number}")
    pid, start_ns = shell.key
    history.tell(ThreadEnd(Stamp(end_ns, 0, 0, 0), pid, pid, start_ns, start_ns, pid, "x"))
    assert history.get(shell).credentials.uid == 7


def test_an_end_older_than_those_remembered_takes_nothing_back() -> None:
    history, _, shell = booted()
    history.starts_thread(shell, TID)
    early_ns = history.now_ns + 1
    for number in range(LEADER_ENDS_MAX + 1):
        history.ends_thread(shell, shell.pid)
        if number == 0:
            history.changes_credentials(shell, 7, tid=TID)
        history.execs(shell, f"/usr/bin/n{number}")
        history.starts_thread(shell, TID, shell.start_ns + TID + number + 1)
    seven = [one.process.credentials.uid for one in history.tree.versions(history.get(shell).entity_id)].count(7)
    assert seven > 0
    pid, start_ns = shell.key
    history.tell(ThreadEnd(Stamp(early_ns, 0, 0, 0), pid, pid, start_ns, start_ns, pid, "x"))
    again = [one.process.credentials.uid for one in history.tree.versions(history.get(shell).entity_id)].count(7)
    assert again == seven


def test_what_has_no_room_when_it_counts_late_is_missing_in_an_answer() -> None:
    history, _, shell = booted(versions_max=8)
    history.starts_thread(shell, TID)
    end_ns = history.now_ns + 1
    for uid in range(1, 31):
        history.changes_credentials(shell, uid, tid=TID)
    pid, start_ns = shell.key
    before = history.counters.versions_dropped
    history.tell(ThreadEnd(Stamp(end_ns, 0, 0, 0), pid, pid, start_ns, start_ns, pid, "x"))
    answers = history.tree.versions(history.get(shell).entity_id)
    assert sum(one.dropped for one in answers) == history.counters.versions_dropped - before
