"""Namespaces: which a process is in, after unshare and setns, and which its next child will be in."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from pipeline.events import Event, Exec, Exit, Fork, NamespaceChange
from pipeline.process import ProcessVersion
from tests.kernel.grown import Grown
from tests.kernel.not_here import needs
from tests.kernel.programs import forked, namespace
from tests.kernel.puppet import Puppet, credentials
from tests.kernel.tracer import Tracer

pytestmark = pytest.mark.kernel

FLAGS = {
    "time": 0x80,
    "mnt": 0x20000,
    "cgroup": 0x2000000,
    "uts": 0x4000000,
    "ipc": 0x8000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
CHANGES_ITSELF = ("mnt", "cgroup", "uts", "ipc", "net")


def _shown(pid: int) -> dict[str, int]:
    kinds = {kind: namespace(kind, pid) for kind in (*CHANGES_ITSELF, "user", "pid", "time")}
    return kinds | {"children_pid": namespace("pid_for_children", pid)}


def _told(event: Event) -> dict[str, int]:
    assert isinstance(event, NamespaceChange)
    task = event.task
    return {
        "mnt": task.namespaces.mnt,
        "cgroup": task.namespaces.cgroup,
        "uts": event.uts_ns,
        "ipc": event.ipc_ns,
        "net": task.namespaces.net,
        "user": task.credentials.user_ns,
        "pid": task.pid_ns,
        "time": event.time_ns_inode,
        "children_pid": event.children_pid_ns,
    }


@pytest.mark.parametrize("kind", CHANGES_ITSELF)
def test_a_namespace_of_its_own_and_the_way_back_are_told(tracer: Tracer, kind: str) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    before = _shown(puppet.pid)
    puppet.ask(f"(held := os.open('/proc/self/ns/{kind}', os.O_RDONLY)) and 0")
    grown.news(puppet.pid)

    assert puppet.ask(f"libc.unshare({FLAGS[kind]})") == 0
    (event,) = grown.news(puppet.pid)
    inside = _told(event)
    assert inside == _shown(puppet.pid)
    assert {name for name in before if before[name] != inside[name]} == {kind}
    spaces = grown.of(puppet.pid).namespaces
    assert (getattr(spaces, kind), spaces.children_pid) == (inside[kind], 0)
    child = puppet.ask("clone3()")
    assert grown.of(child).namespaces == spaces
    puppet.ask(f"end({child})")

    grown.news(puppet.pid)
    assert puppet.ask(f"libc.setns(held, {FLAGS[kind]})") == 0
    (event, *_) = grown.news(puppet.pid)
    assert _told(event) == before == _shown(puppet.pid)
    assert getattr(grown.of(puppet.pid).namespaces, kind) == before[kind]


def test_a_pid_namespace_is_the_next_childs_and_not_ones_own(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    grown.news(puppet.pid)
    assert puppet.ask(f"libc.unshare({FLAGS['pid']})") == 0
    (event,) = grown.news(puppet.pid)
    child = puppet.ask("clone3()")
    inode = namespace("pid", child)
    assert inode == namespace("pid_for_children", puppet.pid) != namespace("pid", puppet.pid)
    version = grown.of(child)
    assert (version.pid, version.ns_pid, version.pid_ns) == (child, 1, inode)
    told = _told(event)
    assert told["pid"] == namespace("pid", puppet.pid)
    assert told["children_pid"] in (0, inode)  # it is made with the call, or (before 6.x) with the first child
    puppet.ask(f"end({child})")


def test_whoever_joins_a_pid_namespace_has_children_with_two_numbers(tracer: Tracer) -> None:
    """As `docker exec` and nsenter do."""
    puppet, joining = Puppet(), Puppet()
    grown = Grown(tracer)
    init = puppet.ask(f"clone3({FLAGS['pid']})")
    joining.ask(f"(held := os.open('/proc/{init}/ns/pid', os.O_RDONLY)) and 0")
    grown.news(joining.pid)
    assert joining.ask(f"libc.setns(held, {FLAGS['pid']})") == 0
    event, _directory = grown.news(joining.pid)
    assert _told(event)["children_pid"] == namespace("pid", init)
    assert grown.of(joining.pid).namespaces.children_pid == namespace("pid", init)
    child = joining.ask("clone3()")
    version = grown.of(child)
    assert (version.ns_pid, version.pid_ns) == (2, namespace("pid", init))
    assert version.parent is not None
    assert (version.parent.pid, version.parent.pid_ns) == (joining.pid, namespace("pid"))
    joining.ask(f"end({child})")
    puppet.ask(f"end({init})")


def test_pid_namespaces_one_in_another_have_the_innermost_and_the_hosts_number(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    new = FLAGS["pid"]
    outer = puppet.ask(f"clone3({new}, work='clone3(), clone3({new})')")
    tracer.until(lambda: len(grown.children(outer)) == 2)
    middle, inner = (tracer.one(Fork, pid) for pid in grown.children(outer))
    assert (middle.task.ns_pid, middle.task.pid_ns) == (2, namespace("pid", outer))
    assert (inner.task.ns_pid, inner.task.pid_ns) == (1, namespace("pid", inner.task.pid))
    version = grown.of(inner.task.pid)
    assert [ancestor.pid for ancestor in version.ancestors[:3]] == [outer, puppet.pid, os.getpid()]
    assert [ancestor.ns_pid for ancestor in version.ancestors[:3]] == [1, puppet.pid, os.getpid()]
    puppet.ask(f"end({outer})")  # and with it all that is inside
    assert tracer.one(Exit, inner.task.pid).task.ns_pid in (0, 1)


def _known(version: ProcessVersion) -> dict[str, int]:
    """As ``_shown`` has it."""
    kinds = version.namespaces._asdict() | {"user": version.credentials.user_ns, "pid": version.pid_ns}
    return kinds | {"children_pid": version.namespaces.children_pid or version.pid_ns}


def _tells_all(grown: Grown, puppet: Puppet) -> None:
    """A system call that changes nothing has all its namespaces told."""
    assert puppet.ask("libc.unshare(0)") == 0
    assert _known(grown.of(puppet.pid)) == _shown(puppet.pid)
    grown.news(puppet.pid)


def _has_executed(tracer: Tracer, pid: int) -> Exec:
    """That program that sleeps; what else its exec tells may come right behind it."""
    tracer.until(lambda: [event for event in tracer.all(Exec, pid) if event.filename == "/bin/sleep"])
    (executed,) = [event for event in tracer.all(Exec, pid) if event.filename == "/bin/sleep"]
    return executed


@pytest.mark.parametrize("kinds", [*((kind,) for kind in FLAGS if kind != "user"), ("uts", "ipc", "pid")])
def test_a_child_that_is_born_in_namespaces_of_its_own_is_known_to_be(tracer: Tracer, kinds: tuple[str, ...]) -> None:
    needs("a time namespace", "time" not in kinds or Path("/proc/self/ns/time").exists())
    puppet = Puppet()
    grown = Grown(tracer)
    _tells_all(grown, puppet)
    child = puppet.ask(f"clone3({sum(FLAGS[kind] for kind in kinds)})")
    before, inside = _shown(puppet.pid), _shown(child)
    moved = {*kinds, "children_pid"} if "pid" in kinds else {*kinds}
    assert {kind for kind in before if before[kind] != inside[kind]} == moved
    assert _known(grown.of(child)) == inside
    assert [type(event) for event in grown.news(child)] == [Fork, NamespaceChange]
    assert _known(grown.of(puppet.pid)) == before
    puppet.ask(f"end({child})")


def test_a_child_that_is_born_where_its_parent_is_tells_its_birth_alone(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    _tells_all(grown, puppet)
    child = puppet.ask("clone3()")
    assert _known(grown.of(child)) == _shown(child) == _shown(puppet.pid)
    assert [type(event) for event in grown.news(child)] == [Fork]
    puppet.ask(f"end({child})")


def test_children_of_whoever_unshared_a_pid_namespace_bear_theirs_in_it(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    assert puppet.ask(f"libc.unshare({FLAGS['pid']})") == 0
    init = puppet.ask("clone3(work='clone3()')")
    tracer.until(lambda: grown.children(init))
    for pid in (init, *grown.children(init)):
        version = grown.of(pid)
        assert (version.pid_ns, version.namespaces.children_pid) == (namespace("pid", init), 0)
        assert namespace("pid_for_children", pid) == version.pid_ns
    puppet.ask(f"end({init})")


def _spawns_into_a_time_namespace() -> bool:
    def attempt() -> None:
        assert ctypes.CDLL(None).unshare(FLAGS["time"]) == 0
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
        os._exit(0)

    return os.waitpid(forked(attempt), 0)[1] == 0


@pytest.mark.parametrize("how", ["fork", "exec", "posix_spawn"])
def test_a_time_namespace_is_entered_by_the_next_child_or_exec(tracer: Tracer, how: str) -> None:
    """Which of them enters it, kernels do not agree about; a process is in that which its kernel shows."""
    needs("a time namespace", Path("/proc/self/ns/time").exists())
    if how == "posix_spawn":
        needs("a time namespace for whoever shares memory", _spawns_into_a_time_namespace())
    puppet = Puppet()
    grown = Grown(tracer)
    assert puppet.ask(f"libc.unshare({FLAGS['time']})") == 0
    if how == "fork":
        pid = puppet.ask("clone3()")
        assert _shown(pid)["time"] != namespace("time")
    elif how == "posix_spawn":
        pid = puppet.ask("os.posix_spawn('/bin/sleep', ['sleep', '600'], {})")
    else:
        pid = puppet.pid
        puppet.order("os.execv('/bin/sleep', ['sleep', '600'])")
    if how != "fork":
        _has_executed(tracer, pid)
    tracer.until(lambda: _known(grown.of(pid)) == _shown(pid))
    if pid != puppet.pid:
        puppet.ask(f"end({pid})")


@pytest.mark.parametrize("execs", [False, True])
def test_what_a_thread_went_into_its_children_and_its_exec_have(tracer: Tracer, execs: bool) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    _tells_all(grown, puppet)
    before = _shown(puppet.pid)
    tid = puppet.ask("start_thread()")
    assert puppet.ask(f"on_thread('libc.unshare({FLAGS['uts'] | FLAGS['ipc']})')") == 0
    inside = namespace("uts", f"{puppet.pid}/task/{tid}")
    if execs:
        pid = puppet.pid
        puppet.order("on_thread(\"os.execv('/bin/sleep', ['sleep', '600'])\")")
        assert _has_executed(tracer, pid).old_tid == tid
    else:
        pid = puppet.ask("on_thread('clone3()')")
        assert _known(grown.of(puppet.pid)) == before == _shown(puppet.pid)
    tracer.until(lambda: _known(grown.of(pid)) == _shown(pid))
    assert _shown(pid)["uts"] == inside != before["uts"]
    if not execs:
        puppet.ask(f"end({pid})")


def test_a_user_namespace_comes_with_all_capabilities_in_it(tracer: Tracer) -> None:
    puppet = Puppet()
    puppet.ask("libc.setresuid(1001, 1001, 1001)")
    grown = Grown(tracer)
    grown.news(puppet.pid)
    needs("a user namespace", not puppet.ask(f"failed(libc.unshare({FLAGS['user']}))"))
    (event,) = grown.news(puppet.pid)
    assert _told(event) == _shown(puppet.pid)
    assert event.task.credentials.cap_effective == event.task.credentials.cap_permitted != 0  # type: ignore[union-attr]
    assert grown.of(puppet.pid).credentials[:8] == credentials(puppet.pid)[:8]
    assert grown.of(puppet.pid).credentials[9:] == credentials(puppet.pid)[9:]
    child = puppet.ask("clone3()")
    assert grown.of(child).credentials.user_ns == namespace("user", puppet.pid) != namespace("user")
    puppet.ask(f"end({child})")


def test_a_time_namespace_is_the_next_childs(tracer: Tracer) -> None:
    needs("a time namespace", Path("/proc/self/ns/time").exists())
    puppet = Puppet()
    grown = Grown(tracer)
    grown.news(puppet.pid)
    assert puppet.ask(f"libc.unshare({FLAGS['time']})") == 0
    (event,) = grown.news(puppet.pid)
    assert _told(event)["time"] == namespace("time", puppet.pid) == namespace("time")


def test_what_fails_is_not_told(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    grown.news(puppet.pid)
    assert puppet.ask("failed(libc.setns(0, 0))") != 0
    assert puppet.ask("failed(libc.unshare(0x1))") != 0
    assert not grown.news(puppet.pid)


def test_with_anothers_mount_namespace_comes_its_directory(tracer: Tracer, tmp_path: Path) -> None:
    host, guest = Puppet(), Puppet()
    assert host.ask(f"libc.unshare({FLAGS['mnt']})") == 0
    guest.ask(f"os.chdir({str(tmp_path)!r}) or 0")
    guest.ask(f"(held := os.open('/proc/{host.pid}/ns/mnt', os.O_RDONLY)) and 0")
    grown = Grown(tracer)
    assert grown.of(guest.pid).working_directory == str(tmp_path)
    assert guest.ask(f"libc.setns(held, {FLAGS['mnt']})") == 0
    grown.news(guest.pid)
    assert grown.of(guest.pid).working_directory == os.readlink(f"/proc/{guest.pid}/cwd") == "/"


def test_a_thread_that_goes_its_own_way_leaves_its_process_where_it_is(tracer: Tracer) -> None:
    """Runtimes for containers do it: one thread enters a network namespace and comes back."""
    puppet = Puppet()
    grown = Grown(tracer)
    tid = puppet.ask("start_thread()")
    before = grown.of(puppet.pid).namespaces
    grown.news(puppet.pid)
    assert puppet.ask(f"on_thread('libc.unshare({FLAGS['net']})')") == 0
    (event,) = grown.news(puppet.pid)
    assert isinstance(event, NamespaceChange)
    assert event.task.tid == tid
    assert event.task.namespaces.net == os.stat(f"/proc/{puppet.pid}/task/{tid}/ns/net").st_ino != before.net
    assert grown.of(puppet.pid).namespaces == before
