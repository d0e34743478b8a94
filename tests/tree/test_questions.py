"""What the tree is asked, question by question, and what it says where there is no answer."""

from __future__ import annotations

import tracemalloc

import pytest

from pipeline.process import entity_id
from pipeline.tree import LineageKey, NoAnswer, ProcessKey, ThreadKey
from tests.tree.answers import id_of
from tests.tree.history import BOOT, PID_NS, STEP_NS, History, Who, booted


def key(who: Who, time_ns: int | None = None) -> ProcessKey:
    return ProcessKey(id_of(who.key), time_ns)


def names(history: History, who: Who, **question: object) -> list[str]:
    answer = history.tree.lineage(LineageKey(id_of(who.key), **question))  # type: ignore[arg-type]
    return [ancestor.image.name for ancestor in answer.ancestors]


# What it was.


def test_a_process_is_what_it_was_at_that_moment() -> None:
    history, _, shell = booted()
    a = history.forks(shell)
    born_ns = history.now_ns
    for name in ("one", "two", "three"):
        history.execs(a, f"/bin/{name}", name, "-v")
    last_ns = history.now_ns
    answers = [history.tree.process(key(a, born_ns + step * STEP_NS + 1)) for step in range(4)]
    assert [answer.process.image.name for answer in answers] == ["bash", "one", "two", "three"]
    assert answers[2].process.image.args == ("two", "-v")
    assert [image.name for image in answers[2].process.previous] == ["one", "bash"]
    assert (answers[1].since_ns, answers[1].until_ns) == (born_ns + STEP_NS, born_ns + 2 * STEP_NS)
    assert (answers[3].since_ns, answers[3].until_ns) == (last_ns, None)
    assert history.tree.process(key(a)) == history.tree.process(key(a, last_ns))


def test_a_version_says_how_it_was_learnt_and_what_was_told() -> None:
    history, _, shell = booted()
    a = history.forks(shell)
    history.renames(a, "worker")
    history.execs_unseen(a, "/bin/missed")
    history.walks((shell, "/usr/bin/bash"), (a, "/bin/missed"))
    assert history.tree.versions(id_of(shell.key))[0].how == "snapshot"
    born, renamed, found = history.tree.versions(id_of(a.key))
    assert (born.how, renamed.how, found.how) == ("kernel", "kernel", "repair")
    assert "birth" in born.told
    assert renamed.told == ("thread_name",)
    assert "image" in found.told


def test_before_its_end_a_process_lives_and_has_no_status() -> None:
    history, _, shell = booted()
    a = history.forks(shell)
    history.execs(a, "/bin/a")
    history.exits(a, 256)
    end_ns = history.now_ns
    before, at_end, now = (history.tree.process(key(a, when)) for when in (end_ns - 1, end_ns, None))
    assert (before.alive, before.process.exit_status, before.process.end_ns) == (True, None, None)
    assert before.until_ns == end_ns
    assert at_end == now
    assert (now.alive, now.process.exit_status, now.process.end_ns, now.until_ns) == (False, 256, end_ns, end_ns)


def test_a_name_of_a_moment_stays_when_another_comes() -> None:
    history, _, shell = booted()
    history.changes_credentials(shell, 1000, groups=(7,))
    history.changes_directory(shell, "/srv")
    then_ns = history.now_ns
    history.changes_credentials(shell, 0, groups=(8,))
    history.changes_directory(shell, "/tmp")
    then = history.tree.process(key(shell, then_ns)).process
    assert (then.credentials.uid, then.credentials.groups, then.working_directory) == (1000, (7,), "/srv")


# No answer.


def reason(question: object) -> str:
    assert callable(question)
    with pytest.raises(NoAnswer) as raised:
        question()
    assert str(raised.value)
    return raised.value.reason


def test_an_id_that_nobody_told_of_was_never_known() -> None:
    history, _, _ = booted()
    nobody = entity_id(BOOT, PID_NS, 4711, 1)
    assert reason(lambda: history.tree.process(ProcessKey(nobody))) == "never_known"
    assert reason(lambda: history.tree.versions(nobody)) == "never_known"
    assert reason(lambda: history.tree.lineage(LineageKey(nobody))) == "never_known"
    assert reason(lambda: history.tree.children(ProcessKey(nobody))) == "never_known"
    assert reason(lambda: history.tree.descendants(ProcessKey(nobody))) == "never_known"
    assert reason(lambda: history.tree.siblings(ProcessKey(nobody))) == "never_known"
    assert reason(lambda: history.tree.session_members(ProcessKey(nobody))) == "never_known"
    assert reason(lambda: history.tree.threads_of(ProcessKey(nobody))) == "never_known"
    assert reason(lambda: history.tree.thread_at(ThreadKey(nobody))) == "never_known"
    assert reason(lambda: history.tree.thread_versions("")) == "never_known"


def test_what_was_evicted_is_forgotten_and_that_is_another_answer() -> None:
    history, _, shell = booted(processes_max=5)
    gone = history.forks(shell)
    history.exits(gone)
    for _ in range(4):
        history.exits(history.forks(shell))
    assert reason(lambda: history.tree.process(key(gone))) == "forgotten"


def test_before_its_birth_nothing_is_said_of_a_process() -> None:
    history, _, shell = booted()
    a = history.forks(shell)
    assert reason(lambda: history.tree.process(key(a, a.start_ns - 1))) == "not_yet_born"
    assert reason(lambda: history.tree.children(key(a, a.start_ns - 1))) == "not_yet_born"
    assert history.tree.process(key(a, a.start_ns)).process.image.name == "bash"


def test_before_the_snapshot_found_it_nothing_is_known_of_a_process() -> None:
    history, init, shell = booted()
    found_ns = history.tree.versions(id_of(shell.key))[0].since_ns
    assert reason(lambda: history.tree.process(key(shell, found_ns - 1))) == "before_memory"
    assert reason(lambda: history.tree.lineage(LineageKey(id_of(init.key), init.start_ns))) == "before_memory"
    assert history.tree.process(key(shell, found_ns)).how == "snapshot"


@pytest.mark.parametrize("depth", [-1, 0, 1025, 1_000_000])
def test_a_depth_that_is_none_is_refused(depth: int) -> None:
    history, _, shell = booted()
    assert reason(lambda: history.tree.lineage(LineageKey(id_of(shell.key), max_depth=depth))) == "bad_depth"


def test_a_pid_that_nobody_had_then_has_no_answer() -> None:
    history, _, shell = booted()
    a = history.forks(shell, pid=200)
    history.exits(a)
    end_ns = history.now_ns
    assert reason(lambda: history.tree.by_pid(4711)) == "no_such_pid"
    assert reason(lambda: history.tree.by_pid(200, a.start_ns - 1)) == "no_such_pid"
    assert reason(lambda: history.tree.by_pid(200, end_ns + 1)) == "no_such_pid"


def test_a_pid_that_two_had_in_that_time_gives_both_youngest_first() -> None:
    history, _, shell = booted()
    first = history.forks(shell, pid=200)
    history.exits(first)
    between_ns = history.now_ns + 1
    second = history.forks(shell, pid=200)
    history.execs(second, "/bin/second")
    with pytest.raises(NoAnswer) as raised:
        history.tree.by_pid(200, first.start_ns, history.now_ns)
    assert raised.value.reason == "ambiguous"
    assert [answer.process.entity_id for answer in raised.value.candidates] == [id_of(second.key), id_of(first.key)]
    assert history.tree.by_pid(200).process.image.name == "second"
    assert history.tree.by_pid(200, first.start_ns).process.entity_id == id_of(first.key)
    assert history.tree.by_pid(200, first.start_ns, between_ns).process.entity_id == id_of(first.key)
    assert history.tree.by_pid(200, between_ns, history.now_ns).process.entity_id == id_of(second.key)


# Lineage.


def family() -> tuple[History, Who, Who, Who, Who]:
    """The shell bears a, a bears b, b bears c; all but c execute something after they bore."""
    history, _, shell = booted()
    a = history.forks(shell)
    history.execs(a, "/bin/a")
    b = history.forks(a)
    history.execs(b, "/bin/b")
    c = history.forks(b)
    history.execs(b, "/bin/b-later")
    history.execs(a, "/bin/a-later")
    return history, shell, a, b, c


def test_each_ancestor_is_as_it_was_when_its_child_was_born() -> None:
    history, _, _, _, c = family()
    assert names(history, c) == ["b", "a", "bash", "systemd"]
    assert names(history, c, time_ns=c.start_ns) == ["b", "a", "bash", "systemd"]


def test_each_ancestor_can_be_asked_for_as_of_a_moment() -> None:
    history, _, _, _, c = family()
    assert names(history, c, as_of="time") == ["b-later", "a-later", "bash", "systemd"]
    assert names(history, c, as_of="time", time_ns=c.start_ns + STEP_NS) == ["b-later", "a", "bash", "systemd"]


def test_a_lineage_is_as_deep_as_was_asked_for_and_says_how_deep_it_is() -> None:
    history, _, _, _, c = family()
    answer = history.tree.lineage(LineageKey(id_of(c.key), max_depth=2))
    assert [ancestor.image.name for ancestor in answer.ancestors] == ["b", "a"]
    assert (answer.depth, answer.complete) == (4, True)


def test_a_lineage_is_walked_beyond_what_a_version_carries() -> None:
    history, _, shell = booted(processes_max=100)
    deepest = shell
    for number in range(50):
        deepest = history.forks(deepest)
        history.execs(deepest, f"/bin/p{number}")
    answer = history.tree.lineage(LineageKey(id_of(deepest.key), max_depth=1024))
    assert [ancestor.image.name for ancestor in answer.ancestors[:2]] == ["p48", "p47"]
    assert [ancestor.image.name for ancestor in answer.ancestors[-3:]] == ["p0", "bash", "systemd"]
    assert len(answer.ancestors) == answer.depth == 51


# Families.


def pids(answers: object) -> list[int]:
    return [answer.process.pid for answer in answers]  # type: ignore[attr-defined]


def test_children_are_those_born_by_then_or_those_it_would_have_reaped() -> None:
    history, init, shell = booted()
    a = history.forks(shell)
    b = history.forks(a)
    alone_ns = history.now_ns
    c = history.forks(a)
    history.exits(a, reaper=init)
    assert pids(history.tree.children(key(a))) == [b.pid, c.pid]
    assert pids(history.tree.children(key(a, alone_ns))) == [b.pid]
    assert pids(history.tree.children(key(a), "reaper")) == []
    assert pids(history.tree.children(key(a, alone_ns), "reaper")) == [b.pid]
    assert pids(history.tree.children(key(init), "reaper")) == [shell.pid, b.pid, c.pid]
    assert pids(history.tree.children(key(init))) == [shell.pid]


def test_descendants_are_told_parents_first() -> None:
    history, shell, a, b, c = family()
    d = history.forks(a)
    found = pids(history.tree.descendants(key(shell)))
    assert sorted(found) == sorted([a.pid, b.pid, c.pid, d.pid])
    assert found.index(a.pid) < found.index(b.pid) < found.index(c.pid)
    assert pids(history.tree.descendants(key(shell, b.start_ns))) == [a.pid, b.pid]


def test_siblings_leave_itself_out() -> None:
    history, _, shell = booted()
    a, b, c = (history.forks(shell) for _ in range(3))
    history.exits(c)
    assert pids(history.tree.siblings(key(b))) == [a.pid, c.pid]
    assert pids(history.tree.siblings(key(a, b.start_ns))) == [b.pid]


def test_members_of_a_session_are_those_who_lived_in_it_then() -> None:
    history, _, shell = booted()
    a, b = history.forks(shell), history.forks(shell)
    together_ns = history.now_ns
    a.session = a.group = a.key
    history.changes_session(a)
    history.exits(b)
    assert pids(history.tree.session_members(key(shell))) == [shell.pid]
    assert pids(history.tree.session_members(key(shell, together_ns))) == [shell.pid, a.pid, b.pid]
    assert pids(history.tree.session_members(key(a))) == [a.pid]


def test_who_lived_at_a_moment_is_told_in_the_order_of_birth() -> None:
    history, init, shell = booted()
    a = history.forks(shell)
    b = history.forks(shell)
    both_ns = history.now_ns
    history.exits(a)
    assert pids(history.tree.alive_at(both_ns)) == [init.pid, shell.pid, a.pid, b.pid]
    assert pids(history.tree.alive_at(b.start_ns - 1)) == [init.pid, shell.pid, a.pid]
    assert pids(history.tree.alive_at()) == [init.pid, shell.pid, b.pid]


# Threads.


def test_a_thread_is_what_it_was_at_that_moment() -> None:
    history, _, shell = booted()
    history.starts_thread(shell, 301)
    begun_ns = history.now_ns
    history.renames(shell, "worker", tid=301)
    history.changes_credentials(shell, 1000, tid=301)
    history.ends_thread(shell, 301)
    thread = id_of((301, shell.start_ns + 301))
    first, renamed, other_user = history.tree.thread_versions(thread)
    assert [answer.name for answer in (first, renamed, other_user)] == ["bash", "worker", "worker"]
    assert (renamed.credentials.uid, other_user.credentials.uid) == (0, 1000)
    then = history.tree.thread_at(ThreadKey(thread, begun_ns))
    assert (then.name, then.alive, then.process_id) == ("bash", True, id_of(shell.key))
    assert not history.tree.thread_at(ThreadKey(thread)).alive
    assert history.tree.thread_at(ThreadKey(thread)).end_ns == history.now_ns
    assert reason(lambda: history.tree.thread_at(ThreadKey(thread, shell.start_ns + 300))) == "not_yet_born"
    assert [answer.tid for answer in history.tree.threads_of(key(shell))] == [shell.pid, 301]
    assert history.tree.thread_at(ThreadKey(id_of(shell.key))).tid == shell.pid


def test_what_can_not_be_asked_is_an_error_that_names_what_can() -> None:
    history, _, shell = booted()
    tree = history.tree
    for ask, allowed in (
        (lambda: tree.children(key(shell), "x"), "birth, reaper"),  # type: ignore[arg-type]
        (lambda: tree.forgotten(key(shell), "x"), "children, descendants, living, siblings, threads"),  # type: ignore[arg-type]
        (lambda: tree.lineage(LineageKey(id_of(shell.key), as_of="x")), "birth, time"),  # type: ignore[arg-type]
        (lambda: tree.artifacts(key(shell), "x"), "files, connections, mounts"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=f"is one of {allowed}.*, not 'x'"):
            ask()


def test_versions_are_made_when_they_are_taken_and_what_went_meanwhile_is_said() -> None:
    history, _, shell = booted(versions_max=8)
    a = history.forks(shell)
    for number in range(6):
        history.renames(a, f"name{number}")
    before = history.tree.versions(id_of(a.key))
    slowly = history.tree.each_version_of(key(a))
    until_then = history.tree.each_version_of(key(a, before[3].since_ns))
    assert (len(slowly), len(until_then)) == (7, 4)
    assert list(until_then) == [*before[:3], history.tree.process(key(a, before[3].since_ns))]
    taken = iter(slowly)
    told = [next(taken), next(taken)]
    for number in range(6, 10):
        history.renames(a, f"name{number}")
    told += taken
    known = {one.since_ns: one.dropped for one in history.tree.versions(id_of(a.key))}
    assert [one.since_ns for one in told[2:]] == [one.since_ns for one in before[2:] if one.since_ns in known]
    assert len(told) < len(before)
    assert sum(one.dropped for one in told[2:]) >= len(before) - len(told)


# Bounds.


def test_images_outlive_other_changes_and_what_is_dropped_is_said() -> None:
    history, _, shell = booted(versions_max=8)
    a = history.forks(shell)
    history.execs(a, "/bin/one")
    one_ns = history.now_ns
    for number in range(50):
        history.renames(a, f"name{number}")
    history.execs(a, "/bin/two")
    for number in range(50):
        history.renames(a, f"later{number}")
    answers = history.tree.versions(id_of(a.key))
    assert len(answers) <= 8
    assert [answer.process.image.name for answer in answers if "image" in answer.told][-1] == "two"
    assert history.tree.process(key(a, one_ns)).process.image.name == "one"
    assert history.tree.process(key(a, a.start_ns)).process.image.name == "bash"
    assert history.tree.process(key(a)).process.thread_name == "later49"
    # Of what was dropped it is said at that moment that it may have been so, and of nothing else.
    missed = history.tree.process(key(a, history.now_ns - 20 * STEP_NS))
    assert (missed.process.image.name, missed.dropped_after > 0, missed.unsure) == ("two", True, ("thread_name",))
    # One birth and 102 changes: whatever is not among the answers was counted, and is said.
    assert sum(answer.dropped for answer in answers) == 103 - len(answers)
    assert history.counters.versions_dropped == 103 - len(answers)


def test_more_living_than_the_bound_keep_who_they_are_and_lose_detail() -> None:
    history, _, shell = booted(processes_max=5)
    children = [history.forks(shell) for _ in range(10)]
    assert history.counters.over_bound > 0
    for child in children:
        history.execs(child, "/bin/a")
        history.renames(child, "worker")
    for child in children:
        now = history.tree.process(key(child))
        assert (now.process.image.name, now.process.thread_name, now.dropped) == ("a", "worker", 1)
        then = history.tree.process(key(child, now.since_ns - 1))  # between its exec and its name
        assert (then.process.image.name, then.since_ns) == ("bash", child.start_ns)
        assert (then.dropped_after, {"image", "thread_name"} - set(then.unsure)) == (1, set())
        at_birth = history.tree.process(key(child, child.start_ns))
        assert (at_birth.process.image.name, at_birth.unsure) == ("bash", ())
        assert names(history, child) == ["bash", "systemd"]
    assert pids(history.tree.children(key(shell))) == [child.pid for child in children]
    assert history.counters.versions_dropped == 10
    assert len(history.tree) == 12


def test_a_parent_of_many_short_lived_children_costs_no_more_than_the_bound() -> None:
    history, _, shell = booted(processes_max=200)

    def bears(children: int) -> int:
        for number in range(children):
            child = history.forks(shell, pid=1000 + number % 500)
            history.execs(child, "/bin/true")
            history.exits(child)
        return tracemalloc.get_traced_memory()[0]

    history.tree._state.processes.evicted_max = 200
    tracemalloc.start()
    try:
        bears(2000)  # every table is as long as it will be, those of the forgotten too
        before = bears(2000)
        after = bears(16_000)
    finally:
        tracemalloc.stop()
    assert after - before < 100_000  # 16,000 more would be some 40 MB
    assert len(history.tree) == 200
    assert len(list(history.tree.children(key(shell)))) == 198
    assert len(list(history.tree.alive_at(history.now_ns - STEP_NS // 2))) <= 3
    assert history.counters.processes_evicted == 20_000 - 198
    assert history.tree.process(key(shell)).process.image.name == "bash"
