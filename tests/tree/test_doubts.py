"""What is not known is said, and why."""

from __future__ import annotations

from tests.tree.history import History, Who, booted


def test_a_child_of_nobody_known_begins_with_unknown() -> None:
    history, _, _ = booted()
    child = history.forks(Who(4000, 40, comm="ghost"))
    version = history.get(child)
    assert (version.parent, version.depth, version.complete) == (None, 0, False)
    assert version.doubt == ("unknown_parent",)
    assert version.image.name == "ghost"
    assert history.counters.unknown_parents == 1


def test_a_parent_told_after_its_child_is_its_parent() -> None:
    history, _, shell = booted()
    parent = history.forks(shell, tell=False)
    child = history.forks(parent)
    grandchild = history.forks(child)
    assert history.get(grandchild).doubt == ("unknown_parent",)
    history.born(parent, shell)
    for who, depth in ((child, 3), (grandchild, 4)):
        version = history.get(who)
        assert (version.depth, version.complete, version.doubt) == (depth, True, ())
    assert history.chain(grandchild) == "systemd bash bash bash bash"


def test_an_exec_of_an_unknown_process_makes_it_known_with_a_doubt() -> None:
    history, _, shell = booted()
    lost = history.forks(shell, tell=False)
    version = history.execs(lost, "/usr/bin/curl")
    assert version is not None
    assert (version.image.name, version.previous, version.doubt) == ("curl", (), ("unknown_parent",))
    assert history.chain(lost) == "systemd bash curl"  # by the parent it had then
    assert history.counters.unknown_parents == 0


def test_an_exit_of_an_unknown_process_makes_its_end_as_right_as_can_be() -> None:
    history, _, shell = booted()
    lost = history.forks(shell, tell=False, comm="lost", uid=12)
    version = history.exits(lost, 3 << 8)
    assert version is not None
    assert (version.image.name, version.exit_status, version.credentials.uid) == ("lost", 768, 12)
    assert version.doubt == ("unknown_parent",)
    assert history.chain(lost) == "systemd bash lost"


def test_a_fork_that_its_exec_overtook_makes_the_edge_certain() -> None:
    history, init, shell = booted()
    child = history.forks(shell, tell=False)
    child.parent = init
    history.execs(child, "/usr/bin/curl")
    version = history.born(child, shell)
    assert version is not None
    assert (version.doubt, version.image.name) == ((), "bash")  # at its birth
    assert (history.doubt(child), history.get(child).image.name) == ((), "curl")
    assert history.chain(child) == "systemd bash curl"


def test_a_fork_that_its_exit_overtook_makes_the_edge_certain() -> None:
    history, _, shell = booted()
    child = history.forks(shell, tell=False)
    history.exits(child)
    version = history.born(child, shell)
    assert version is not None
    assert (version.doubt, version.end_ns) == ((), None)  # at its birth
    assert (history.doubt(child), history.get(child).end_ns is not None) == ((), True)
    assert child.key not in {(v.pid, v.start_ns) for v in history.tree.alive()}
    assert history.born(child, shell) is None
    assert history.bad == {"fork_twice": 1}


def test_after_a_loss_what_is_missing_may_be_lost() -> None:
    history, _, shell = booted()
    history.loses()
    known = history.forks(shell)
    assert history.get(known).doubt == ()  # its birth was told
    orphan = history.forks(Who(4000, 40))
    assert history.get(orphan).doubt == ("loss", "unknown_parent")
    lost = history.forks(shell, tell=False)
    history.execs(lost, "/usr/bin/curl")
    assert history.get(lost).doubt == ("loss", "unknown_parent")
    assert history.get(history.forks(lost)).doubt == ("loss", "unknown_parent")


def test_a_parent_forgotten_for_want_of_room_is_evicted_and_not_unknown() -> None:
    history, _, shell = booted(processes_max=5)
    old = history.forks(shell)
    history.exits(old)
    for _ in range(5):
        history.exits(history.forks(shell))
    assert history.tree.get(*old.key) is None
    child = history.forks(old)
    assert history.get(child).doubt == ("evicted",)
    assert history.get(history.forks(child)).doubt == ("evicted",)
    assert history.counters.unknown_parents == 0


def test_doubt_and_completeness_are_two_things() -> None:
    history = History()
    init = history.runs("/sbin/init", pid=1)
    daemon = history.runs("/bin/daemon", init, pid=20, reaper=True)
    history.snapshot_ends()
    version = history.get(daemon)
    assert (version.complete, version.doubt) == (True, ("snapshot",))
