"""What was dropped, forgotten or never told: an answer says so, and never fills the hole with something else."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from pipeline.events import Rename, Running, Stamp
from pipeline.tree import LineageKey, NoAnswer, ProcessKey
from pipeline.tree.known.history import SHARE
from tests.tree.answers import id_of
from tests.tree.history import BASH, FILE, STEP_NS, SYSTEMD, History, Who, booted

MANY = 40
FEW = 8


def key(who: Who, time_ns: int | None = None) -> ProcessKey:
    return ProcessKey(id_of(who.key), time_ns)


def told_late(history: History, who: Who, time_ns: int) -> None:
    """A name that it had then."""
    history.tree.apply(Rename(Stamp(time_ns, 0, 0, 0), who.pid, who.pid, who.start_ns, who.start_ns, who.pid, "late"))


def _a_shell_that_went_on() -> tuple[History, Who, list[tuple[Who, str]]]:
    """It has changed its directory more often than is kept, and bore children on the way."""
    history, _, shell = booted(versions_max=FEW)
    children = []
    for number in range(MANY):
        history.changes_directory(shell, f"/d{number}")
        if number % 10 == 5:
            children.append((history.forks(shell), f"/d{number}"))
    assert history.counters.versions_dropped > 0
    return history, shell, children


def test_a_late_fact_leaves_alone_what_children_were_born_of() -> None:
    for late_ns in (-MANY * STEP_NS, -MANY // 2 * STEP_NS, -STEP_NS // 2):
        history, shell, children = _a_shell_that_went_on()
        told_late(history, shell, history.now_ns + late_ns)
        for child, directory in children:
            version = history.get(child)
            assert version.parent is not None
            assert (version.working_directory, version.parent.working_directory) == (directory, directory)
            assert version.doubt == ()


def test_of_a_moment_between_versions_that_were_dropped_only_those_properties_are_unsure() -> None:
    history, shell, children = _a_shell_that_went_on()
    child, _ = children[0]
    then = history.tree.process(key(shell, child.start_ns))
    assert (then.dropped_after, then.unsure) == (history.counters.versions_dropped, ("working_directory",))
    assert (then.process.image.name, then.process.thread_name) == ("bash", "bash")
    assert history.tree.process(key(shell)).unsure == ()
    assert sum(answer.dropped for answer in history.tree.versions(id_of(shell.key))) == then.dropped_after


def test_a_fact_told_late_between_those_that_were_dropped_makes_nothing_sure() -> None:
    history, shell, children = _a_shell_that_went_on()
    (first, _), (second, _) = children[0], children[1]
    told_late(history, shell, (first.start_ns + second.start_ns) // 2)
    for then_ns in (first.start_ns, (first.start_ns + second.start_ns) // 2, second.start_ns):
        assert "working_directory" in history.tree.process(key(shell, then_ns)).unsure
    assert history.tree.process(key(shell)).unsure == ()


def test_a_child_told_late_is_not_given_what_its_parent_has_now() -> None:
    history, _, shell = booted(versions_max=FEW)
    child = history.forks(shell, tell=False)
    for number in range(MANY):
        history.changes_directory(shell, f"/d{number}")
    late = history.now_ns - MANY // 2 * STEP_NS
    child = replace(child, pid=4000, start_ns=late)
    history.born(child, shell, at=late)
    answer = history.tree.process(key(child))
    assert (answer.process.working_directory, answer.unsure) == ("/", ("working_directory",))
    history.execs(child, "/bin/true")
    assert history.tree.process(key(child)).unsure == ()


def test_whom_a_process_refers_to_is_told_as_of_then_though_itself_is_as_it_was() -> None:
    history, _, shell = booted()
    leader = history.forks(shell)
    leader.session = leader.group = leader.key
    history.changes_session(leader)
    child = history.forks(leader)
    for number in range(4):
        history.execs(leader, f"/bin/e{number}")
    told = [history.tree.process(key(child, child.start_ns + place * STEP_NS)).process for place in range(5)]
    assert [one.session_leader and one.session_leader.image.name for one in told] == ["bash", "e0", "e1", "e2", "e3"]
    assert [one.group_leader and one.group_leader.image.name for one in told] == ["bash", "e0", "e1", "e2", "e3"]


def test_versions_that_were_dropped_are_no_loss_of_records() -> None:
    history, _, shell = booted(versions_max=4)
    a = history.forks(shell)
    for number in range(10):
        history.execs(a, f"/bin/e{number}")
    assert {doubt for answer in history.tree.versions(id_of(a.key)) for doubt in answer.process.doubt} == set()


def test_images_that_were_dropped_leave_the_image_unsure_and_are_counted_among_the_files() -> None:
    history, _, shell = booted(versions_max=FEW)
    a = history.forks(shell)
    for number in range(MANY):
        history.execs(a, f"/bin/e{number}")
    middle = history.tree.process(key(a, a.start_ns + MANY // 2 * STEP_NS))
    assert "image" in middle.unsure
    files = history.tree.artifacts(key(a), "files")
    assert len(files.artifacts) + files.dropped == MANY
    assert history.get(a).previous[0].name == f"e{MANY - 2}"


def test_a_late_exec_does_not_take_away_earlier_images_whose_versions_were_dropped() -> None:
    history, _, shell = booted(versions_max=FEW)
    a = history.forks(shell)
    for number in range(12):
        history.execs(a, f"/bin/e{number}")
    before = history.get(a).previous
    told_late(history, a, history.now_ns - STEP_NS // 2)
    assert history.get(a).previous == before


def test_below_what_was_evicted_a_lineage_goes_on_by_what_is_remembered() -> None:
    history, _, shell = booted(processes_max=16)
    chain = [shell]
    for number in range(12):
        chain.append(history.forks(chain[-1]))
        history.execs(chain[-1], f"/bin/c{number}")
    last = chain[-1]
    for who in reversed(chain[1:]):
        history.exits(who)
    for _ in range(6):
        history.tree.process(key(last))  # an access
        history.exits(history.forks(shell))
    assert history.tree.get(*chain[-2].key) is None
    expected = [f"c{number}" for number in range(10, -1, -1)]
    for as_of in ("birth", "time"):
        lineage = history.tree.lineage(LineageKey(id_of(last.key), None, 40, as_of))
        assert [ancestor.image.name for ancestor in lineage.ancestors][: len(expected)] == expected
        assert len(lineage.ancestors) == lineage.depth


def test_families_have_those_in_them_whose_own_parent_is_forgotten() -> None:
    history, _, shell = booted(processes_max=5)
    middle = history.forks(shell)
    first, second = history.forks(middle), history.forks(middle)
    for who in (first, second, middle):
        history.exits(who)
    history.tree.process(key(first))
    history.tree.process(key(second))
    history.exits(history.forks(shell))
    assert history.tree.get(*middle.key) is None
    below = [answer.process.pid for answer in history.tree.descendants(key(shell))]
    assert {first.pid, second.pid} <= set(below)
    assert [answer.process.pid for answer in history.tree.siblings(key(first))] == [second.pid]


def test_who_had_a_pid_and_was_forgotten_is_told_apart_from_nobody() -> None:
    history, _, shell = booted(processes_max=3)
    a = history.forks(shell, pid=777)
    then_ns = history.now_ns
    history.exits(a)
    history.exits(history.forks(shell))
    asked = {"now": (777, None), "then": (777, then_ns), "never": (4711, None), "before": (777, then_ns - STEP_NS)}
    reasons = {}
    for name, (pid, time_ns) in asked.items():
        with pytest.raises(NoAnswer) as no_answer:
            history.tree.by_pid(pid, time_ns)
        reasons[name] = no_answer.value.reason
    assert reasons == {"now": "forgotten", "then": "forgotten", "never": "no_such_pid", "before": "no_such_pid"}
    assert [history.tree.forgotten_at(at) for at in (then_ns - 1, then_ns, history.now_ns)] == [0, 1, 0]


def test_one_of_two_that_had_a_pid_is_no_sure_answer_where_the_other_is_forgotten() -> None:
    history, _, shell = booted(processes_max=4)
    first = history.forks(shell, pid=777)
    history.exits(first)
    second = history.forks(shell, pid=777)
    history.exits(history.forks(shell))
    assert history.tree.get(*first.key) is None
    with pytest.raises(NoAnswer, match="2 processes had pid 777 in that time, 1 of which is not known") as no_answer:
        history.tree.by_pid(777, first.start_ns, second.start_ns)
    assert [one.process.start_ns for one in no_answer.value.candidates] == [second.start_ns]


def test_the_end_says_how_it_was_learnt_and_begins_no_version_of_its_own() -> None:
    history, _, shell = booted()
    told, missed = history.forks(shell), history.forks(shell)
    history.execs(told, "/bin/a")
    since_ns = history.now_ns
    history.exits(told)
    assert history.tree.process(key(told, since_ns)).end_how is None
    now = history.tree.process(key(told))
    assert (now.end_how, now.since_ns, now.until_ns) == ("kernel", since_ns, history.now_ns)
    assert "end" not in now.told
    history.walks((shell, BASH))
    assert history.tree.process(key(missed)).end_how == "repair"
    assert history.tree.process(key(shell)).end_how is None


def test_an_end_told_before_an_exec_begins_no_version_either() -> None:
    history, _, shell = booted()
    a = history.forks(shell)
    exec_ns = history.now_ns + 100
    history.now_ns += 1000
    a.comm, a.exec_id = "a", a.exec_id + 1
    history.exits(a)
    history.execs(replace(a, exec_id=a.exec_id - 1), "/bin/a", at=exec_ns)
    assert [answer.since_ns for answer in history.tree.versions(id_of(a.key))] == [a.start_ns, exec_ns]
    now = history.tree.process(key(a))
    assert (now.since_ns, now.until_ns, now.alive) == (exec_ns, now.process.end_ns, False)


def test_a_look_that_is_older_than_what_is_known_hides_nothing_newer() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    looked = Running(
        Stamp(history.now_ns + 1, 0, 0, 0), child.task(), BASH, "/", (0,), FILE, 0, False, False, False, ()
    )
    history.now_ns += 10
    history.renames(child, "newer")
    history.changes_credentials(child, 1000)
    history.changes_directory(child, "/srv")
    history.snapshot_begins()
    history.tree.apply(looked)
    now = history.get(child)
    assert (now.thread_name, now.credentials.uid, now.working_directory) == ("newer", 1000, "/srv")
    assert (now.image.name, now.doubt) == ("bash", ())


def test_a_session_stays_one_when_its_leader_has_gone() -> None:
    """Records do not tell the leader's start any more."""
    history, init, shell = booted()
    leader = history.forks(shell)
    leader.session = leader.group = leader.key
    history.changes_session(leader)
    b, c = history.forks(leader), history.forks(leader)
    history.exits(leader, reaper=init)
    for who in (b, c):
        who.parent, who.session, who.group = init, (leader.pid, 0), (leader.pid, 0)
    history.changes_credentials(b, 5)
    d = history.forks(c)
    for who in (b, c, d):
        members = [answer.process.pid for answer in history.tree.session_members(key(who))]
        assert members == [b.pid, c.pid, d.pid]
        version = history.get(who)
        assert (version.session.start_ns, version.session.group_start_ns) == (leader.start_ns, leader.start_ns)
        assert version.session_leader is not None
    history.exits(d)
    assert len(history.tree.versions(id_of(d.key))) == 1


def test_who_changes_all_the_time_takes_no_room_from_others() -> None:
    history, _, shell = booted(processes_max=10)
    busy = [history.forks(shell) for _ in range(4)]
    calm = history.forks(shell)
    for number in range(100):
        for who in busy:
            history.renames(who, f"n{number}")
    for number in range(SHARE - 2):
        history.renames(calm, f"n{number}")
    state = history.tree._state
    assert state.processes.past_versions == sum(len(one.past or ()) for one in state.processes) <= 2 * SHARE * 10
    assert [answer.dropped for answer in history.tree.versions(id_of(calm.key))] == [0] * (SHARE - 1)
    for who in (*busy, calm):
        history.exits(who)
    for _ in range(20):
        history.exits(history.forks(shell))
    assert state.processes.past_versions == sum(len(one.past or ()) for one in state.processes)


def test_before_anything_was_told_all_of_it_is_unsure() -> None:
    history, _, shell = booted()
    missed = history.forks(shell, tell=False)
    history.now_ns += 10 * STEP_NS
    history.execs(missed, "/bin/a")
    (then,) = [one for one in history.tree.alive_at(missed.start_ns + 1) if one.process.pid == missed.pid]
    assert {"image", "credentials", "session", "reaper"} <= set(then.unsure)
    (now,) = [one for one in history.tree.alive_at() if one.process.pid == missed.pid]
    assert now.unsure == ()
    with pytest.raises(NoAnswer, match="nothing is known of it from before"):
        history.tree.by_pid(missed.pid, missed.start_ns + 1)


def test_over_the_bound_artifacts_are_counted_where_they_are_asked_for() -> None:
    history, _, shell = booted(processes_max=1)
    history.changes_credentials(shell, 5)
    answer = history.tree.artifacts(key(shell), "credentials")
    assert (answer.artifacts, answer.dropped, history.counters.artifacts_dropped) == ((), 1, 1)


def test_over_the_bound_late_facts_add_no_versions() -> None:
    history, _, shell = booted(processes_max=1)
    start_ns = history.now_ns
    history.now_ns += 1000 * STEP_NS
    history.renames(shell, "now")
    for number in range(100):
        told_late(history, shell, start_ns + number)
    assert len(history.tree.versions(id_of(shell.key))) == 2
    assert history.get(shell).thread_name == "now"
    assert history.counters.versions_dropped == 100


def test_what_comes_after_an_end_changes_nothing_and_is_counted() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.exits(child)
    assert history.renames(child, "ghost") is None
    assert history.bad == {"change_after_exit": 1}


def test_adopters_that_there_is_no_room_to_remember_are_counted() -> None:
    history, _, shell = booted(processes_max=2)
    for number in range(4):
        parent = history.forks(shell)
        history.forks(parent)
        history.exits(parent, reaper=Who(4000 + number, 40))
    assert history.counters.unknown_reapers_dropped > 0


def test_before_anybody_looked_there_is_no_empty_answer() -> None:
    history = History()
    assert list(history.tree.alive_at()) == []
    with pytest.raises(NoAnswer, match="nothing has been told yet"):
        history.tree.alive_at(history.now_ns)
    history.snapshot_begins()
    began_ns = history.now_ns
    init = history.runs(SYSTEMD, pid=1)
    history.snapshot_ends()
    assert [answer.process.pid for answer in history.tree.alive_at(began_ns)] == [init.pid]
    for ask in (history.tree.alive_at, partial(history.tree.by_pid, 1), partial(history.tree.by_tid, 77)):
        with pytest.raises(NoAnswer) as raised:
            ask(init.start_ns - 1)
        assert raised.value.reason == "before_memory"
    with pytest.raises(NoAnswer) as raised:
        history.tree.by_pid(77, began_ns)
    assert raised.value.reason == "no_such_pid"


def test_where_no_walk_was_told_memory_begins_with_the_first_process() -> None:
    history = History()
    child = history.forks(Who(50, 500))
    assert [answer.process.pid for answer in history.tree.alive_at(history.now_ns)] == [child.pid]
    with pytest.raises(NoAnswer, match=f"begins {history.now_ns:,} ns after the boot"):
        history.tree.alive_at(history.now_ns - 1)
