"""What a living process changes about itself, and what its other threads change for themselves alone."""

from __future__ import annotations

import pytest

from pipeline.containers import Container
from pipeline.process import ProcessVersion
from pipeline.tree import ProcessKey
from pipeline.tree.changes.folding import HIERARCHIES_MAX
from tests.tree.history import PID_NS, STEP_NS, History, Who, booted

OTHER = 900
ID = "5" * 64
ANOTHER_ID = "6" * 64


def _threaded() -> tuple[History, Who]:
    history, _, shell = booted()
    history.execs(shell, "/usr/bin/java")
    history.starts_thread(shell, OTHER)
    return history, shell


def _thread_name(history: History, who: Who) -> str:
    thread = history.tree.thread(OTHER, who.start_ns + OTHER)
    assert thread is not None
    return thread.name


def test_a_renamed_leader_gives_the_process_another_comm_and_no_other_name() -> None:
    history, shell = _threaded()
    version = history.renames(shell, "worker")
    assert version is not None
    assert (version.thread_name, version.image.name) == ("worker", "java")
    assert _thread_name(history, shell) == "java"


def test_a_renamed_thread_is_renamed_alone() -> None:
    history, shell = _threaded()
    version = history.renames(shell, "GC", OTHER)
    assert version is not None
    assert (version.thread_name, _thread_name(history, shell)) == ("java", "GC")


def test_a_kernel_thread_is_called_by_its_comm() -> None:
    history, _, _ = booted()
    kthreadd = history.runs("kthreadd", pid=2, kernel_thread=True)
    history.snapshot_ends()
    worker = history.forks(kthreadd, kernel_thread=True, comm="kthreadd")
    version = history.renames(worker, "kworker/0:1")
    assert version is not None
    assert (version.image.name, version.thread_name) == ("kworker/0:1", "kworker/0:1")


def test_a_process_has_the_credentials_of_its_leader() -> None:
    history, shell = _threaded()
    version = history.changes_credentials(shell, 33, groups=(33, 4), cap_effective=5, securebits=1, user_ns=7)
    assert version is not None
    now = version.credentials
    assert (now.uid, now.fsgid, now.groups, now.cap_effective) == (33, 33, (33, 4), 5)
    assert (now.securebits, now.user_ns) == (1, 7)


def test_credentials_of_another_thread_are_its_own() -> None:
    history, shell = _threaded()
    before = history.get(shell).credentials
    history.changes_credentials(shell, 33, groups=(4,), tid=OTHER)
    thread = history.tree.thread(OTHER, shell.start_ns + OTHER)
    assert thread is not None
    assert thread.credentials is not None
    assert (thread.credentials.uid, thread.credentials.groups) == (33, (4,))
    assert history.get(shell).credentials == before


def test_a_child_of_a_thread_with_other_credentials_has_those_and_its_parent_does_not() -> None:
    history, shell = _threaded()
    history.changes_credentials(shell, 33, tid=OTHER)
    shell.tid = OTHER
    child = history.forks(shell, uid=33)
    assert (history.get(child).credentials.uid, history.get(shell).credentials.uid) == (33, 0)


def test_a_child_tells_of_credentials_that_nobody_told_of() -> None:
    history, shell = _threaded()
    child = history.forks(shell, uid=33)
    assert (history.get(child).credentials.uid, history.get(shell).credentials.uid) == (33, 33)


def test_after_the_leaders_end_what_another_thread_changes_is_the_processs() -> None:
    history, shell = _threaded()
    history.ends_thread(shell, shell.pid)
    version = history.changes_credentials(shell, 33, tid=OTHER)
    assert version is not None
    assert version.credentials.uid == 33
    version = history.changes_namespaces(shell, 77, tid=OTHER)
    assert version.namespaces.mnt == 77


def test_a_child_has_its_parents_groups() -> None:
    history, shell = _threaded()
    history.changes_credentials(shell, 33, groups=(33, 4))
    assert history.get(history.forks(shell)).credentials.groups == (33, 4)


def test_setsid_makes_a_leader_of_both_and_an_entry_is_judged() -> None:
    history, init, _ = booted()
    daemon = history.forks(init, session=(1, 10), group=(1, 10))
    assert history.get(daemon).entry_leader is None
    daemon.session = daemon.group = daemon.key
    version = history.changes_session(daemon)
    assert isinstance(version, ProcessVersion)
    assert version.session_leader is not None
    assert version.group_leader is not None
    assert version.entry_leader is not None
    leaders = (version.session_leader, version.group_leader, version.entry_leader)
    assert [leader.pid for leader in leaders] == [daemon.pid] * 3
    assert version.entry_type == "init"


def test_setpgid_changes_the_group_and_not_the_entry() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    before = history.get(child)
    child.group = child.key
    version = history.changes_session(child)
    assert (version.session.group_id, version.session.id) == (child.pid, before.session.id)
    assert version.entry_leader == before.entry_leader


def test_a_session_made_by_another_thread_is_the_processs_but_not_that_threads_name_and_user() -> None:
    history, shell = _threaded()
    child = history.forks(shell)
    history.starts_thread(child, OTHER)
    child.session = child.group = child.key
    version = history.changes_session(child, tid=OTHER, comm="other", uid=33)
    assert (version.session.id, version.session.group_id) == (child.pid, child.pid)
    assert (version.tid, version.thread_name, version.credentials.uid) == (child.pid, "java", 0)
    assert version.entry_leader is not None


@pytest.mark.parametrize("how", ["credentials", "namespaces", "exit", "child", "snapshot"])
def test_a_session_that_nobody_told_of_is_learnt_from_the_next_record(how: str) -> None:
    history, init, _ = booted()
    daemon = history.forks(init, session=(1, 10), group=(1, 10))
    history.execs(daemon, "/usr/sbin/daemon")
    daemon.session = daemon.group = daemon.key
    if how == "credentials":
        history.changes_credentials(daemon, 0)
    elif how == "namespaces":
        history.changes_namespaces(daemon, 2)
    elif how == "exit":
        history.exits(daemon)
    elif how == "child":
        history.forks(daemon)
    else:
        history.snapshot_begins()
        history.finds(daemon, "/usr/sbin/daemon", reaper=True)
    version = history.get(daemon)
    assert version.session_leader is not None
    assert (version.session.id, version.entry_type) == (daemon.pid, "init")


def test_namespaces_are_told_whole() -> None:
    history, _, shell = booted()
    spaces = history.changes_namespaces(shell, 70, uts=71, children_pid=72).namespaces
    assert (spaces.mnt, spaces.net, spaces.cgroup, spaces.uts, spaces.children_pid) == (70, 3, 4, 71, 72)
    assert history.changes_namespaces(shell, 70, children_pid=PID_NS).namespaces.children_pid == 0


def test_a_thread_that_goes_into_a_namespace_alone_goes_alone() -> None:
    history, shell = _threaded()
    before = history.get(shell)
    history.changes_namespaces(shell, 70, tid=OTHER)
    assert history.get(shell).namespaces == before.namespaces


def test_a_child_is_born_in_its_parents_namespaces() -> None:
    history, _, shell = booted()
    history.changes_namespaces(shell, 2, uts=71)
    assert history.get(history.forks(shell)).namespaces == history.get(shell).namespaces


def test_a_child_is_where_its_parent_had_its_children_born_and_so_are_its_own() -> None:
    history, _, shell = booted()
    history.changes_namespaces(shell, 2, uts=71, children_pid=72)
    child = history.forks(shell)
    assert history.get(child).namespaces == history.get(shell).namespaces._replace(children_pid=0)
    assert history.get(shell).namespaces.children_pid == 72


def test_a_working_directory_is_the_last_that_was_told() -> None:
    history, _, shell = booted()
    history.execs(shell, "/usr/bin/zsh", directory="/home")
    version = history.changes_directory(shell, "/srv")
    assert version is not None
    assert (version.working_directory, version.doubt) == ("/srv", ())
    assert history.get(history.forks(shell)).working_directory == "/srv"


def test_a_directory_that_was_cut_is_in_doubt_until_another_is_told() -> None:
    history, _, shell = booted()
    version = history.changes_directory(shell, "…/deep/down", cut=True)
    assert version is not None
    assert (version.cut, version.doubt) == (("working_directory",), ("cut",))
    version = history.changes_directory(shell, "/")
    assert version is not None
    assert (version.cut, version.doubt) == ((), ())


def test_a_late_directory_that_was_cut_is_in_doubt_up_to_the_next_one_and_in_children_born_meanwhile() -> None:
    history, _, shell = booted()
    first = history.changes_directory(shell, "/srv")
    assert first is not None
    between_ns = first.since_ns + STEP_NS // 2
    child = history.forks(shell)
    last = history.changes_directory(shell, "/")
    assert last is not None
    history.changes_directory(shell, "…/deep/down", cut=True, at=between_ns)
    assert (history.get(shell).working_directory, history.get(shell).cut) == ("/", ())
    then = history.tree.process(ProcessKey(last.entity_id, between_ns)).process
    assert (then.working_directory, then.cut, then.doubt) == ("…/deep/down", ("working_directory",), ("cut",))
    born = history.get(child)
    assert (born.working_directory, born.cut) == ("…/deep/down", ("working_directory",))
    assert born.parent is not None
    assert born.parent.cut == ("working_directory",)
    history.execs(child, "/usr/bin/env")
    assert history.get(child).cut == ()


def test_groups_that_were_cut_are_in_doubt_until_fewer_are_told() -> None:
    history, _, shell = booted()
    history.changes_directory(shell, "…/deep/down", cut=True)
    version = history.changes_credentials(shell, 0, groups=(1, 2), cut=True)
    assert version is not None
    assert (version.cut, version.doubt) == (("working_directory", "groups"), ("cut",))
    of_a_thread = history.changes_credentials(shell, 0, groups=(1,), tid=OTHER)
    assert of_a_thread is not None
    assert of_a_thread.cut == ("working_directory", "groups")
    version = history.changes_credentials(shell, 0, groups=(1,))
    assert version is not None
    assert version.cut == ("working_directory",)


def test_a_cgroup_tells_the_container_and_children_are_in_it() -> None:
    history, _, shell = booted()
    version = history.enters_cgroup(shell, f"/system.slice/docker-{ID}.scope", cgroup_id=44)
    assert version is not None
    assert (version.container, version.cgroup_id) == (Container(ID, "docker"), 44)
    assert history.get(history.forks(shell)).container == Container(ID, "docker")


def test_a_container_is_taken_back_by_the_hierarchy_that_told_it_and_by_no_other() -> None:
    history, _, shell = booted()
    history.enters_cgroup(shell, f"/docker/{ID}", hierarchy=7)
    child = history.forks(shell)
    for hierarchy in (0, 3):
        history.enters_cgroup(child, "/user.slice", hierarchy=hierarchy)
        assert history.get(child).container == Container(ID, "docker")
    version = history.enters_cgroup(child, "/user.slice", hierarchy=7)
    assert version is not None
    assert version.container is None
    assert history.get(shell).container == Container(ID, "docker")


def test_a_container_is_left_when_the_last_hierarchy_that_names_it_is() -> None:
    """As of an engine that uses version 1: it makes a cgroup in each."""
    history, _, shell = booted()
    for hierarchy in (7, 3, 0, 3):
        history.enters_cgroup(shell, f"/docker/{ID}", hierarchy=hierarchy)
    child = history.forks(shell)
    for hierarchy in (3, 0):
        history.enters_cgroup(child, "/", hierarchy=hierarchy)
        assert history.get(child).container == Container(ID, "docker")
    history.enters_cgroup(child, "/", hierarchy=7)
    assert history.get(child).container is None
    assert history.get(shell).container == Container(ID, "docker")
    history.enters_cgroup(child, f"/docker/{ANOTHER_ID}", hierarchy=3)
    assert history.get(child).container == Container(ANOTHER_ID, "docker")


def test_what_is_true_of_every_hierarchy_holds_until_one_says_otherwise() -> None:
    """As a repair tells it."""
    history, _, shell = booted()
    for hierarchy in (7, 3):
        history.enters_cgroup(shell, f"/docker/{ID}", hierarchy=hierarchy)
    history.enters_cgroup(shell, "/", every=True)
    assert history.get(shell).container is None
    history.enters_cgroup(shell, f"/docker/{ID}", hierarchy=3)
    assert history.get(shell).container == Container(ID, "docker")
    history.enters_cgroup(shell, "/", hierarchy=3)  # 7 does not name it any more
    assert history.get(shell).container is None


def test_hierarchies_without_end_are_not_all_remembered() -> None:
    history, _, shell = booted()
    for hierarchy in range(1000):
        history.enters_cgroup(shell, f"/docker/{ID}", hierarchy=hierarchy)
    for hierarchy in range(HIERARCHIES_MAX):
        assert history.get(shell).container == Container(ID, "docker")
        history.enters_cgroup(shell, "/", hierarchy=hierarchy)
    assert history.get(shell).container is None


def test_the_hierarchy_that_told_last_is_the_one_that_counts() -> None:
    history, _, shell = booted()
    history.enters_cgroup(shell, f"/docker/{ID}", hierarchy=7)
    history.enters_cgroup(shell, f"/docker/{ANOTHER_ID}", hierarchy=3)
    history.enters_cgroup(shell, "/", hierarchy=7)
    assert history.get(shell).container == Container(ANOTHER_ID, "docker")
    history.enters_cgroup(shell, "/", hierarchy=3)
    assert history.get(shell).container is None


def test_a_number_of_another_hierarchy_is_not_the_cgroups_number() -> None:
    history, _, shell = booted()
    history.enters_cgroup(shell, "/a", hierarchy=0, cgroup_id=44)
    history.enters_cgroup(shell, "/a", hierarchy=7, cgroup_id=17)
    history.enters_cgroup(shell, "/a", hierarchy=0)
    assert history.get(shell).cgroup_id == 44


def test_a_child_whose_birth_is_told_late_is_in_its_parents_container() -> None:
    history, _, shell = booted()
    history.enters_cgroup(shell, f"/docker/{ID}")
    child = history.forks(shell, tell=False)
    history.execs(child, "/bin/sh")
    assert history.get(child).container is None
    history.born(child, shell)
    assert history.get(child).container == Container(ID, "docker")


def test_each_change_is_another_state() -> None:
    history, _, shell = booted()
    seen = {history.get(shell).since_ns}
    for version in (
        history.renames(shell, "a"),
        history.changes_credentials(shell, 1),
        history.changes_session(shell),
        history.changes_namespaces(shell, 9),
        history.changes_directory(shell, "/a"),
        history.enters_cgroup(shell, "/a"),
    ):
        assert version is not None
        seen.add(version.since_ns)
    assert len(seen) == 7


def test_children_born_before_a_change_have_the_parent_as_it_was() -> None:
    history, _, shell = booted()
    before = history.forks(shell)
    history.changes_credentials(shell, 33)
    after = history.forks(shell)
    uids = [history.get(child).ancestors[0].credentials.uid for child in (before, after)]
    assert uids == [0, 33]
