"""Real containers, made by runc alone: numbers, cgroups, namespaces, and lineages that go up through the runtime."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.containers import Container
from pipeline.events import Exec, Exit
from pipeline.process import ProcessVersion
from tests.kernel import programs
from tests.kernel.actors import Troupe
from tests.kernel.grown import Grown
from tests.kernel.programs import namespace
from tests.kernel.tracer import Tracer

pytestmark = pytest.mark.kernel

RING_BYTES = 1 << 20
CAPABILITIES = ["CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"]


class Bundle:
    """A container's root: an overlay over a folder that has nothing but the actor."""

    def __init__(self, folder: Path, troupe: Troupe) -> None:
        self.id = os.urandom(32).hex()
        self.folder = folder
        self.state = folder / "state"
        for name in ("image/bin", "image/proc", "upper", "work", "rootfs"):
            (folder / name).mkdir(parents=True)
        shutil.copy(troupe.program, folder / "image/bin/entry")
        options = f"lowerdir={folder}/image,upperdir={folder}/upper,workdir={folder}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, folder / "rootfs"], check=True)
        shutil.copy(troupe.program, folder / "rootfs/bin/dropped")  # written into the running container's layer
        (folder / "config.json").write_text(json.dumps(self._config()))

    def _config(self) -> dict[str, Any]:
        return {
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "hostname": "inside",
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "process": {
                "args": ["/bin/entry", "pause"],
                "cwd": "/",
                "env": ["PATH=/bin"],
                "user": {"uid": 0, "gid": 0},
                "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
            },
            "linux": {
                "cgroupsPath": f"/docker/{self.id}",
                "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network", "cgroup")],
            },
        }

    def runc(self, *arguments: str) -> list[str]:
        return ["runc", "--root", str(self.state), *arguments]

    def starts(self, *arguments: str) -> tuple[subprocess.Popen[str], int]:
        """The running runc, and the inner number that whoever pauses tells."""
        child = subprocess.Popen(
            self.runc(*arguments), cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        (inner,) = programs.numbers(programs.started(child))
        return child, inner

    def close(self) -> None:
        subprocess.run(self.runc("delete", "--force", self.id), check=False)
        subprocess.run(["umount", self.folder / "rootfs"], check=True)
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            docker = Path(before.split()[4], "docker")
            if after.startswith("cgroup") and docker.is_dir() and not any(docker.glob("*/")):
                docker.rmdir()  # made by runc, unless an engine's: that makes it anew


@pytest.fixture(scope="module")
def troupe(tmp_path_factory: pytest.TempPathFactory) -> Troupe:
    return Troupe(tmp_path_factory.mktemp("troupe"))


@pytest.fixture
def outside() -> Iterator[Tracer]:
    """All but what is inside of containers is filtered, their runtime too."""
    made = Tracer(RING_BYTES, Config(state_directory=Path("/nowhere"), drop_containers="outside"))
    yield made
    made.close()


@pytest.fixture
def bundle(tmp_path: Path, troupe: Troupe) -> Iterator[Bundle]:
    if shutil.which("runc") is None:
        if os.environ.get("CI"):
            pytest.fail("apt-get install runc")
        pytest.skip("runc is not installed")
    made = Bundle(tmp_path, troupe)
    yield made
    programs.end_all()
    made.close()


def _inside(tracer: Tracer, grown: Grown, name: str) -> ProcessVersion:
    """The process that has executed that file."""
    tracer.until(lambda: [event for event in tracer.events if isinstance(event, Exec) and event.filename == name])
    (executed,) = [event for event in tracer.events if isinstance(event, Exec) and event.filename == name]
    return grown.of(executed.task.pid)


def _up_to(version: ProcessVersion, pid: int) -> list[str]:
    """Names of its ancestors up to that one, which is not among them."""
    pids = [ancestor.pid for ancestor in version.ancestors]
    return [ancestor.image.name for ancestor in version.ancestors[: pids.index(pid)]]


def _holds_inside(version: ProcessVersion, bundle: Bundle) -> None:
    assert version.container == Container(bundle.id, "docker")
    assert version.pid_ns == namespace("pid", version.pid) != namespace("pid")
    assert version.namespaces.mnt == namespace("mnt", version.pid) != namespace("mnt")
    assert version.namespaces.net == namespace("net", version.pid) != namespace("net")
    assert version.namespaces.uts == namespace("uts", version.pid) != namespace("uts")
    assert version.namespaces.ipc == namespace("ipc", version.pid) != namespace("ipc")
    assert version.working_directory == "/"
    assert version.credentials.cap_effective == 0b11000001  # chown, setgid, setuid
    assert version.ancestors[-1].pid == 1
    assert version.complete


def test_an_entrypoint_and_what_is_executed_in_its_container(tracer: Tracer, bundle: Bundle) -> None:
    grown = Grown(tracer)
    runc, inner = bundle.starts("run", bundle.id)
    entry = _inside(tracer, grown, "/bin/entry")
    assert (inner, entry.ns_pid) == (1, 1)
    _holds_inside(entry, bundle)
    assert entry.image.executable == "/bin/entry"
    assert "upper_layer" not in entry.image.file.traits
    names = _up_to(entry, os.getpid())
    assert names[-1] == "runc"
    assert runc.pid in [ancestor.pid for ancestor in entry.ancestors]
    assert entry.entry_type == "container"
    assert entry.entry_leader is not None
    assert entry.entry_leader.entity_id == entry.entity_id

    other, inner = bundle.starts("exec", bundle.id, "/bin/dropped", "fork", "exec:/bin/entry", "pause")
    dropped = _inside(tracer, grown, "/bin/dropped")
    child = grown.of(grown.children(dropped.pid)[0])
    assert (child.ns_pid, child.pid_ns) == (inner, entry.pid_ns)
    assert dropped.ns_pid > 1
    for version in (dropped, child):
        _holds_inside(version, bundle)
        assert other.pid in [ancestor.pid for ancestor in version.ancestors]
        assert runc.pid not in [ancestor.pid for ancestor in version.ancestors]
        assert entry.pid not in [ancestor.pid for ancestor in version.ancestors]
        assert (version.entry_type, version.entry_leader and version.entry_leader.pid) == ("container", dropped.pid)
    assert "upper_layer" in dropped.image.file.traits
    assert grown.of(runc.pid).container is None

    again = Grown(tracer)  # a restarted agent finds the same
    for version in (entry, dropped, child):
        found = again.of(version.pid)
        assert found.entity_id == version.entity_id
        assert (found.container, found.ns_pid, found.pid_ns) == (version.container, version.ns_pid, version.pid_ns)
        assert found.image.executable == version.image.executable
    assert other.stdin is not None
    other.stdin.close()
    assert tracer.one(Exit, child.pid).status == 0
    assert grown.of(child.pid).container == Container(bundle.id, "docker")


def test_a_container_is_known_where_all_that_is_outside_of_containers_is_filtered(
    outside: Tracer, bundle: Bundle
) -> None:
    """Its runtime enters the container's cgroup and namespaces, but for that of pids, while it is still outside."""
    grown = Grown(outside)
    runc, _ = bundle.starts("run", bundle.id)
    entry = _inside(outside, grown, "/bin/entry")
    assert (entry.filtered, grown.of(runc.pid).filtered) == (False, True)
    _holds_inside(entry, bundle)
    assert entry.image.args == ("/bin/entry", "pause")
    found = Grown(outside).of(entry.pid)
    assert (found.container, found.filtered) == (entry.container, False)
    bundle.starts("exec", bundle.id, "/bin/dropped", "pause")
    _holds_inside(_inside(outside, grown, "/bin/dropped"), bundle)
