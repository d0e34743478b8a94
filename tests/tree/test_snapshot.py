"""What was running already, and what the kernel tells of the time between the probes and the snapshot."""

from __future__ import annotations

import pytest

from pipeline import wire
from tests.tree.history import History, Who, booted


def test_a_snapshot_gives_its_processes_parents_first_whatever_the_order() -> None:
    history = History()
    init = history.runs("/sbin/init", pid=1, args=("/sbin/init",))
    nginx = history.runs("/usr/sbin/nginx", init, pid=20)
    told_first = History()
    told_first.runs("/usr/bin/bash", nginx, pid=30, args=("bash",))
    told_first.runs("/usr/sbin/nginx", init, pid=20, args=("nginx: master process",))
    told_first.runs("/sbin/init", pid=1, args=("/sbin/init",))
    versions = told_first.snapshot_ends()
    assert [version.pid for version in versions] == [1, 20, 30]
    assert [a.image.name for a in versions[2].ancestors] == ["nginx", "init"]
    assert all(version.complete for version in versions)
    assert all(version.doubt == () for version in versions)
    assert told_first.counters.unknown_parents == 0


def test_pid_1_and_kthreadd_are_complete_and_have_no_parent() -> None:
    history = History()
    history.runs("/sbin/init", pid=1, reaper=True)
    history.runs("kthreadd", pid=2, kernel_thread=True)
    for version in history.snapshot_ends():
        assert (version.depth, version.complete, version.parent, version.doubt) == (0, True, None, ())
    assert history.counters.unknown_parents == 0


def test_only_a_parent_that_may_have_adopted_is_doubted() -> None:
    history = History()
    init = history.runs("/sbin/init", pid=1)
    daemon = history.runs("/usr/sbin/daemon", init, pid=20, reaper=True)
    history.runs("/usr/bin/worker", daemon, pid=30)
    by_pid = {version.pid: version for version in history.snapshot_ends()}
    assert by_pid[1].doubt == ()
    assert by_pid[20].doubt == ("snapshot",)
    assert by_pid[30].doubt == ("snapshot",)  # its chain goes through that edge
    assert by_pid[30].complete


def test_a_parent_that_the_snapshot_did_not_tell_is_unknown() -> None:
    history = History()
    ghost = history.runs("/bin/ghost", pid=20)
    alone = History()
    alone.runs("/usr/bin/bash", ghost, pid=30)
    (version,) = alone.snapshot_ends()
    assert (version.parent, version.depth, version.complete) == (None, 0, False)
    assert version.doubt == ("unknown_parent",)
    assert alone.counters.unknown_parents == 1


def test_command_lines_may_come_before_their_processes() -> None:
    history, _, _ = booted()
    early = History()
    who = history.runs("/usr/bin/python3.11", pid=40, comm="gunicorn")
    early.args(who, "/usr/bin/python3.11", "/usr/bin/gunicorn", "app")
    early.runs("/usr/bin/python3.11", pid=40, comm="gunicorn")
    (version,) = early.snapshot_ends()
    assert (version.image.name, version.image.args[2]) == ("gunicorn", "app")
    assert early.bad == {}


def test_a_command_line_after_the_snapshot_gives_the_process_anew() -> None:
    history = History()
    who = history.runs("/usr/bin/python3.11", pid=40, comm="gunicorn")
    history.snapshot_ends()
    assert history.get(who).image.name == "python3.11"
    version = history.args(who, "python3.11", "/usr/bin/gunicorn", cut=True)
    assert version is not None
    assert (version.image.name, version.image.cut, version.doubt[0]) == ("gunicorn", ("args",), "cut")


def test_a_process_found_is_as_its_command_line_names_it_in_its_childrens_chains() -> None:
    history = History()
    init = history.runs("/sbin/init", pid=1)
    script = history.runs("/usr/bin/python3.11", init, pid=40, comm="gunicorn")
    child = history.runs("/usr/bin/sleep", script, pid=41)
    history.args(script, "python3.11", "/usr/bin/gunicorn")
    history.snapshot_ends()
    assert history.chain(child) == "init gunicorn sleep"


def test_a_fork_older_than_the_snapshot_tells_the_birth_parent() -> None:
    history, init, shell = booted()
    parent = history.forks(shell, tell=False, start_ns=400_000)
    again = History()
    again.runs("/usr/lib/systemd/systemd", pid=1, args=("/sbin/init",))
    again.runs("/usr/bin/bash", init, pid=50, args=("bash",))
    orphan = again.runs("/usr/bin/sleep", init, pid=70, reaper=True, args=("sleep", "9"), exec_id=2, birth_exec_id=1)
    again.snapshot_ends()
    assert again.get(orphan).doubt == ("snapshot",)

    # Between probes and snapshot: bash bore parent, parent bore the orphan and ended, the orphan executed sleep.
    parent.parent = shell
    assert again.born(parent, shell, at=500_000) is not None
    version = again.born(orphan, parent, at=500_100)
    assert version is not None
    assert (version.doubt, version.image.name) == ((), "bash")  # a fork has its parent's image
    again.exits(parent, at=500_200)
    version = again.execs(orphan, "/usr/bin/sleep", "sleep", "9", at=500_300, exec_id=2)
    assert version is not None
    assert again.chain(orphan) == "systemd bash bash sleep"
    assert version.reaper is not None
    assert (version.reaper.pid, version.doubt) == (1, ())
    assert again.bad == {}


def test_a_birth_told_late_mends_the_chains_of_descendants() -> None:
    history, init, shell = booted()
    daemon = history.runs("/usr/sbin/daemon", init, pid=60, reaper=True, args=("daemon",), exec_id=2, birth_exec_id=1)
    history.snapshot_ends()
    worker = history.forks(history.forks(daemon))
    assert history.get(worker).doubt == ("snapshot",)
    history.born(daemon, shell, at=500_000)
    assert history.get(worker).doubt == ()
    assert history.chain(worker).startswith("systemd bash daemon")
    assert history.get(worker).depth == 4


def test_an_exec_older_than_the_snapshot_adds_no_earlier_image() -> None:
    history, init, _ = booted()
    found = history.runs("/bin/second", init, pid=60, args=("second",), exec_id=3)
    history.snapshot_ends()
    found.exec_id = 1
    first = history.execs(found, "/bin/first", at=500_000)
    assert first is not None
    assert first.previous == ()  # nobody knows what was before
    second = history.execs(found, "/bin/second", at=500_100)
    assert second is not None
    assert [image.name for image in second.previous] == ["first"]


def test_an_exec_after_the_snapshot_has_the_snapshots_image_before_it() -> None:
    history, _, shell = booted()
    version = history.execs(shell, "/usr/bin/zsh")
    assert version is not None
    assert [(image.name, image.args) for image in version.previous] == [("bash", ("-bash",))]


def test_arguments_read_after_an_exec_are_not_given_to_the_image_before_it() -> None:
    history, init, _ = booted()
    found = history.runs("/bin/first", init, pid=60, at=2_000_000)
    history.args(found, "second", "--flag", at=2_000_200)
    history.snapshot_ends()
    version = history.execs(found, "/bin/second", "second", "--flag", at=2_000_100)
    assert version is not None
    assert [(image.name, image.args) for image in version.previous] == [("first", ())]


def test_the_exit_of_a_zombie_ends_it() -> None:
    history = History()
    zombie = history.runs("/bin/gone", pid=60, zombie=True)
    history.snapshot_ends()
    version = history.exits(zombie, 9, at=500_000)
    assert version is not None
    assert (version.exit_status, version.end_ns) == (9, 500_000)
    assert list(history.tree.alive()) == []


def test_a_life_that_the_first_walk_saw_the_end_of_is_told_whole() -> None:
    """What the probes tell during the walk comes after it: a birth, an exec and an end of whom it found dead."""
    _, init, shell = booted()
    again = History()
    again.snapshot_begins()
    for who, path in ((init, "/usr/lib/systemd/systemd"), (shell, "/usr/bin/bash")):
        again.finds(who, path)
    brief = Who(70, 1_002_000, shell, "id")
    again.finds(brief, "", zombie=True)
    again.snapshot_ends()
    found_ns = again.get(brief).end_ns
    assert found_ns is not None
    assert again.born(brief, shell, at=found_ns - 30) is not None
    assert again.execs(brief, "/usr/bin/id", at=found_ns - 20) is not None
    version = again.exits(brief, 256, at=found_ns - 10)
    assert version is not None
    assert (version.image.name, version.exit_status, version.end_ns) == ("id", 256, found_ns - 10)
    assert (version.doubt, again.chain(brief), again.bad) == ((), "systemd bash id", {})
    assert brief.pid not in {alive.pid for alive in again.tree.alive()}
    assert list(again.tree.closed()) == []


def test_whom_a_walk_found_dead_executes_nothing_any_more() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.snapshot_begins()
    history.finds(shell, "/usr/bin/bash")
    history.finds(child, "", zombie=True)
    history.snapshot_ends()
    assert history.born(child, shell) is None
    assert history.execs(child, "/bin/late") is None
    assert history.bad == {"fork_twice": 1, "exec_after_exit": 1}


def test_a_parent_that_ended_between_two_looks_of_the_snapshot_is_known_by_its_exit() -> None:
    history, init, _ = booted()
    ghost = history.forks(init, tell=False)
    orphan = history.runs("/usr/bin/sleep", ghost, pid=70, args=("sleep",))
    history.snapshot_ends()
    assert history.get(orphan).doubt == ("unknown_parent",)
    ghost.comm = "ghost"
    history.exits(ghost)
    assert history.chain(orphan) == "systemd ghost sleep"
    assert history.get(orphan).complete


def test_a_kernel_event_before_the_snapshots_end_finds_a_tree() -> None:
    history = History()
    init = history.runs("/sbin/init", pid=1, args=("/sbin/init",))
    shell = history.runs("/usr/bin/bash", init, pid=50, args=("bash",))
    child = history.forks(shell)
    assert history.chain(child) == "init bash bash"
    assert [version.pid for version in history.snapshot_ends()] == [1, 50]


def test_a_second_snapshot_shows_an_exec_that_was_lost() -> None:
    history, init, shell = booted()
    history.loses(wire.EXEC)
    history.snapshot_begins()
    leads = (50, 500)
    history.runs("/usr/bin/zsh", init, pid=50, start_ns=500, comm="zsh", session=leads, group=leads, exec_id=2)
    assert [version.image.name for version in history.snapshot_ends()] == ["zsh"]  # which no exec has told of
    version = history.get(shell)
    assert (version.image.name, version.doubt) == ("zsh", ())
    assert [image.name for image in version.previous] == ["bash"]


def test_a_second_snapshot_gives_what_was_missed() -> None:
    history, init, _ = booted()
    history.loses()
    history.snapshot_begins()
    history.runs("/usr/bin/missed", init, pid=80, args=("missed",))
    assert [version.image.name for version in history.snapshot_ends()] == ["missed"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (2, 0, 1), (0, 2, 1), (1, 2, 0)])
def test_the_order_of_a_snapshot_does_not_matter(order: tuple[int, ...]) -> None:
    history = History()
    source = History()
    init = source.runs("/sbin/init", pid=1)
    shell = source.runs("/usr/bin/bash", init, pid=50)
    tell = [
        lambda: history.runs("/sbin/init", pid=1, args=("init",)),
        lambda: history.runs("/usr/bin/bash", init, pid=50, args=("bash",)),
        lambda: history.runs("/usr/bin/vi", shell, pid=60, args=("vi",)),
    ]
    for number in order:
        tell[number]()
    versions = history.snapshot_ends()
    assert [(v.pid, v.depth, v.complete) for v in versions] == [(1, 0, True), (50, 1, True), (60, 2, True)]
