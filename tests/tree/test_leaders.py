"""Leaders of groups and sessions, and who let the session in."""

from __future__ import annotations

import pytest

from pipeline.tree import ProcessKey
from pipeline.tree.changes.leaders import Situation, entry_type
from tests.tree.history import History, Who, booted

PTS = 136 << 20
SERIAL = 4 << 20 | 64
CONSOLE = 4 << 20 | 1


@pytest.mark.parametrize(
    ("name", "tty", "parent_pid", "parents", "expected"),
    [
        ("bash", SERIAL, 1, ("systemd",), "terminal"),
        ("bash", 4 << 20 | 255, 500, ("x",), "terminal"),
        ("bash", 4 << 20 | 256, 500, ("x",), None),
        ("login", CONSOLE, 1, ("systemd",), "console"),
        ("login", 4 << 20 | 63, 500, ("getty",), "console"),
        ("login", 4 << 20 | 64, 500, ("getty",), "terminal"),
        ("bash", CONSOLE, 500, ("login",), None),
        ("nginx", 0, 1, ("systemd",), "init"),
        ("sshd", 0, 1, ("systemd",), "init"),
        ("containerd-shim-runc-v2", 0, 1, ("containerd-shim-runc-v2", "systemd"), "init"),
        ("bash", PTS, 500, ("ssm-session-worker",), "ssm"),
        ("bash", 143 << 20, 500, ("ssm-session-worker",), "ssm"),
        ("bash", 144 << 20, 500, ("ssm-session-worker",), None),
        ("bash", 0, 500, ("ssm-session-worker",), None),
        ("bash", PTS, 500, ("sshd",), "sshd"),
        ("bash", PTS, 500, ("sshd-session",), "sshd"),
        ("rsync", 0, 500, ("sshd-session",), "sshd"),
        ("sshd", 0, 500, ("sshd",), None),
        ("sshd-session", 0, 500, ("sshd",), None),
        ("sshd-auth", 0, 500, ("sshd-session",), None),
        ("bash", 0, 500, ("containerd-shim",), "container"),
        ("pause", 0, 500, ("containerd-shim-runc-v2",), "container"),
        ("bash", 0, 500, ("runc", "containerd-shim-runc-v2"), "container"),
        ("sh", 0, 500, ("crun", "conmon"), "container"),
        ("runc", 0, 500, ("containerd-shim-runc-v2",), None),
        ("conmon", 0, 500, ("runc",), None),
        ("bash", PTS, 500, ("bash",), None),
        ("bash", PTS, 500, (), None),
    ],
)
def test_the_rules_in_their_order(
    name: str, tty: int, parent_pid: int, parents: tuple[str, ...], expected: str | None
) -> None:
    assert entry_type(Situation(name, tty, parent_pid, parents)) == expected


def _session(history: History, birth: Who, filename: str, tty: int | None = None) -> Who:
    """Forks, becomes a session leader, executes."""
    child = history.forks(birth)
    child.session = child.group = child.key
    if tty is not None:
        child.tty = tty
    history.execs(child, filename)
    return child


def _entry(history: History, who: Who) -> tuple[str, int | None]:
    version = history.get(who)
    return version.entry_type, version.entry_leader.pid if version.entry_leader else None


def _machine() -> tuple[History, Who]:
    history = History()
    init = history.runs("/usr/lib/systemd/systemd", pid=1, args=("/sbin/init",), session=(1, 10), group=(1, 10))
    history.snapshot_ends()
    return history, init


def test_a_service_of_init_is_an_entry_and_its_children_have_it_from_it() -> None:
    history, init = _machine()
    nginx = _session(history, init, "/usr/sbin/nginx")
    worker = history.forks(nginx)
    history.execs(worker, "/bin/sh")
    assert _entry(history, nginx) == ("init", nginx.pid)
    assert _entry(history, worker) == ("init", nginx.pid)


@pytest.mark.parametrize("nested", [1, 2, 3])
def test_a_login_over_ssh_is_an_entry_however_many_daemons_stand_before_it(nested: int) -> None:
    history, init = _machine()
    sshd = _session(history, init, "/usr/sbin/sshd")
    inner = sshd
    for _ in range(nested - 1):
        inner = _session(history, inner, "/usr/sbin/sshd")
        assert _entry(history, inner) == ("init", sshd.pid)
    bash = _session(history, inner, "/usr/bin/bash", tty=PTS)
    ls = history.forks(bash)
    history.execs(ls, "/usr/bin/ls")
    assert _entry(history, sshd) == ("init", sshd.pid)
    assert _entry(history, bash) == ("sshd", bash.pid)
    assert _entry(history, ls) == ("sshd", bash.pid)


def test_newer_ssh_daemons_are_three_programs_and_one_way_in() -> None:
    history, init = _machine()
    sshd = _session(history, init, "/usr/sbin/sshd")
    session = _session(history, sshd, "/usr/lib/openssh/sshd-session")
    bash = _session(history, session, "/usr/bin/bash", tty=PTS)
    assert _entry(history, session) == ("init", sshd.pid)
    assert _entry(history, bash) == ("sshd", bash.pid)


def test_a_console_login_and_what_comes_of_it() -> None:
    history, init = _machine()
    login = _session(history, init, "/bin/login", tty=CONSOLE)
    bash = history.forks(login)
    history.execs(bash, "/usr/bin/bash")
    assert _entry(history, bash) == ("console", login.pid)


def test_a_serial_terminal() -> None:
    history, init = _machine()
    bash = _session(history, init, "/usr/bin/bash", tty=SERIAL)
    assert _entry(history, bash) == ("terminal", bash.pid)


def test_a_session_manager_on_a_pts() -> None:
    history, init = _machine()
    worker = history.forks(init)
    history.execs(worker, "/usr/bin/ssm-session-worker")
    bash = _session(history, worker, "/usr/bin/bash", tty=PTS)
    assert _entry(history, bash) == ("ssm", bash.pid)


def test_a_container_whose_runtime_has_gone_and_whose_shim_init_has_adopted() -> None:
    history, init = _machine()
    containerd = _session(history, init, "/usr/bin/containerd")
    starter = history.forks(containerd)
    history.execs(starter, "/usr/bin/containerd-shim-runc-v2")
    shim = history.forks(starter)
    history.exits(starter)
    shim.parent, shim.session = init, shim.key
    history.execs(shim, "/usr/bin/containerd-shim-runc-v2")
    runc = history.forks(shim)
    history.execs(runc, "/usr/bin/runc")
    inner = history.forks(runc)
    history.exits(runc)
    inner.parent, inner.session = shim, inner.key
    history.execs(inner, "/usr/bin/bash", ns_pid=1)
    pause = _session(history, shim, "/pause")
    assert _entry(history, shim) == ("init", shim.pid)
    assert _entry(history, inner) == ("container", inner.pid)
    assert _entry(history, pause) == ("container", pause.pid)


def test_kernel_threads_kthreadd_and_pid_1_have_no_entry() -> None:
    history = History()
    init = history.runs("/sbin/init", pid=1, session=(1, 10))
    kthreadd = history.runs("kthreadd", pid=2, kernel_thread=True)
    worker = history.runs("kworker/0:1", kthreadd, pid=3, kernel_thread=True)
    history.snapshot_ends()
    for who in (init, kthreadd, worker, history.forks(kthreadd, kernel_thread=True)):
        assert _entry(history, who) == ("", None)


def test_a_session_leader_of_whom_nothing_is_known_is_its_own_unknown_entry() -> None:
    history, _ = _machine()
    ghost = Who(4000, 40)
    alone = _session(history, ghost, "/usr/bin/tmux")
    child = history.forks(alone)
    assert _entry(history, alone) == ("unknown", alone.pid)
    assert _entry(history, child) == ("unknown", alone.pid)


def test_an_entry_is_had_from_the_session_leader_where_the_parent_is_not_known() -> None:
    history, init = _machine()
    service = _session(history, init, "/usr/sbin/cron")
    orphan = history.forks(Who(4000, 40, session=service.key))
    assert _entry(history, orphan) == ("init", service.pid)


def test_an_entry_is_had_from_the_group_leader_where_nothing_else_is_known() -> None:
    history, init = _machine()
    service = _session(history, init, "/usr/sbin/cron")
    orphan = history.forks(Who(4000, 40, session=(3999, 0), group=service.key))
    assert _entry(history, orphan) == ("init", service.pid)


def test_a_process_without_session_parent_and_group_has_no_entry() -> None:
    history, _ = _machine()
    assert _entry(history, history.forks(Who(4000, 40))) == ("", None)


def test_setsid_below_a_shell_keeps_the_entry() -> None:
    history, init = _machine()
    sshd = _session(history, init, "/usr/sbin/sshd")
    bash = _session(history, sshd, "/usr/bin/bash", tty=PTS)
    detached = _session(history, bash, "/usr/bin/tmux", tty=0)
    assert _entry(history, detached) == ("sshd", bash.pid)


def test_setsid_without_exec_is_learnt_from_the_next_child() -> None:
    history, init = _machine()
    service = _session(history, init, "/usr/sbin/cron")
    job = history.forks(service)
    job.session = job.group = job.key
    child = history.forks(job)
    version = history.get(child)
    assert version.session_leader is not None
    assert (version.session_leader.pid, version.session_leader.session.id) == (job.pid, job.pid)
    assert _entry(history, child) == ("init", service.pid)


@pytest.mark.parametrize("ends", [True, False])
def test_a_daemon_that_never_executes_is_an_entry_as_soon_as_it_is_seen_below_init(ends: bool) -> None:
    history, init = _machine()
    script = _session(history, init, "/etc/init.d/daemon")
    daemon = history.forks(script)
    history.execs(daemon, "/usr/sbin/daemon")
    assert _entry(history, daemon) == ("init", script.pid)
    history.exits(script)
    daemon.parent, daemon.session, daemon.group = init, daemon.key, daemon.key
    if ends:
        history.exits(daemon)
        assert _entry(history, daemon) == ("init", daemon.pid)
    else:
        child = history.forks(daemon)  # it tells of the session, not of who adopted its parent
        assert _entry(history, child) == ("init", script.pid)
        history.execs(daemon, "/usr/sbin/daemon")
        assert _entry(history, history.forks(daemon)) == ("init", daemon.pid)


def test_a_session_leader_of_whom_nobody_heard_is_an_entry_when_its_child_tells() -> None:
    history, _ = _machine()
    stray = history.forks(Who(4000, 40))
    assert _entry(history, stray) == ("", None)
    stray.session = stray.group = stray.key
    child = history.forks(stray)
    assert _entry(history, child) == ("unknown", stray.pid)


def test_an_entry_leader_is_seen_with_the_image_it_has_now() -> None:
    history, init = _machine()
    service = _session(history, init, "/usr/sbin/cron")
    child = history.forks(service)
    history.execs(service, "/usr/sbin/anacron")
    leader = history.get(child).entry_leader
    assert leader is not None
    assert leader.image.name == "anacron"


def test_a_session_keeps_its_entry_when_the_pid_of_a_dead_leader_is_used_again() -> None:
    history, init = _machine()
    sshd = _session(history, init, "/usr/sbin/sshd")
    bash = _session(history, sshd, "/usr/bin/bash")
    child = history.forks(bash)
    history.exits(bash)
    again = history.forks(init, pid=bash.pid)
    assert _entry(history, child) == ("sshd", bash.pid)
    leader = history.get(child).entry_leader
    assert leader is not None
    assert leader.start_ns == bash.start_ns != again.start_ns


def test_the_snapshot_finds_entries_whatever_the_order() -> None:
    history = History()
    init = Who(1, 10)
    sshd = Who(20, 200, init, session=(20, 200))
    bash = Who(30, 300, sshd, session=(30, 300))
    lost = Who(40, 400, init, session=(30, 300))
    for who, path in ((lost, "/bin/sleep"), (bash, "/bin/bash"), (sshd, "/usr/sbin/sshd"), (init, "/sbin/init")):
        history.runs(path, who.parent, pid=who.pid, session=who.session)
    history.snapshot_ends()
    assert _entry(history, sshd) == ("init", 20)
    assert _entry(history, bash) == ("sshd", 30)
    assert _entry(history, lost) == ("sshd", 30)  # adopted by init, still of that session


def test_a_snapshots_members_find_an_unknown_leader_told_after_them() -> None:
    history = History()
    init = history.runs("/sbin/init", pid=1)
    member = history.runs("/bin/member", init, pid=30, session=(40, 400))
    history.runs("/bin/leader", Who(4000, 40), pid=40, session=(40, 400))
    history.snapshot_ends()
    assert _entry(history, member) == ("unknown", 40)


def test_a_leader_leads_itself() -> None:
    history, _, shell = booted()
    version = history.get(shell)
    assert version.group_leader is not None
    assert version.session_leader is not None
    assert version.group_leader.pid == version.session_leader.pid == version.pid


def test_leaders_are_found_as_they_are_now() -> None:
    history, _, shell = booted()
    leader = history.forks(shell)
    leader.group = leader.key
    history.execs(leader, "/usr/bin/grep")
    member = history.forks(leader)
    version = history.get(member)
    assert version.group_leader is not None
    assert version.session_leader is not None
    assert (version.group_leader.image.name, version.session_leader.image.name) == ("grep", "bash")


def test_a_leader_that_is_gone_is_none() -> None:
    history, _, shell = booted()
    version = history.get(history.forks(shell, session=(4444, 0), group=(5555, 0)))
    assert (version.session_leader, version.group_leader, version.session.id) == (None, None, 4444)


def test_who_lost_its_parent_is_judged_below_the_one_that_adopted_it_though_its_record_names_another() -> None:
    history, init = _machine()
    starter = history.forks(_session(history, init, "/usr/sbin/cron"))
    job = history.forks(starter)
    history.exits(starter, reaper=init)
    job.session = job.group = job.key
    history.execs(job, "/usr/bin/job")  # made between the end and the adoption
    assert job.parent is starter
    assert _entry(history, job) == ("init", job.pid)


def test_a_session_leader_has_what_it_was_born_with_also_when_its_parent_is_forgotten() -> None:
    history = History(processes_max=5)
    init = history.runs("/usr/lib/systemd/systemd", pid=1, args=("/sbin/init",), session=(1, 10), group=(1, 10))
    history.snapshot_ends()
    bash = _session(history, _session(history, init, "/usr/sbin/sshd"), "/usr/bin/bash", tty=PTS)
    middle = history.forks(bash)
    tmux = history.forks(middle)
    history.exits(middle, reaper=bash)
    history.exits(tmux)
    for _ in range(3):
        assert history.tree.get(*tmux.key) is not None
        history.exits(history.forks(bash))
    assert history.tree.get(*middle.key) is None
    tmux.parent, tmux.session, tmux.group = bash, tmux.key, tmux.key
    history.execs(tmux, "/usr/bin/tmux", at=tmux.start_ns + 1)  # it comes late
    assert _entry(history, tmux) == ("sshd", bash.pid)


def test_an_entry_of_the_past_is_the_one_that_held_then() -> None:
    history, init = _machine()
    service = _session(history, init, "/usr/sbin/cron")
    child = history.forks(service)
    before_ns = history.now_ns
    child.session = child.group = child.key
    child.tty = CONSOLE
    history.execs(child, "/bin/login")
    then = history.tree.process(ProcessKey(history.get(child).entity_id, before_ns)).process
    assert then.entry_leader is not None
    assert (then.entry_type, then.entry_leader.pid) == ("init", service.pid)
    assert _entry(history, child) == ("console", child.pid)


def test_a_kernel_thread_is_one_until_it_executes_also_when_that_is_told_late() -> None:
    history, init = _machine()
    helper = history.forks(init, kernel_thread=True, comm="kworker/u8:0")
    born_ns = history.now_ns
    history.renames(helper, "kworker/u8:1")
    renamed_ns = history.now_ns
    history.execs(helper, "/sbin/modprobe", "modprobe", "loop", at=renamed_ns - 1)
    now = history.get(helper)
    assert (now.image.name, now.thread_name, now.kernel_thread) == ("modprobe", "kworker/u8:1", False)
    then = history.tree.process(ProcessKey(now.entity_id, born_ns)).process
    assert (then.image.name, then.kernel_thread) == ("kworker/u8:0", True)
