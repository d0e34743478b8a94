"""Fork, exec, exit: what a process is after each."""

from __future__ import annotations

from pipeline.process import ANCESTORS_MAX, entity_id
from pipeline.tree.known.history import PREVIOUS_MAX
from tests.tree.history import BOOT, PID_NS, History, booted


def test_a_child_begins_as_its_parent_is() -> None:
    history, _, shell = booted()
    history.execs(shell, "/usr/bin/make", "make", "all", directory="/src")
    child = history.get(history.forks(shell, uid=1000))
    parent = history.get(shell)
    assert (child.image, child.working_directory) == (parent.image, "/src")
    assert child.image is parent.image  # kept once
    assert (child.credentials.uid, child.previous) == (1000, ())
    assert child.parent is not None
    assert child.parent.image.name == "make"


def test_a_process_has_one_identity_from_birth_to_end() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    ids = {history.get(child).entity_id}
    for version in (history.execs(child, "/usr/bin/curl"), history.exits(child)):
        assert version is not None
        ids.add(version.entity_id)
    assert ids == {entity_id(BOOT, PID_NS, *child.key)}


def test_a_chain_names_each_ancestor_as_it_was_when_its_child_was_born() -> None:
    history, _, shell = booted()
    before = history.forks(shell)
    history.execs(shell, "/usr/bin/python3")
    after = history.forks(shell)
    history.execs(shell, "/usr/bin/perl")
    assert history.chain(before) == "systemd bash bash"
    assert history.chain(after) == "systemd python3 python3"
    assert history.chain(history.forks(before)) == "systemd bash bash bash"


def test_siblings_share_their_ancestors() -> None:
    history, _, shell = booted()
    one, two = history.get(history.forks(shell)), history.get(history.forks(shell))
    assert one.ancestors is two.ancestors


def test_depth_counts_beyond_the_ancestors_that_are_carried() -> None:
    history, _, shell = booted(processes_max=200)
    for _ in range(60):
        shell = history.forks(shell)
    version = history.get(shell)
    assert (version.depth, len(version.ancestors), version.complete) == (61, ANCESTORS_MAX, True)


def test_a_child_keeps_its_birth_parent_after_reparenting() -> None:
    history, init, shell = booted()
    parent = history.forks(shell)
    child = history.forks(parent)
    history.exits(parent)
    child.parent = init
    version = history.execs(child, "/usr/bin/sleep")
    assert version is not None
    assert version.parent is not None
    assert version.reaper is not None
    assert (version.parent.pid, version.reaper.pid, version.depth) == (parent.pid, 1, 3)


def test_a_reaper_is_shown_only_where_it_is_another() -> None:
    history, _, shell = booted()
    assert history.get(history.forks(shell)).reaper is None


def test_clone_parent_makes_the_caller_the_birth_parent() -> None:
    history, _, shell = booted()
    caller = history.forks(shell)
    version = history.get(history.forks(caller, parent=shell))
    assert version.parent is not None
    assert version.reaper is not None
    assert (version.parent.pid, version.reaper.pid) == (caller.pid, shell.pid)


def test_the_reaper_is_as_it_is_now() -> None:
    history, _, shell = booted()
    child = history.forks(history.forks(shell), parent=shell)
    history.execs(shell, "/usr/bin/tmux")
    reaper = history.get(child).reaper
    assert reaper is not None
    assert reaper.image.name == "tmux"


def test_earlier_images_are_kept_newest_first_and_bounded() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    for number in range(PREVIOUS_MAX + 5):
        history.execs(child, f"/bin/image{number}")
    previous = history.get(child).previous
    assert len(previous) == PREVIOUS_MAX
    assert [image.name for image in previous[:2]] == [f"image{PREVIOUS_MAX + 3}", f"image{PREVIOUS_MAX + 2}"]


def test_the_image_a_process_was_born_with_is_an_earlier_one_after_exec() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    version = history.execs(child, "/usr/bin/curl")
    assert version is not None
    assert [image.name for image in version.previous] == ["bash"]


def test_a_cut_string_is_doubted_in_the_process_alone() -> None:
    history, _, shell = booted()
    version = history.execs(shell, "/usr/bin/java", cut=("args",))
    assert version is not None
    assert version.doubt == ("cut",)
    child = history.forks(shell)
    assert history.get(child).doubt == ("cut",)  # the strings are its own too
    after = history.execs(child, "/bin/true")
    assert after is not None
    assert after.doubt == ()


def test_an_end_says_how_and_when() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    assert history.get(child).end_ns is None
    version = history.exits(child, 0x700)
    assert version is not None
    assert (version.exit_status, version.end_ns) == (0x700, history.now_ns)


def test_a_late_child_of_an_ended_process_has_its_whole_lineage() -> None:
    history, _, shell = booted()
    parent = history.forks(shell)
    history.execs(parent, "/usr/bin/nginx")
    history.exits(parent)
    assert history.chain(history.forks(parent)) == "systemd bash nginx nginx"


def test_a_pid_used_again_at_once_is_another_process() -> None:
    history, _, shell = booted()
    first = history.forks(shell, pid=777)
    history.execs(first, "/bin/first")
    history.exits(first)
    second = history.forks(shell, pid=777)
    assert history.get(first).entity_id != history.get(second).entity_id
    assert (history.get(first).image.name, history.get(second).image.name) == ("first", "bash")
    assert history.get(first).end_ns is not None
    assert history.get(second).end_ns is None


def test_a_pid_used_again_ends_whose_end_was_lost() -> None:
    history, _, shell = booted()
    first = history.forks(shell, pid=777)
    second = history.forks(shell, pid=777)
    assert first.key not in {(version.pid, version.start_ns) for version in history.tree.alive()}
    (closed,) = history.tree.closed()
    assert (closed.start_ns, closed.exit_status, closed.end_ns) == (first.start_ns, None, second.start_ns)
    assert list(history.tree.closed()) == []
    assert history.counters.closed_unseen == 1
    assert history.exits(first) is not None  # a late end is still taken
    assert history.get(first).end_ns == history.now_ns
    assert history.bad == {}


def test_a_state_has_a_moment_of_its_own_even_where_time_stands_still() -> None:
    history, _, shell = booted()
    child = history.forks(shell, at=5_000_000)
    seen = [history.get(child).since_ns]
    for number in range(3):
        version = history.execs(child, f"/bin/{number}", at=5_000_000)
        assert version is not None
        seen.append(version.since_ns)
    assert seen == sorted(set(seen))


def test_a_child_tells_what_its_parent_has_become() -> None:
    history, _, shell = booted()
    shell.uid, shell.session, shell.group = 33, (50, 500), (50, 500)
    child = history.get(history.forks(shell))
    assert child.parent is not None
    assert child.parent.credentials.uid == 33
    assert history.get(shell).credentials.uid == 33


def test_capabilities_of_a_child_say_nothing_about_its_parent() -> None:
    history, _, shell = booted()
    child = history.forks(shell, caps=0x1FF)  # as in a new user namespace
    assert history.get(child).credentials.cap_effective == 0x1FF
    assert history.get(shell).credentials.cap_effective == 0


def test_a_kernel_thread_is_named_by_comm() -> None:
    history = History()
    kthreadd = history.runs("kthreadd", pid=2, kernel_thread=True)
    history.snapshot_ends()
    worker = history.forks(kthreadd, kernel_thread=True)
    worker.comm = "kworker/0:1"
    version = history.exits(worker)
    assert version is not None
    assert (version.image.name, version.complete, version.kernel_thread) == ("kworker/0:1", True, True)
    assert history.chain(worker) == "kthreadd kworker/0:1"


def test_a_repr_says_who_is_there() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.starts_thread(child, 900)
    assert repr(history.tree) == "<ProcessTree 3 alive, 0 ended, 1 threads>"
    history.exits(child)
    assert repr(history.tree) == "<ProcessTree 2 alive, 1 ended, 0 threads>"
    assert repr(list(history.tree._state.processes)[-1]) == f"<Process {child.pid}@{child.start_ns} bash ended>"


def test_another_boot_begins_anew() -> None:
    history, _, shell = booted()
    history.boots()
    assert len(history.tree) == 2  # the same boot again changes nothing
    history.boots(b"another boot id.")
    assert len(history.tree) == 0
    assert history.tree.get(*shell.key) is None
