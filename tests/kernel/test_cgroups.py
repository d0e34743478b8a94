"""Where a process is in the cgroup hierarchies, of either version, and which container that means."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.containers import Container
from pipeline.counters import Counters
from pipeline.events import Cgroup, Event, Exit, Fork, Stamp
from pipeline.sources.decode import decode
from pipeline.sources.ebpf.details import Details, are_known
from tests.kernel.deep import NAME_MAX, names_of
from tests.kernel.grown import Grown
from tests.kernel.hierarchies import Hierarchy, existing, made, mounted, put
from tests.kernel.not_here import needs
from tests.kernel.programs import forked, numbers, python, stat
from tests.kernel.puppet import Puppet
from tests.kernel.tracer import Tracer
from tests.test_containers import FORMS, ID, NAMED, ON_THE_HOST

pytestmark = pytest.mark.kernel

INTO_CGROUP = 1 << 33
NEW_CGROUP_NAMESPACE = 0x2000000
ELLIPSIS = "…"


@pytest.fixture(params=[2, 1], ids=["v2", "v1"])
def hierarchy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hierarchy]:
    with mounted(tmp_path / "hierarchy", request.param) as found:
        yield found


@pytest.fixture
def unified(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "unified", 2) as found:
        yield found.folder


def _name() -> str:
    return f"lineage-test-{os.getpid()}"


def _told(event: Event) -> tuple[int, str]:
    assert isinstance(event, Cgroup)
    return event.hierarchy, event.path


def _shown(pid: int, hierarchy: int) -> str:
    lines = Path(f"/proc/{pid}/cgroup").read_bytes().decode().split("\n")
    return next(line.split(":", 2)[2] for line in lines if line and int(line.split(":")[0]) == hierarchy)


def test_a_move_is_told_with_hierarchy_path_and_id(tracer: Tracer, hierarchy: Hierarchy) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    before = grown.of(puppet.pid)
    home = _shown(puppet.pid, hierarchy.number)
    with made(hierarchy.folder / _name()) as top:
        (top / "inner").mkdir()
        put(puppet.pid, top / "inner")
        (event,) = grown.news(puppet.pid)
        assert _told(event) == (hierarchy.number, _shown(puppet.pid, hierarchy.number))
        assert _told(event)[1] == f"/{_name()}/inner"
        assert isinstance(event, Cgroup)
        assert event.cgroup_id == (top / "inner").stat().st_ino
        after = grown.of(puppet.pid)
        assert after.cgroup_id == (event.cgroup_id if hierarchy.number == 0 else before.cgroup_id)
        child = puppet.ask("clone3()")
        assert grown.of(child).cgroup_id == after.cgroup_id
        assert [type(event) for event in grown.news(child)] == [Fork]  # born there, it moved nowhere
        puppet.ask(f"end({child})")
        grown.news(puppet.pid)
        put(puppet.pid, hierarchy.folder / home.lstrip("/"))
        assert [_told(event) for event in grown.news(puppet.pid)] == [(hierarchy.number, home)]


def test_each_hierarchy_of_version_1_tells_for_itself(tracer: Tracer) -> None:
    hierarchies = existing()
    needs("cgroup hierarchies of version 1", bool(hierarchies))
    puppet = Puppet()
    grown = Grown(tracer)
    for hierarchy in hierarchies:
        home = hierarchy.folder / _shown(puppet.pid, hierarchy.number).lstrip("/")
        with made(hierarchy.folder / _name()) as top:
            put(puppet.pid, top)
            assert [_told(event) for event in grown.news(puppet.pid)] == [(hierarchy.number, f"/{_name()}")]
            put(puppet.pid, home)
            grown.news(puppet.pid)


def test_born_into_another_cgroup_it_is_told_where(tracer: Tracer, unified: Path) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    with made(unified / _name()) as top:
        inside = top / "docker" / ID
        inside.mkdir(parents=True)
        puppet.ask(f"(held := os.open({str(inside)!r}, os.O_RDONLY)) and 0")
        child = puppet.ask(f"clone3({INTO_CGROUP}, cgroup=held)")
        puppet.ask("os.close(held) or 0")
        fork, event = grown.news(child)
        assert isinstance(fork, Fork)
        assert _told(event) == (0, f"/{_name()}/docker/{ID}") == (0, _shown(child, 0))
        version = grown.of(child)
        assert version.cgroup_id == inside.stat().st_ino == fork.task.cgroup_id
        assert version.container == Container(ID, "docker")
        assert grown.of(puppet.pid).container is None
        puppet.ask(f"end({child})")
        tracer.one(Exit, child)
        assert grown.of(child).container == Container(ID, "docker")


def _makes(path: str) -> bool:
    """Whether a folder of that name can be made: a cgroup's name has no newline."""
    return path.strip("/") != "" and ".." not in path and "\n" not in path


def test_names_that_runtimes_make_are_containers_and_look_alikes_are_none(tracer: Tracer, unified: Path) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    home = unified / _shown(puppet.pid, 0).lstrip("/")
    wanted: list[tuple[str, Container | None]]
    wanted = [(path.replace("ID", ID), Container(ID, runtime)) for path, runtime in FORMS]
    wanted += [(path, Container(name, runtime)) for path, name, runtime in NAMED]
    wanted += [(path, None) for path in ON_THE_HOST if _makes(path)]
    for path, container in wanted:
        with made(unified / _name()) as top:
            cgroup = top / path.strip("/")
            cgroup.mkdir(parents=True)
            put(puppet.pid, cgroup)
            (event,) = grown.news(puppet.pid)
            assert _told(event) == (0, f"/{_name()}/{path.strip('/')}")
            assert grown.of(puppet.pid).container == container, path
            put(puppet.pid, home)
            assert grown.of(puppet.pid).container is None
            grown.news(puppet.pid)


def test_what_one_hierarchy_says_of_a_container_another_does_not_take_back(
    tracer: Tracer, unified: Path, tmp_path: Path
) -> None:
    """Hybrid: the engine has made its cgroup in one of them, and the process is at home in the other."""
    puppet = Puppet()
    grown = Grown(tracer)
    with mounted(tmp_path / "v1", 1) as named, made(named.folder / "docker") as docker, made(unified / _name()) as top:
        (docker / ID).mkdir()
        put(puppet.pid, docker / ID)
        assert grown.of(puppet.pid).container == Container(ID, "docker")
        home = unified / _shown(puppet.pid, 0).lstrip("/")
        put(puppet.pid, top)
        assert grown.of(puppet.pid).container == Container(ID, "docker")
        put(puppet.pid, home)
        put(puppet.pid, named.folder)
        assert grown.of(puppet.pid).container is None


def test_who_leaves_one_hierarchy_of_his_container_is_in_it_still(
    tracer: Tracer, unified: Path, tmp_path: Path
) -> None:
    """As on version 1, where an engine makes a cgroup in each hierarchy."""
    puppet = Puppet()
    grown = Grown(tracer)
    with mounted(tmp_path / "v1", 1) as named, made(named.folder / "docker") as docker, made(unified / _name()) as top:
        home = unified / _shown(puppet.pid, 0).lstrip("/")
        for folder in (top / "docker" / ID, docker / ID):
            folder.mkdir(parents=True)
            put(puppet.pid, folder)
        put(puppet.pid, named.folder)
        again = Grown(tracer)
        assert [tree.of(puppet.pid).container for tree in (grown, again)] == [Container(ID, "docker")] * 2
        put(puppet.pid, home)
        assert [tree.of(puppet.pid).container for tree in (grown, again)] == [None] * 2


def test_too_deep_a_cgroup_is_cut_and_nobody_leaves_his_container_by_it(tracer: Tracer, unified: Path) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    home = unified / _shown(puppet.pid, 0).lstrip("/")
    with made(unified / _name()) as top:
        container = top / "docker" / ID
        forged = container.joinpath(*["d"] * 30, "docker", ID[::-1])
        forged.mkdir(parents=True)
        put(puppet.pid, container)
        grown.news(puppet.pid)
        put(puppet.pid, forged)
        (event,) = grown.news(puppet.pid)
        assert _told(event) == (0, f"{ELLIPSIS}/" + "/".join(["d"] * 30) + f"/docker/{ID[::-1]}")
        assert grown.of(puppet.pid).container == Container(ID, "docker")
        assert grown.of(puppet.pid).cgroup_id == forged.stat().st_ino
        put(puppet.pid, home)
        assert grown.of(puppet.pid).container is None


def test_a_repair_finds_who_has_left_his_container_unseen(tracer: Tracer, unified: Path, tmp_path: Path) -> None:
    """One hierarchy after the other, and each move to the root is lost."""
    puppet, stays = Puppet(), Puppet()
    grown = Grown(tracer)
    container = Container(ID, "docker")
    with mounted(tmp_path / "v1", 1) as named, made(named.folder / "docker") as docker, made(unified / _name()) as top:
        home = unified / _shown(puppet.pid, 0).lstrip("/")
        for folder in (top / "docker" / ID, docker / ID):
            folder.mkdir(parents=True)
            put(puppet.pid, folder)
            put(stays.pid, folder)
        for folder, left in ((named.folder, container), (home, None)):
            assert grown.of(puppet.pid).container == container
            put(puppet.pid, folder)
            grown.miss()
            grown.look_again()
            assert grown.of(puppet.pid).container == left
        assert grown.of(stays.pid).container == container
        put(stays.pid, named.folder)
        assert grown.of(stays.pid).container == container
        put(stays.pid, home)
        assert grown.of(stays.pid).container is None


def test_a_repair_does_not_take_the_container_from_a_process_whose_leader_has_ended(
    tracer: Tracer, tmp_path: Path
) -> None:
    """Of version 1 the kernel shows the root for that one, though the others are where they were."""
    with mounted(tmp_path / "v1", 1) as named, made(named.folder / "docker") as docker:
        (docker / ID).mkdir()
        child = python("threading.Thread(target=lambda: (tell(1), signal.pause())).start()\nlibc.syscall(SYS_EXIT, 0)")
        numbers(child)
        tracer.until(lambda: stat(child.pid)[0] == "Z")
        grown = Grown(tracer)
        (tid,) = {int(name) for name in os.listdir(f"/proc/{child.pid}/task")} - {child.pid}
        put(child.pid, docker / ID)
        assert (_shown(child.pid, named.number), _shown(tid, named.number)) == ("/", f"/docker/{ID}")
        assert grown.of(child.pid).container == Container(ID, "docker")
        grown.look_again()
        assert grown.of(child.pid).container == Container(ID, "docker")


@pytest.mark.parametrize("unshares", [False, True])
def test_the_root_of_ones_own_cgroup_namespace_is_no_root(tracer: Tracer, unified: Path, unshares: bool) -> None:
    """An agent in a container of its own does not see where its neighbours in there are: nothing is taken back."""
    neighbour = Puppet()
    home = unified / _shown(neighbour.pid, 0).lstrip("/")
    with made(unified / _name()) as top:
        put(neighbour.pid, top)
        assert neighbour.ask(f"libc.unshare({NEW_CGROUP_NAMESPACE})") == 0
        (found,) = [each for each in Grown(tracer).walk().found() if each.pid == neighbour.pid]
        space = os.open(f"/proc/{neighbour.pid}/ns/cgroup", os.O_RDONLY)
        reader, writer = os.pipe()

        def look() -> None:
            if unshares:
                assert ctypes.CDLL(None).setns(space, NEW_CGROUP_NAMESPACE) == 0
            details = Details(lambda kind: Stamp(0, 0, 0, kind), Counters())
            told = [decode(record) for record in details.of(found, again=True)]
            every = [event.path for event in told if isinstance(event, Cgroup) and event.every_hierarchy]
            os.write(writer, repr(every).encode())

        os.waitpid(forked(look), 0)
        assert os.read(reader, 100).decode() == repr([] if unshares else ["/"])
        for descriptor in (space, reader, writer):
            os.close(descriptor)
        put(neighbour.pid, home)


@pytest.mark.parametrize(
    ("paths", "sees_roots", "known"),
    [
        (["/", "/a"], True, True),
        (["/..", "/../../b"], False, True),
        (["/", "/../b"], False, False),
        (["/a"], False, False),
    ],
)
def test_what_is_above_ones_own_root_is_known(paths: list[str], sees_roots: bool, known: bool) -> None:
    assert are_known(tuple(enumerate(paths)), sees_roots) == known


def _assert_told_as(tracer: Tracer, puppet: Puppet, cgroup: Path, cut: bool) -> None:
    """Below the hierarchy's root, where ``cut`` says whether the uppermost component misses."""
    grown = Grown(tracer)
    grown.news(puppet.pid)
    put(puppet.pid, cgroup)
    (event,) = grown.news(puppet.pid)
    shown = _shown(puppet.pid, 0)
    assert shown.endswith("/".join(cgroup.parts[-3:]))
    assert _told(event) == (0, ELLIPSIS + shown[shown.index("/", 1) :] if cut else shown)
    assert bool(wire.STRUCT_HEADER.unpack_from(tracer.record_of(event))[3] & wire.PATH_CUT) == cut


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_a_cgroups_path_is_whole_up_to_the_depth_that_is_walked(tracer: Tracer, unified: Path, over: int) -> None:
    puppet = Puppet()
    home = unified / _shown(puppet.pid, 0).lstrip("/")
    with made(unified / _name()) as top:
        cgroup = top.joinpath(*["d"] * (wire.CGROUP_DEPTH_MAX + over - 1))
        cgroup.mkdir(parents=True)
        _assert_told_as(tracer, puppet, cgroup, over > 0)
        put(puppet.pid, home)


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_a_cgroups_path_is_whole_while_the_longest_name_has_room(tracer: Tracer, unified: Path, over: int) -> None:
    """However short the uppermost is: it is read where the longest name would fit."""
    puppet = Puppet()
    home = unified / _shown(puppet.pid, 0).lstrip("/")
    names = names_of(wire.PATH_MAX - (NAME_MAX + 1) + over)
    with made(unified / _name()) as top:
        cgroup = top.joinpath(*names)
        cgroup.mkdir(parents=True)
        _assert_told_as(tracer, puppet, cgroup, over > 0)
        put(puppet.pid, home)


def test_who_was_there_before_has_his_container_from_proc(tracer: Tracer, unified: Path) -> None:
    puppet = Puppet()
    home = unified / _shown(puppet.pid, 0).lstrip("/")
    with made(unified / _name()) as top:
        container = top / f"docker-{ID}.scope"
        container.mkdir()
        put(puppet.pid, container)
        version = Grown(tracer).of(puppet.pid)
        assert (version.container, version.cgroup_id) == (Container(ID, "docker"), container.stat().st_ino)
        put(puppet.pid, home)


@pytest.mark.parametrize("name", ["evil\v0::/z", "evil\x1e0::/y", f"evil\u20280::/docker/{ID[::-1]}"])
def test_nobody_leaves_his_container_by_the_name_of_a_cgroup(tracer: Tracer, unified: Path, name: str) -> None:
    """Neither for who sees it move nor for who comes later; in a name is whatever is no newline."""
    puppet = Puppet()
    seen = Grown(tracer)
    home = unified / _shown(puppet.pid, 0).lstrip("/")
    with made(unified / _name()) as top:
        container = top / f"docker-{ID}.scope"
        inside = container / name
        inside.mkdir(parents=True)
        put(puppet.pid, inside)
        assert _shown(puppet.pid, 0) == f"/{_name()}/docker-{ID}.scope/{name}"
        assert [grown.of(puppet.pid).container for grown in (seen, Grown(tracer))] == [Container(ID, "docker")] * 2
        put(puppet.pid, home)
