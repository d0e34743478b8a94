"""Filters in the kernel: detail is gone, the births, execs and ends that ancestry needs are not."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.containers import Container
from pipeline.counters import Counters
from pipeline.events import (
    Cgroup,
    CredentialChange,
    DirectoryChange,
    Event,
    Exec,
    Exit,
    Fork,
    Rename,
    SessionChange,
    Stamp,
    ThreadStart,
)
from pipeline.sources.decode import decode
from pipeline.sources.ebpf.details import Details
from tests.kernel.grown import Grown
from tests.kernel.hierarchies import made, mounted, put
from tests.kernel.programs import end_all, namespace
from tests.kernel.puppet import Puppet
from tests.kernel.tracer import Tracer

pytestmark = pytest.mark.kernel

UID = 1001
NEWUTS, NEWIPC, NEWPID = 0x4000000, 0x8000000, 0x20000000
ID = "5" * 64
RING_BYTES = 1 << 20


@pytest.fixture(scope="module")
def cgroup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cgroup of the unified hierarchy that the filter names, with one below it."""
    target = tmp_path_factory.mktemp("filters") / "unified"
    with mounted(target, 2), made(target / f"lineage-filtered-{os.getpid()}") as top:
        (top / "below").mkdir()
        yield top


@pytest.fixture(scope="module")
def _several(cgroup: Path) -> Iterator[Tracer]:
    """All filters but the one by container, which are told apart by whom they are about."""
    config = Config(
        state_directory=Path("/nowhere"),
        drop_uids=[UID, 0xFFFFFFF0],
        drop_cgroups=[Path("/") / cgroup.name],
        drop_kernel_threads=True,
        drop_own_process=True,
    )
    made = Tracer(RING_BYTES, config)
    yield made
    made.close()


@pytest.fixture(scope="module")
def _root() -> Iterator[Tracer]:
    made = Tracer(RING_BYTES, Config(state_directory=Path("/nowhere"), drop_uids=[0]))
    yield made
    made.close()


@pytest.fixture(scope="module")
def _outside() -> Iterator[Tracer]:
    made = Tracer(RING_BYTES, Config(state_directory=Path("/nowhere"), drop_containers="outside"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def _inside() -> Iterator[Tracer]:
    made = Tracer(RING_BYTES, Config(state_directory=Path("/nowhere"), drop_containers="inside"))
    yield made
    made.close()


def _begun(tracer: Tracer) -> Iterator[Tracer]:
    tracer.begin()
    yield tracer
    end_all()
    tracer.drain()
    assert not tracer.counters.bad_records


@pytest.fixture
def several(_several: Tracer) -> Iterator[Tracer]:
    yield from _begun(_several)


@pytest.fixture
def root(_root: Tracer) -> Iterator[Tracer]:
    yield from _begun(_root)


@pytest.fixture
def outside(_outside: Tracer) -> Iterator[Tracer]:
    yield from _begun(_outside)


@pytest.fixture
def inside(_inside: Tracer) -> Iterator[Tracer]:
    yield from _begun(_inside)


def _ancestry(events: list[Event]) -> list[Fork | Exec | Exit]:
    return [event for event in events if isinstance(event, (Fork, Exec, Exit))]


def _has_no_detail(executed: Exec) -> bool:
    return (executed.args, executed.working_directory, executed.environment, executed.groups, executed.sockets) == (
        (),
        "",
        (),
        (),
        0,
    )


def _busy(puppet: Puppet) -> None:
    """One of each kind of change."""
    puppet.ask("start_thread()")
    puppet.ask("libc.prctl(15, b'renamed', 0, 0, 0)")
    puppet.ask("os.setgroups([4]) if os.geteuid() == 0 else 0")
    puppet.ask("libc.setresuid(-1, -1, -1)")
    puppet.ask("libc.setpgid(0, 0)")
    puppet.ask("os.chdir('/usr')")


def test_a_users_processes_are_told_without_detail_and_without_changes(several: Tracer) -> None:
    grown = Grown(several)
    puppet = Puppet()
    assert puppet.ask(f"libc.setresuid({UID}, {UID}, {UID})") == 0
    assert not [event for event in grown.news(puppet.pid) if isinstance(event, CredentialChange)]
    _busy(puppet)
    assert grown.news(puppet.pid) == []
    puppet.order("os.execve('/bin/true', ['true', 'secret'], {'LD_PRELOAD': ''})")
    several.one(Exit, puppet.pid)
    executed, ended = grown.news(puppet.pid)
    assert isinstance(executed, Exec)
    assert isinstance(ended, Exit)
    assert (executed.filtered, ended.filtered) == (True, True)
    assert _has_no_detail(executed)
    assert (executed.filename, executed.executable) == ("/bin/true", os.path.realpath("/bin/true"))
    assert executed.file.inode == os.stat("/bin/true").st_ino
    assert executed.task.credentials.euid == UID
    version = grown.of(puppet.pid)
    assert (version.filtered, version.image.name, version.exit_status) == (True, "true", 0)
    assert version.ancestors[0].pid == os.getpid()


def test_others_keep_all(several: Tracer) -> None:
    grown = Grown(several)
    puppet = Puppet()
    _busy(puppet)
    kinds = {type(event) for event in grown.news(puppet.pid)}
    assert {Rename, CredentialChange, SessionChange, DirectoryChange, ThreadStart} <= kinds
    executed = several.all(Exec, puppet.pid)[0]
    assert (executed.filtered, executed.working_directory) == (False, os.getcwd())
    assert executed.args[:2] == ("/usr/bin/python3", "-c")
    assert not grown.of(puppet.pid).filtered


def test_whoever_comes_out_of_the_filter_has_a_whole_lineage(several: Tracer) -> None:
    """A filtered user's process starts another's, as sudo does."""
    grown = Grown(several)
    puppet = Puppet()
    assert puppet.ask(f"libc.setresuid(0, {UID}, 0)") == 0
    middle = puppet.ask("clone3(work='clone3(work=\"libc.setresuid(0, 0, 0)\")')")
    several.until(lambda: grown.children(middle))
    (last,) = grown.children(middle)
    several.until(lambda: several.all(CredentialChange, last))
    assert several.one(Fork, middle).filtered
    assert several.one(Fork, last).filtered  # not yet root
    version = grown.of(last)
    assert [ancestor.pid for ancestor in version.ancestors[:3]] == [middle, puppet.pid, os.getpid()]
    assert (version.complete, version.doubt) == (grown.of(os.getpid()).complete, grown.of(os.getpid()).doubt)
    puppet.ask(f"libc.setresuid(0, 0, 0), end({middle})")
    os.kill(last, signal.SIGKILL)  # by another user id it has lost the signal that its parent's end would send
    assert several.one(Exit, middle).filtered


def test_whoever_leaves_the_filter_takes_his_container_and_namespaces_along(root: Tracer, cgroup: Path) -> None:
    """As a runtime's child does: root enters the container, and then becomes somebody else in it."""
    puppet = Puppet()
    home = Path(f"/proc/{puppet.pid}/cgroup").read_text().rpartition("0::")[2].strip()
    grown = Grown(root)
    (cgroup / "docker" / ID).mkdir(parents=True)
    put(puppet.pid, cgroup / "docker" / ID)
    assert puppet.ask(f"libc.unshare({NEWUTS})") == 0
    leaves = f"libc.setresuid({UID}, {UID}, {UID}), libc.prctl(1, 9, 0, 0, 0)"  # it ends with its parent still
    child = puppet.ask(f"clone3({NEWIPC}, work={leaves!r})")
    found_later = Grown(root)
    assert puppet.ask(f"libc.setresuid({UID}, {UID}, {UID})") == 0
    puppet.order("os.execv('/bin/sleep', ['sleep', '600'])")
    root.until(lambda: [event for event in root.all(Exec, puppet.pid) if event.filename == "/bin/sleep"])
    for tree in (grown, found_later):
        version = tree.of(puppet.pid)
        assert (version.filtered, version.image.args) == (False, ("sleep", "600"))
        assert version.container == Container(ID, "docker")
        assert tree.of(child).container == Container(ID, "docker")
    assert grown.of(puppet.pid).namespaces.uts == namespace("uts", puppet.pid) != namespace("uts")
    spaces = grown.of(child).namespaces
    assert (spaces.uts, spaces.ipc) == (namespace("uts", child), namespace("ipc", child))
    assert spaces.ipc not in (namespace("ipc"), 0)
    put(puppet.pid, cgroup.parent / home.lstrip("/"))


@pytest.mark.parametrize("again", [False, True])
def test_of_a_filtered_process_that_a_walk_finds_its_cgroups_alone_are_told(root: Tracer, again: bool) -> None:
    puppet = Puppet()
    (found,) = [each for each in Grown(root).walk().found() if each.pid == puppet.pid]
    told = Details(lambda kind: Stamp(0, 0, 0, kind), Counters()).of(found, again=again)
    assert {type(decode(record)) for record in told} <= {Cgroup}
    assert told or not again


@pytest.mark.parametrize("where", [".", "below"])
def test_a_cgroups_processes_and_those_below_it_lose_their_detail(several: Tracer, cgroup: Path, where: str) -> None:
    grown = Grown(several)
    puppet = Puppet()
    home = next(line for line in Path(f"/proc/{puppet.pid}/cgroup").read_text().splitlines() if line[:3] == "0::")
    put(puppet.pid, cgroup / where)
    grown.news(puppet.pid)
    _busy(puppet)
    assert grown.news(puppet.pid) == []
    child = puppet.ask("os.posix_spawn('/bin/true', ['true'], {})")
    several.one(Exit, child)
    told = _ancestry(grown.news(child))
    assert [type(event) for event in told] == [Fork, Exec, Exit]
    assert all(event.filtered for event in told)
    assert grown.of(child).ancestors[0].pid == puppet.pid
    put(puppet.pid, cgroup.parent / home[3:].lstrip("/"))
    (moved,) = grown.news(puppet.pid)
    assert isinstance(moved, Cgroup)


def test_kernel_threads_are_told_as_filtered(several: Tracer) -> None:
    found = several.snapshot()
    threads = [event for event in found.values() if event.kernel_thread]
    assert threads
    assert all(event.filtered for event in threads)
    assert not found[1].filtered


def test_the_agents_own_process_is_filtered_and_its_children_are_not(several: Tracer) -> None:
    """The tests stand in the agent's place: they loaded the probes."""
    grown = Grown(several)
    assert grown.of(os.getpid()).filtered
    before = os.getcwd()
    try:
        os.chdir("/")
    finally:
        os.chdir(before)
    assert grown.news(os.getpid()) == []
    child = subprocess.Popen(["/bin/true"])
    child.wait(30)
    told = _ancestry(grown.news(child.pid))
    assert [(type(event), event.filtered) for event in told] == [(Fork, False), (Exec, False), (Exit, False)]
    assert grown.of(child.pid).ancestors[0].pid == os.getpid()


def _inner(tracer: Tracer, grown: Grown, puppet: Puppet) -> tuple[int, int]:
    """The init of a pid namespace, and a child of its that executes."""
    init = puppet.ask(f'clone3({NEWPID}, work=\'os.posix_spawn("/bin/true", ["true", "detail"], {{}})\')')
    tracer.until(lambda: grown.children(init))
    (child,) = grown.children(init)
    tracer.one(Exit, child)
    return init, child


def test_what_is_outside_of_containers_is_dropped_and_what_is_inside_has_a_whole_lineage(outside: Tracer) -> None:
    grown = Grown(outside)
    puppet = Puppet()
    init, child = _inner(outside, grown, puppet)
    told = _ancestry(grown.news(puppet.pid))
    assert all(event.filtered for event in told)
    assert [type(event) for event in told] == [Fork, Exec]
    executed = outside.one(Exec, child)
    assert (executed.filtered, executed.args) == (False, ("true", "detail"))
    version = grown.of(child)
    assert [ancestor.pid for ancestor in version.ancestors[:3]] == [init, puppet.pid, os.getpid()]
    assert version.ancestors[1].image.executable == os.path.realpath("/usr/bin/python3")
    puppet.ask(f"end({init})")


def test_what_is_inside_of_containers_is_dropped_and_keeps_its_ancestry(inside: Tracer) -> None:
    grown = Grown(inside)
    puppet = Puppet()
    init, child = _inner(inside, grown, puppet)
    told = _ancestry(grown.news(child))
    assert [type(event) for event in told] == [Fork, Exec, Exit]
    assert all(event.filtered for event in told)
    assert _has_no_detail(inside.one(Exec, child))
    assert not inside.one(Exec, puppet.pid).filtered
    assert [ancestor.pid for ancestor in grown.of(child).ancestors[:2]] == [init, puppet.pid]
    puppet.ask(f"end({init})")


def test_the_snapshot_flags_what_the_filters_drop_and_leaves_its_detail_out(inside: Tracer) -> None:
    puppet = Puppet()
    init = puppet.ask(f"clone3({NEWPID})")
    found = inside.snapshot()
    assert (found[init].filtered, found[puppet.pid].filtered) == (True, False)
    assert (found[init].executable, found[init].working_directory) == (found[puppet.pid].executable, "")
    assert found[init].task.ns_pid == 1
    puppet.ask(f"end({init})")
