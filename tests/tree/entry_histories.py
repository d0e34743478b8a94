"""Small histories in which processes come in, each in its own way; what is told of them may come in any order."""

from __future__ import annotations

from pipeline.events import File, Script
from tests.tree.history import Who
from tests.tree.world import World

PTS, CONSOLE, SERIAL = 136 << 20, 4 << 20 | 1, 4 << 20 | 64


def _leads_a_session(world: World, who: Who, tty: int = 0) -> None:
    who.session = who.group = who.key
    who.tty = tty
    world.changes_session(who)


def a_login() -> World:
    """It is an entry by its terminal and name; a child of it has that, and its parent had none of its own."""
    world = World()
    a = world.forks(world.shell)
    _leads_a_session(world, a, CONSOLE)
    world.execs(a, "/bin/login")
    world.renames(a, "session")
    b = world.forks(a)
    world.execs(b, "/bin/bash")
    return world


def entries_by_what_the_parent_is() -> World:
    """At the birth, or when it is judged; which is between two images of it, both told in their own order."""
    world = World()
    a = world.forks(world.shell)
    b = world.forks(a)
    world.execs(a, "/usr/sbin/sshd")
    _leads_a_session(world, b)
    world.execs(a, "/bin/other")
    world.execs(b, "/bin/b")
    return world


def an_orphan() -> World:
    """Nobody ever tells of its parent: it has what its group's leader had at its birth."""
    world = World()
    a = world.forks(world.shell)
    b = world.forks(Who(4000, 40, session=(4001, 0), group=a.key))
    _leads_a_session(world, a, SERIAL)
    world.execs(b, "/bin/b")
    _leads_a_session(world, b)
    return world


def kernel_threads() -> World:
    """Named anew, and one executes."""
    world = World()
    a = world.forks(world.shell, kernel_thread=True, comm="kworker/0:1")
    world.renames(a, "kworker/0:2")
    b = world.forks(a, kernel_thread=True)
    world.renames(a, "kworker/0:3")
    world.execs(b, "/sbin/modprobe", "modprobe", "loop", sockets=1)
    world.forks(b)
    return world


def entries() -> World:
    """A daemon, two of its kind below it, a shell on a terminal, a session of that; what was born between."""
    world = World()
    sshd = world.forks(world.init)
    early = world.forks(sshd)
    _leads_a_session(world, sshd)
    world.execs(sshd, "/usr/sbin/sshd")
    inner = world.forks(sshd)
    _leads_a_session(world, inner)
    world.execs(inner, "/usr/sbin/sshd-session")
    bash = world.forks(inner)
    _leads_a_session(world, bash, PTS)
    world.execs(bash, "/bin/bash")
    tmux = world.forks(bash)
    _leads_a_session(world, tmux)
    world.execs(early, "/bin/early")
    world.exits(sshd)
    world.execs(bash, "/bin/zsh")
    world.execs(tmux, "/bin/tmux")
    return world


def entries_of_containers() -> World:
    """The shim's starter has ended, and so has what the shim started."""
    world = World()
    starter = world.forks(world.shell)
    world.execs(starter, "/usr/bin/containerd-shim-runc-v2")
    shim = world.forks(starter)
    world.exits(starter)
    _leads_a_session(world, shim)
    world.execs(shim, "/usr/bin/containerd-shim-runc-v2")
    runc = world.forks(shim)
    world.execs(runc, "/usr/bin/runc")
    inner = world.forks(runc, ns_pid=1, pid_ns=777)
    world.exits(runc, reaper=shim)
    _leads_a_session(world, inner)
    world.execs(inner, "/bin/sh")
    world.forks(inner, ns_pid=2)
    return world


def entries_by_terminal() -> World:
    world = World()
    a = world.forks(world.shell)
    worker = world.forks(a)
    world.execs(worker, "/usr/bin/ssm-session-worker")
    b = world.forks(worker)
    _leads_a_session(world, b, PTS)
    world.execs(b, "/bin/b")
    world.execs(worker, "/bin/no-more")
    _leads_a_session(world, a, SERIAL)
    world.forks(a)
    c = world.forks(b)
    _leads_a_session(world, c, CONSOLE)
    world.execs(c, "/bin/login")
    world.execs(c, "/bin/c")
    return world


def entries_of_leaders() -> World:
    """Of whose parent there is none to have: by the session, by the group, and by nobody."""
    world = World()
    daemon = world.forks(world.init)
    _leads_a_session(world, daemon)
    kernel = world.forks(daemon, kernel_thread=True)
    a = world.forks(kernel, kernel_thread=True)
    kernel.session = (3999, 0)  # whose leader is gone
    world.changes_session(kernel)
    b = world.forks(kernel, kernel_thread=True)
    world.execs(a, "/sbin/a")
    world.execs(b, "/sbin/b")
    _leads_a_session(world, a)
    world.forks(a)
    _leads_a_session(world, b, SERIAL)
    world.execs(daemon, "/bin/daemon")
    c = world.forks(kernel)
    world.exits(daemon)
    world.execs(c, "/bin/c")
    return world


def entries_of_others() -> World:
    """By who has adopted it and is no ancestor; by the group's leader, as that was; and by who bore a kernel thread."""
    world = World()
    shim = world.forks(world.shell)
    starter = world.forks(world.shell)
    orphan = world.forks(starter)
    member = world.forks(world.init)
    kernel = world.forks(shim, kernel_thread=True)
    world.execs(shim, "/usr/bin/containerd-shim")
    world.exits(starter, reaper=shim)
    _leads_a_session(world, orphan)
    world.execs(orphan, "/bin/orphan")
    member.group = shim.key
    world.changes_session(member)
    world.execs(member, "/bin/member")
    _leads_a_session(world, shim, SERIAL)
    world.execs(shim, "/bin/no-more")
    world.execs(kernel, "/sbin/kernel")
    world.execs(member, "/bin/again")
    return world


def files() -> World:
    """What an exec opens and finds, and what its children have of it."""
    world = World()
    script = Script("/srv/run.py", "/usr/bin/python3", File(5, 6, links=1))
    a = world.forks(world.shell)
    world.execs(a, "/srv/run.py", "/srv/run.py", executable="/usr/bin/python3", script=script, sockets=3)
    b = world.forks(a, ns_pid=1, pid_ns=777)
    world.execs(a, "/bin/a", file=File(9, 9, 0o4755, 1, 5, 6, ("setuid",)), environment=("LANG=C",))
    world.enters_cgroup(b, "/one", cgroup_id=1)
    c = world.forks(a)
    world.enters_cgroup(a, "/two", cgroup_id=2)
    world.execs(c, "/bin/c", sockets=1)
    world.enters_cgroup(a, "/three", cgroup_id=3)
    world.renames(a, "other")
    world.forks(b)
    world.exits(a)
    return world


SMALL = (a_login, entries_by_what_the_parent_is, an_orphan, kernel_threads)
LONG = (
    entries,
    entries_of_containers,
    entries_by_terminal,
    entries_of_leaders,
    entries_of_others,
    files,
)
