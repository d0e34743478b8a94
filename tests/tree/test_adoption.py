"""Who would reap a process now; who gave birth to it is another matter and never changes."""

from __future__ import annotations

from pipeline import wire
from tests.tree.answers import id_of
from tests.tree.history import History, Who, booted


def _reaper(history: History, who: Who) -> int | None:
    reaper = history.get(who).reaper
    return None if reaper is None else reaper.pid


def _birth(history: History, who: Who) -> int | None:
    parent = history.get(who).parent
    return None if parent is None else parent.pid


def test_while_its_parent_lives_a_process_has_no_other() -> None:
    history, _, shell = booted()
    assert _reaper(history, history.forks(shell)) is None


def test_children_go_to_whom_the_exit_names() -> None:
    history, init, shell = booted()
    parent = history.forks(shell)
    children = [history.forks(parent), history.forks(parent)]
    history.execs(children[1], "/usr/bin/sleep")  # an exec before makes no difference
    history.exits(parent, reaper=init)
    assert [_reaper(history, child) for child in children] == [1, 1]
    assert [_birth(history, child) for child in children] == [parent.pid] * 2
    assert history.chain(children[1]) == "systemd bash bash sleep"


def test_adopted_children_go_on_when_the_reaper_ends() -> None:
    history, init, shell = booted()
    subreaper = history.forks(shell)
    parent = history.forks(subreaper)
    child = history.forks(parent)
    history.exits(parent, reaper=subreaper)
    assert _reaper(history, child) == subreaper.pid
    history.exits(subreaper, reaper=init)
    assert _reaper(history, child) == 1
    assert _birth(history, child) == parent.pid


def test_an_adopted_process_is_adopted_still_after_its_exec() -> None:
    history, init, shell = booted()
    parent = history.forks(shell)
    child = history.forks(parent)
    history.exits(parent, reaper=init)
    child.parent = init
    history.execs(child, "/usr/bin/sleep")
    assert (_reaper(history, child), _birth(history, child)) == (1, parent.pid)


def test_a_child_under_clone_parent_has_another_parent_from_its_birth() -> None:
    history, _, shell = booted()
    caller = history.forks(shell)
    child = history.forks(caller, parent=shell)
    assert (_reaper(history, child), _birth(history, child)) == (shell.pid, caller.pid)
    history.exits(caller, reaper=None)
    assert _reaper(history, child) == shell.pid


def test_of_a_reaper_that_is_not_known_its_identity_is() -> None:
    history, _, shell = booted()
    parent = history.forks(shell)
    child = history.forks(parent)
    history.exits(parent, reaper=Who(4000, 40))
    assert (_reaper(history, child), _birth(history, child)) == (4000, parent.pid)
    reaper = history.get(child).reaper
    assert reaper is not None
    assert (reaper.entity_id, reaper.start_ns, reaper.image.name) == (id_of((4000, 40)), 40, "")


def test_a_reaper_found_later_is_the_reaper_and_hands_its_children_over() -> None:
    history, init, shell = booted()
    missed = history.forks(shell, tell=False)
    parent = history.forks(shell)
    child = history.forks(parent)
    history.exits(parent, reaper=missed)
    child.parent = missed
    history.loses(wire.FORK)
    history.snapshot_begins()
    for who, path in ((init, "/usr/lib/systemd/systemd"), (shell, "/usr/bin/bash"), (child, "/usr/bin/bash")):
        history.finds(who, path)
    history.finds(missed, "/usr/bin/bash")
    history.snapshot_ends()
    assert _reaper(history, child) == missed.pid
    history.exits(missed, reaper=init)
    assert _reaper(history, child) == 1


def test_a_parent_told_of_after_its_child_hands_it_over() -> None:
    history, init, shell = booted()
    parent = history.forks(shell, tell=False)
    child = history.forks(parent)
    history.born(parent, shell)
    history.exits(parent, reaper=init)
    assert (_reaper(history, child), _birth(history, child)) == (1, parent.pid)


def test_a_child_older_than_its_parent_in_a_snapshot_is_handed_over() -> None:
    """A subreaper may be younger than whom it adopted."""
    history = History()
    init = history.runs("/sbin/init", pid=1, args=("init",))
    subreaper = Who(60, 600, init, "subreaper")
    child = history.runs("/usr/bin/old", subreaper, pid=50, reaper=True, args=("old",))
    history.runs("/usr/bin/subreaper", init, pid=60, args=("subreaper",))
    history.snapshot_ends()
    history.exits(subreaper, reaper=init)
    assert _reaper(history, child) == 1


def test_the_children_of_the_init_of_a_pid_namespace_are_adopted_by_nobody() -> None:
    history, _, shell = booted()
    inner = history.forks(shell, ns_pid=1)
    child = history.forks(inner, ns_pid=2)
    history.exits(inner, reaper=None)
    assert (_reaper(history, child), _birth(history, child)) == (None, inner.pid)
    history.exits(child, 9)
    assert history.bad == {}


def test_the_end_of_a_thread_leader_gives_no_child_away() -> None:
    history, _, shell = booted()
    parent = history.forks(shell)
    history.starts_thread(parent, 900)
    child = history.forks(parent)
    history.ends_thread(parent, parent.pid)
    assert _reaper(history, child) is None


def test_ended_children_are_not_adopted() -> None:
    history, init, shell = booted()
    parent = history.forks(shell)
    child = history.forks(parent)
    history.exits(child)
    history.exits(parent, reaper=init)
    assert _reaper(history, child) is None


def test_a_process_whose_pid_is_used_again_is_nobodys_child() -> None:
    history, init, shell = booted()
    parent = history.forks(shell)
    young = history.forks(parent, pid=300)
    old = Who(300, young.start_ns - 1, parent, "bash")
    history.born(old, parent)  # its end was told to nobody
    history.exits(parent, reaper=init)
    assert history.get(old).exit_status is None
    assert [version.pid for version in history.tree.closed()] == [300]
    assert (_reaper(history, young), _reaper(history, old)) == (1, None)


def test_an_adopted_child_is_not_kept_by_its_reaper() -> None:
    """A million orphans of a long-lived init cost nothing once they have ended."""
    history, init, shell = booted(processes_max=20)
    for _ in range(50):
        parent = history.forks(shell)
        child = history.forks(parent)
        history.exits(parent, reaper=init)
        child.parent = init
        history.exits(child)
    assert len(history.tree) == 20
