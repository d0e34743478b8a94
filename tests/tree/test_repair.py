"""What a walk over all that runs makes right again after a loss."""

from __future__ import annotations

import pytest

from pipeline import wire
from pipeline.events import Rename, Stamp
from tests.tree.history import BASH, STEP_NS, SYSTEMD, History, Who, booted

# Images.


def test_a_walk_that_finds_nothing_more_executed_clears_it() -> None:
    history, init, shell = booted()
    history.loses(wire.EXEC)
    history.walks()
    assert [history.doubt(who) for who in (init, shell)] == [(), ()]


def test_another_image_is_the_processs_and_of_the_children_born_of_it() -> None:
    history, _, shell = booted()
    before = history.forks(shell)
    history.execs(before, "/usr/bin/ls")
    history.execs_unseen(shell, "/usr/bin/zsh")
    history.loses(wire.EXEC)
    meanwhile = history.forks(shell)
    history.execs(meanwhile, "/usr/bin/ls")
    below = history.forks(meanwhile)
    assert [history.doubt(who) for who in (shell, meanwhile, below)] == [("loss",)] * 3
    history.walks((shell, "/usr/bin/zsh"), (before, "/usr/bin/ls"), (meanwhile, "/usr/bin/ls"), (below, "/usr/bin/ls"))
    version = history.get(shell)
    assert (version.image.name, [image.name for image in version.previous]) == ("zsh", ["bash"])
    assert [history.doubt(who) for who in (shell, before, meanwhile, below)] == [()] * 4
    assert history.chain(below) == "systemd zsh ls ls"
    assert history.chain(before) == "systemd bash ls"


def test_a_birth_that_overtook_its_parents_exec_has_that_image_too() -> None:
    history, _, shell = booted()
    exec_at_ns, birth_at_ns = history.now_ns + 1, history.now_ns + 2
    history.execs_unseen(shell, "/usr/bin/env")
    child = history.forks(shell, at=birth_at_ns)
    below = history.forks(child, at=birth_at_ns + 1)
    assert [history.doubt(who) for who in (shell, child, below)] == [("loss",)] * 3
    history.execs(shell, "/usr/bin/env", at=exec_at_ns, exec_id=shell.exec_id)
    assert [history.doubt(who) for who in (shell, child, below)] == [()] * 3
    assert history.chain(below) == "systemd env env env"


def test_children_born_of_an_image_that_was_never_found_stay_in_doubt() -> None:
    history, _, shell = booted()
    history.loses(wire.EXEC)
    children = []
    for missed in ("/usr/bin/first", "/usr/bin/second"):
        history.execs_unseen(shell, missed)
        children.append(history.forks(shell))
    found = [(child, path) for child, path in zip(children, ("/usr/bin/first", "/usr/bin/second"), strict=True)]
    history.walks((shell, "/usr/bin/second"), *found)
    assert [history.doubt(child) for child in children] == [("loss",), ()]
    assert [history.chain(child) for child in children] == ["systemd bash first", "systemd second second"]


def test_an_image_that_was_its_parents_before_a_missed_exec_was_never_its_own() -> None:
    history, _, shell = booted()
    history.execs_unseen(shell, "/usr/bin/zsh")
    found, executes = history.forks(shell), history.forks(shell)
    history.execs(executes, "/usr/bin/ls")
    history.walks((shell, "/usr/bin/zsh"), (found, "/usr/bin/zsh"), (executes, "/usr/bin/ls"))
    previous = [[image.name for image in history.get(who).previous] for who in (found, executes)]
    assert previous == [[], ["zsh"]]


def test_children_that_have_ended_or_have_another_parent_are_corrected_as_well() -> None:
    history, init, shell = booted()
    history.execs_unseen(shell, "/usr/bin/zsh")
    ended = history.forks(shell)
    history.execs(ended, "/usr/bin/env")
    survivor = history.forks(ended)
    history.execs(survivor, "/usr/sbin/daemon")
    history.exits(ended, reaper=init)
    survivor.parent = init
    sibling = history.forks(shell, parent=init)
    history.execs(sibling, "/usr/bin/runc")
    assert [history.doubt(who) for who in (survivor, sibling)] == [("loss",)] * 2
    history.walks((shell, "/usr/bin/zsh"), (survivor, "/usr/sbin/daemon"), (sibling, "/usr/bin/runc"))
    assert [history.doubt(who) for who in (survivor, sibling)] == [()] * 2
    assert history.chain(survivor) == "systemd zsh env daemon"


def test_the_same_binary_executed_again_is_another_image_with_its_own_arguments() -> None:
    history, _, shell = booted()
    history.execs(shell, BASH, "bash", "one.sh")
    history.execs_unseen(shell, BASH)
    history.loses(wire.EXEC)
    history.snapshot_begins()
    history.finds(shell, BASH)
    history.args(shell, "bash", "two.sh")
    history.snapshot_ends()
    version = history.get(shell)
    assert (version.image.args, version.previous[0].args) == (("bash", "two.sh"), ("bash", "one.sh"))
    assert version.doubt == ()


def test_a_script_that_another_script_replaced_is_told_by_its_comm() -> None:
    history, _, shell = booted()
    history.execs(shell, "/srv/one.py", executable="/usr/bin/python3")
    history.loses(wire.EXEC)
    history.execs_unseen(shell, "/srv/two.py")
    history.snapshot_begins()
    history.finds(shell, "/usr/bin/python3")
    version = history.args(shell, "python3", "/srv/two.py")
    assert version is None  # the walk goes on
    history.snapshot_ends()
    assert (history.get(shell).image.name, history.get(shell).previous[0].name) == ("two.py", "one.py")


def test_an_image_that_was_told_better_keeps_its_arguments() -> None:
    history, _, shell = booted()
    history.execs(shell, "/usr/sbin/nginx", "nginx", "-g", "daemon off;")
    history.loses(wire.EXEC)
    history.snapshot_begins()
    history.finds(shell, "/usr/sbin/nginx")
    assert history.args(shell, "nginx: master process") is None
    history.snapshot_ends()
    assert history.get(shell).image.args == ("nginx", "-g", "daemon off;")
    assert history.bad == {}


def test_a_name_from_the_first_snapshot_is_not_made_anew_by_a_later_one() -> None:
    history, _, shell = booted()
    history.renames(shell, "renamed")
    history.loses(wire.EXEC)
    history.snapshot_begins()
    history.finds(shell, BASH)
    history.args(shell, "/bin/renamed")
    history.snapshot_ends()
    assert (history.get(shell).image.name, history.get(shell).image.args) == ("bash", ("-bash",))


def test_another_loss_during_the_walk_keeps_in_doubt_who_was_looked_at_until_the_next() -> None:
    history, init, shell = booted()
    history.loses(wire.EXEC)
    child = history.forks(shell)
    history.execs(child, "/usr/bin/env")
    history.snapshot_begins()
    history.finds(init, SYSTEMD)
    history.finds(shell, BASH, reaper=True)
    history.loses(wire.EXEC)
    history.finds(child, "/usr/bin/env")
    history.snapshot_ends()
    assert [history.doubt(who) for who in (shell, child)] == [("loss",), ()]
    history.walks((child, "/usr/bin/env"))
    assert [history.doubt(who) for who in (shell, child)] == [()] * 2


# Who is there and who is not.


def test_who_is_not_found_has_ended_and_is_told_once() -> None:
    history, _, shell = booted()
    gone = history.forks(shell)
    history.starts_thread(gone, 900)
    history.loses(wire.EXIT)
    begins_ns = history.now_ns + STEP_NS
    history.walks()
    (version,) = history.tree.closed()
    assert (version.pid, version.exit_status, version.end_ns) == (gone.pid, None, begins_ns)
    assert gone.pid not in {alive.pid for alive in history.tree.alive()}
    assert (history.counters.closed_unseen, len(history.tree.threads(*gone.key))) == (1, 0)
    history.walks()
    assert (history.closed(), history.counters.closed_unseen) == ([], 1)


def test_an_end_that_comes_after_all_is_the_end() -> None:
    history, _, shell = booted()
    gone = history.forks(shell)
    history.loses(wire.EXIT)
    history.walks()
    version = history.exits(gone, 9)
    assert version is not None
    assert (version.exit_status, history.bad) == (9, {})
    assert history.exits(gone, 9) is None
    assert history.bad == {"exit_twice": 1}


def test_a_zombie_of_the_first_snapshot_is_told_as_found_and_not_as_closed() -> None:
    history = History()
    history.snapshot_begins()
    init = history.runs(SYSTEMD, pid=1, args=("init",))
    zombie = history.runs("/bin/gone", init, pid=60, zombie=True)
    assert [version.pid for version in history.snapshot_ends()] == [1, 60]
    assert (history.closed(), history.counters.closed_unseen) == ([], 0)
    assert zombie.pid not in {alive.pid for alive in history.tree.alive()}


def test_a_zombie_of_a_later_walk_has_ended_and_nobody_had_told() -> None:
    history, _, shell = booted()
    zombie = history.forks(shell)
    history.loses(wire.EXIT)
    history.snapshot_begins()
    history.finds(Who(1, 10, comm="systemd"), SYSTEMD)
    history.finds(shell, BASH, reaper=True)
    history.finds(zombie, "", zombie=True)
    history.snapshot_ends()
    assert (history.closed(), history.get(zombie).image.name) == ([zombie.pid], "bash")


def test_a_process_that_a_walk_told_twice_is_as_it_was_told_last() -> None:
    """A walk that lost its place begins again."""
    history, _, shell = booted()
    child = history.forks(shell)
    history.loses(wire.EXEC)
    history.snapshot_begins()
    for zombie in (False, True):
        history.finds(Who(1, 10, comm="systemd"), SYSTEMD)
        history.finds(shell, BASH, reaper=True)
        child.comm = "new"
        history.finds(child, "/bin/new", zombie=zombie)
    history.snapshot_ends()
    assert history.closed() == [child.pid]


def test_who_was_missed_is_found_with_its_lineage() -> None:
    history, _, shell = booted()
    missed = history.forks(shell, tell=False)
    history.loses(wire.FORK)
    history.walks((missed, "/usr/bin/missed"))
    assert [version.pid for version in history.tree.snapshot()] == [missed.pid]
    assert (history.chain(missed), history.doubt(missed)) == ("systemd bash missed", ())


def test_who_was_missed_and_has_a_reaper_for_parent_is_in_doubt_for_both_reasons() -> None:
    history, init, shell = booted()
    missed = history.forks(shell, tell=False)
    missed.parent = init
    history.loses(wire.FORK)
    history.snapshot_begins()
    history.finds(init, SYSTEMD)
    history.finds(shell, BASH, reaper=True)
    history.finds(missed, "/usr/bin/missed", reaper=True)
    history.snapshot_ends()
    assert history.doubt(missed) == ("loss", "snapshot")


def test_who_was_missed_is_in_doubt_for_both_reasons_also_when_its_parent_is_found_after_it() -> None:
    history, _, shell = booted()
    reaper = history.forks(shell, tell=False)
    missed = history.forks(reaper, tell=False)
    history.loses(wire.FORK)
    history.snapshot_begins()
    history.finds(Who(1, 10, comm="systemd"), SYSTEMD)
    history.finds(shell, BASH, reaper=True)
    history.finds(missed, "/usr/bin/missed", reaper=True)
    other = history.forks(shell)  # makes the tree settle what was told so far
    history.finds(reaper, "/usr/bin/reaper")
    history.finds(other, BASH)
    history.snapshot_ends()
    assert history.doubt(missed) == ("loss", "snapshot")
    assert history.chain(missed) == "systemd bash reaper missed"


@pytest.mark.parametrize("parent_first", [True, False])
def test_a_parent_that_no_reaper_is_was_the_parent_from_the_beginning(parent_first: bool) -> None:
    history, _, shell = booted()
    parent = history.forks(shell, tell=False)
    child = history.forks(parent, tell=False)
    history.execs(child, "/usr/bin/child")  # all that was told of it
    history.loses(wire.FORK)
    assert "unknown_parent" in history.doubt(child)
    found = [(parent, "/usr/bin/parent"), (child, "/usr/bin/child")]
    history.walks(*(found if parent_first else reversed(found)))
    assert history.doubt(child) == ()
    assert history.chain(child) == "systemd bash parent child"


def test_a_present_parent_that_is_a_reaper_may_not_be_the_one_that_bore_it() -> None:
    history, init, shell = booted()
    child = history.forks(shell, tell=False)
    child.parent = init
    history.execs(child, "/usr/bin/child")
    history.loses(wire.FORK)
    history.snapshot_begins()
    history.finds(init, SYSTEMD)
    history.finds(shell, BASH, reaper=True)
    history.finds(child, "/usr/bin/child", reaper=True)
    history.snapshot_ends()
    assert "unknown_parent" in history.doubt(child)


# Threads.


def test_threads_of_the_first_snapshot_are_known() -> None:
    history, _, shell = booted()
    history.finds_thread(shell, 900)
    assert history.tree.threads(*shell.key) == (50, 900)
    history.finds_thread(shell, 50)  # the leader is one already
    assert history.tree.threads(*shell.key) == (50, 900)


def test_a_thread_found_before_its_start_was_told_is_one_thread() -> None:
    history, _, shell = booted()
    history.finds_thread(shell, 900)
    history.starts_thread(shell, 900)
    assert history.bad == {}
    thread = history.tree.thread(900, shell.start_ns + 900)
    assert thread is not None
    assert thread.birth_tid == shell.pid
    history.starts_thread(shell, 900)
    assert history.bad == {"thread_start_twice": 1}


def test_threads_that_a_walk_does_not_find_have_ended() -> None:
    history, init, shell = booted()
    for tid in (900, 901):
        history.starts_thread(shell, tid)
    history.loses(wire.THREAD_END)
    history.snapshot_begins()
    history.finds(init, SYSTEMD)
    history.finds(shell, BASH)
    history.finds_thread(shell, 901)
    history.starts_thread(shell, 902)  # after the walk had passed
    history.snapshot_ends()
    assert history.tree.threads(*shell.key) == (50, 901, 902)
    assert history.tree.thread(900, shell.start_ns + 900) is None


def test_threads_found_alive_are_kept_and_counted_beyond_the_bound() -> None:
    history, _, shell = booted(threads_max=4)
    for tid in range(900, 910):
        history.finds_thread(shell, tid)
    assert history.tree.threads(*shell.key) == (50, *range(900, 910))
    assert (history.counters.threads_evicted, history.counters.threads_over_bound) == (0, 6)


def test_what_is_remembered_of_births_in_doubt_is_bounded() -> None:
    history, _, shell = booted(processes_max=8)
    parents = [history.forks(shell) for _ in range(20)]
    for parent in parents:
        history.execs_unseen(parent, BASH)
        history.forks(parent)
    assert len(history.tree._state.unsure_births) == 8
    history.walks()
    assert history.tree._state.unsure_births == {}


def test_what_is_told_late_ends_where_a_walk_has_found_it_otherwise() -> None:
    history, _, shell = booted()
    history.loses(wire.EXEC)
    renamed_ns = history.now_ns + 1
    history.walks((shell, BASH))
    assert len(history.tree.versions(history.get(shell).entity_id)) == 1
    history.tell(Rename(Stamp(renamed_ns, 0, 0, 0), shell.pid, shell.pid, shell.start_ns, shell.start_ns, 50, "late"))
    names = [version.process.thread_name for version in history.tree.versions(history.get(shell).entity_id)]
    assert names == ["bash", "late", "bash"]
