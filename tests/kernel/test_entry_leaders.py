"""Who let a session in, for processes with the names of those who do, in the situations that the kernel makes.

The rules by themselves, and what no machine of the tests can have, are in tests/tree/test_leaders.py. An orphan comes
to pid 1 here: no subreaper may stand above the tests.
"""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.events import Event, Fork, SessionChange
from pipeline.process import ProcessVersion
from tests.kernel.actors import Troupe
from tests.kernel.grown import Grown, about
from tests.kernel.not_here import needs
from tests.kernel.programs import stat
from tests.kernel.puppet import Puppet
from tests.kernel.tracer import Tracer

pytestmark = pytest.mark.kernel

PTS_MAJOR = 136
NO_ENTRY = ("", None)
DAEMON = ("leave", "setsid")  # adopted by init, in a session of its own: as init starts its services, but by birth


@pytest.fixture(scope="module")
def troupe(tmp_path_factory: pytest.TempPathFactory) -> Troupe:
    return Troupe(tmp_path_factory.mktemp("troupe"))


@pytest.fixture
def terminal() -> Iterator[str]:
    ours, theirs = pty.openpty()
    yield f"tty:{os.ttyname(theirs)}"
    os.close(ours)
    os.close(theirs)


def _names(version: ProcessVersion) -> list[str]:
    """From the first of the chain that the test started down to the process."""
    names = [ancestor.image.name for ancestor in version.ancestors]
    ours = [ancestor.pid for ancestor in version.ancestors].index(os.getpid())
    return [*reversed(names[:ours]), version.image.name]


def _entry(version: ProcessVersion) -> tuple[str, str, int]:
    """Type, name and pid."""
    leader = version.entry_leader
    assert leader is not None
    assert leader.session.id == leader.pid
    return version.entry_type, leader.image.name, leader.pid


def _outer(grown: Grown) -> tuple[str, int | None]:
    """What the tests themselves were let in by, if their own session's leader still lives: what is no entry of its
    own inherits it."""
    return _inherited(grown.of(os.getpid()))


def _inherited(version: ProcessVersion) -> tuple[str, int | None]:
    return version.entry_type, version.entry_leader.pid if version.entry_leader else None


def test_a_service_adopted_by_init_is_an_entry_and_its_children_have_it_from_it(tracer: Tracer, troupe: Troupe) -> None:
    grown = Grown(tracer)
    child = grown.of(troupe.plays("start", *DAEMON, "=nginx", "fork", "=sh", "pause"))
    assert _names(child) == ["start", "nginx", "sh"]
    nginx = grown.of(child.ancestors[0].pid)
    assert nginx.reaper is not None
    assert nginx.reaper.pid == 1 == int(stat(nginx.pid)[1])
    assert _entry(child) == _entry(nginx) == ("init", "nginx", nginx.pid)


@pytest.mark.parametrize("nested", [1, 2, 3])
def test_a_login_over_ssh_is_an_entry_however_many_daemons_stand_before_it(
    tracer: Tracer, troupe: Troupe, terminal: str, nested: int
) -> None:
    grown = Grown(tracer)
    daemons = ["fork", "setsid", "=sshd"] * (nested - 1)
    login = ["fork", "setsid", terminal, "=bash", "fork", "=ls", "pause"]
    ls = grown.of(troupe.plays("start", *DAEMON, "=sshd", *daemons, *login))
    assert _names(ls) == ["start", *["sshd"] * nested, "bash", "ls"]
    bash = grown.of(ls.ancestors[0].pid)
    assert (bash.session.tty >> 20, bash.session.id) == (PTS_MAJOR, bash.pid)
    assert _entry(ls) == _entry(bash) == ("sshd", "bash", bash.pid)
    for ancestor in ls.ancestors[1 : 1 + nested]:
        assert _entry(grown.of(ancestor.pid)) == ("init", "sshd", ls.ancestors[nested].pid)


def test_init_sshd_bash_ls(tracer: Tracer, troupe: Troupe, terminal: str) -> None:
    """The newer daemon: three programs, and bash's terminal."""
    grown = Grown(tracer)
    chain = ("=sshd", "fork", "setsid", "=sshd-session", "fork", "setsid", terminal, "=bash", "fork", "=ls", "pause")
    ls = grown.of(troupe.plays("start", *DAEMON, *chain))
    assert _names(ls) == ["start", "sshd", "sshd-session", "bash", "ls"]
    assert _entry(ls) == ("sshd", "bash", ls.ancestors[0].pid)
    assert _entry(grown.of(ls.ancestors[1].pid)) == ("init", "sshd", ls.ancestors[2].pid)
    assert [ls.session_leader, ls.group_leader] == [ls.entry_leader, ls.entry_leader]


def test_setsid_in_between_keeps_the_entry(tracer: Tracer, troupe: Troupe, terminal: str) -> None:
    grown = Grown(tracer)
    login = ("fork", "setsid", terminal, "=bash", "fork", "setsid", "=tmux", "fork", "=vi", "pause")
    editor = grown.of(troupe.plays("start", *DAEMON, "=sshd", *login))
    tmux, bash = (grown.of(ancestor.pid) for ancestor in editor.ancestors[:2])
    assert tmux.session.id == tmux.pid == editor.session.id
    assert (tmux.session.tty, bash.session.tty >> 20) == (0, PTS_MAJOR)
    assert _entry(editor) == _entry(tmux) == ("sshd", "bash", bash.pid)


def test_a_session_manager_on_a_pseudo_terminal(tracer: Tracer, troupe: Troupe, terminal: str) -> None:
    grown = Grown(tracer)
    agent = (*DAEMON, "=amazon-ssm-agent", "fork", "=ssm-session-worker")
    shell = grown.of(troupe.plays("start", *agent, "fork", "setsid", terminal, "=sh", "pause"))
    assert _names(shell)[1:] == ["amazon-ssm-agent", "ssm-session-worker", "sh"]
    assert _entry(shell) == ("ssm", "sh", shell.pid)


@pytest.mark.parametrize("runtime", ["containerd-shim-runc-v2", "runc", "conmon"])
def test_a_child_of_a_container_runtime(tracer: Tracer, troupe: Troupe, runtime: str) -> None:
    grown = Grown(tracer)
    inside = grown.of(troupe.plays("start", *DAEMON, f"={runtime}", "fork", "setsid", "=nginx", "pause"))
    assert _entry(inside) == ("container", "nginx", inside.pid)
    assert _entry(grown.of(inside.ancestors[0].pid)) == ("init", runtime, inside.ancestors[0].pid)


@pytest.mark.parametrize("entrypoint", ["bash", "pause"])
def test_a_shim_that_init_has_adopted_and_what_it_starts(tracer: Tracer, troupe: Troupe, entrypoint: str) -> None:
    """containerd starts a shim that starts the shim; that one's runc makes the container and ends."""
    grown = Grown(tracer)
    shim = ("=containerd-shim", "leave", "setsid", "=containerd-shim", "fork", "=runc")
    inside = grown.of(
        troupe.plays("start", *DAEMON, "=containerd", "fork", *shim, "fork", "setsid", f"={entrypoint}", "pause")
    )
    runc, held, starter, containerd, *_ = (grown.of(ancestor.pid) for ancestor in inside.ancestors)
    assert _names(inside) == ["start", "containerd", "containerd-shim", "containerd-shim", "runc", entrypoint]
    assert starter.end_ns is not None
    assert held.reaper is not None
    assert held.reaper.pid == 1
    assert _entry(held) == ("init", "containerd-shim", held.pid)
    assert _entry(containerd) == ("init", "containerd", containerd.pid)
    assert _entry(inside) == ("container", entrypoint, inside.pid)
    assert runc.session.id == held.pid


def _gives(path: str, major: int, minor: int) -> bool:
    """Whether this machine has that terminal, and nobody's session has it."""
    try:
        if os.stat(path).st_rdev != os.makedev(major, minor):
            return False
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return False
    os.close(descriptor)
    taken = {int(path.read_text().rpartition(")")[2].split()[4]) for path in Path("/proc").glob("[0-9]*/stat")}
    return os.makedev(major, minor) not in taken


def test_a_login_on_a_console(tracer: Tracer, troupe: Troupe) -> None:
    needs("a console", _gives("/dev/tty9", 4, 9))
    grown = Grown(tracer)
    shell = grown.of(troupe.plays("start", "fork", "setsid", "tty:/dev/tty9", "=login", "fork", "=bash", "pause"))
    login = grown.of(shell.ancestors[0].pid)
    assert login.session.tty == 4 << 20 | 9
    assert _entry(shell) == _entry(login) == ("console", "login", login.pid)


def test_a_serial_terminal(tracer: Tracer, troupe: Troupe) -> None:
    needs("a serial terminal", _gives("/dev/ttyS1", 4, 65))
    grown = Grown(tracer)
    shell = grown.of(troupe.plays("start", "fork", "setsid", "tty:/dev/ttyS1", "=bash", "fork", "=ls", "pause"))
    bash = grown.of(shell.ancestors[0].pid)
    assert bash.session.tty == 4 << 20 | 65
    assert _entry(shell) == _entry(bash) == ("terminal", "bash", bash.pid)


def test_a_shell_on_a_pseudo_terminal_is_what_it_was_started_by(tracer: Tracer, troupe: Troupe, terminal: str) -> None:
    grown = Grown(tracer)
    shell = grown.of(troupe.plays("start", "fork", "setsid", terminal, "=bash", "pause"))
    assert shell.interactive
    entry = _outer(grown)
    assert _inherited(shell) == (entry if entry != NO_ENTRY else ("unknown", shell.pid))


def test_kernel_threads_kthreadd_and_pid_1_have_none(tracer: Tracer) -> None:
    grown = Grown(tracer)
    threads = [version for version in grown.tree.alive() if version.kernel_thread]
    assert 2 in {version.pid for version in threads}
    for version in (grown.of(1), *threads):
        assert _inherited(version) == NO_ENTRY


class _Forgetful(Grown):
    """A tree that is not told of some processes, as after a loss."""

    unheard: frozenset[int] = frozenset()

    def _take(self, event: Event) -> None:
        if about(event)[0] not in self.unheard:
            super()._take(event)


def _chain(tracer: Tracer, pid: int) -> list[int]:
    """The process, its birth parent, and so on up to one that was there before."""
    births = {event.task.pid: event.birth_pid for event in tracer.events if isinstance(event, Fork)}
    chain = [pid]
    while chain[-1] in births:
        chain.append(births[chain[-1]])
    return chain


def test_an_entry_is_had_from_the_session_leader_where_the_snapshot_shows_an_orphan(
    tracer: Tracer, troupe: Troupe
) -> None:
    pid = troupe.plays("start", *DAEMON, "=cron", "stay", "leave", "=job", "pause")
    job = Grown(tracer).of(pid)
    assert [ancestor.pid for ancestor in job.ancestors] == [1]
    assert "snapshot" in job.doubt
    assert _entry(job) == ("init", "cron", job.session.id)


def test_an_entry_is_had_from_the_group_leader_where_nothing_else_is_known(tracer: Tracer, troupe: Troupe) -> None:
    """The session's leader has ended, and nobody heard of the parent."""
    grown = _Forgetful(tracer)
    group = ("outlive", "setpgid", "=lead", "fork", "=middle")
    pid = troupe.plays("start", *DAEMON, "=service", "fork", "setsid", "=cron", *group, "fork", "=job", "pause")
    tracer.drain()
    _, middle, lead, cron, service, *_ = _chain(tracer, pid)
    grown.unheard = frozenset([middle])
    job = grown.of(pid)
    assert (job.session.id, job.session_leader, job.session.group_id) == (cron, None, lead)
    assert job.doubt == ("unknown_parent",)
    assert _entry(job) == ("init", "service", service)


def test_isolated_it_has_none(tracer: Tracer, troupe: Troupe) -> None:
    grown = _Forgetful(tracer)
    pid = troupe.plays("start", *DAEMON, "=cron", "fork", "setpgid", "=lead", "fork", "=job", "pause")
    tracer.drain()
    grown.unheard = frozenset(_chain(tracer, pid)[1:-1])
    job = grown.of(pid)
    assert (job.entry_type, job.entry_leader, job.session_leader, job.group_leader) == ("", None, None, None)
    assert (job.doubt, job.complete, job.ancestors) == (("unknown_parent",), False, ())


def test_a_session_leader_of_whom_nothing_else_is_known_is_its_own_unknown_entry(
    tracer: Tracer, troupe: Troupe
) -> None:
    grown = _Forgetful(tracer)
    pid = troupe.plays("start", *DAEMON, "=cron", "fork", "setsid", "=tmux", "fork", "=vi", "pause")
    tracer.drain()
    editor, tmux, *unheard, _ = _chain(tracer, pid)
    grown.unheard = frozenset(unheard)
    assert _entry(grown.of(editor)) == _entry(grown.of(tmux)) == ("unknown", "tmux", tmux)


@pytest.mark.parametrize("session", ["same", "new"])
def test_a_pid_used_again_has_nothing_of_the_one_before(tracer: Tracer, session: str) -> None:
    """The first leads a session (or not), the second is born at once with its number."""
    puppet = Puppet()
    grown = Grown(tracer)
    first = puppet.ask("clone3(work='os.setsid()')" if session == "new" else "clone3()")
    member = puppet.ask("clone3()")
    if session == "new":
        tracer.until(lambda: tracer.all(SessionChange, first))
    before = grown.of(first)
    assert before.session.id == (first if session == "new" else grown.of(puppet.pid).session.id)
    puppet.ask(f"end({first})")
    assert puppet.ask(f"clone3(tids=[{first}])") == first
    after = grown.of(first)
    assert after.entity_id != before.entity_id
    assert after.start_ns > before.start_ns
    assert after.session.id == grown.of(puppet.pid).session.id
    assert [ancestor.pid for ancestor in after.ancestors] == [ancestor.pid for ancestor in before.ancestors]
    assert _inherited(after) == _inherited(grown.of(member)) == _outer(grown)
    ended = grown.tree.get(first, before.start_ns)
    assert ended is not None
    assert (ended.entity_id, ended.exit_status) == (before.entity_id, 9)
    puppet.ask_all(f"end({first}), end({member})")
