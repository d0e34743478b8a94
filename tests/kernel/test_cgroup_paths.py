"""Containers by their cgroups, as this kernel writes the paths: from beside, from inside a namespace, after the end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.containers import Container, container_of
from tests import cgroups

pytestmark = pytest.mark.kernel

ID = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970"
OTHER = "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d"
NAME = f"cgroups-{os.getpid()}"


def _usable(root: Path) -> bool:
    """Some controllers take no process before they are set up, and some machines lend a hierarchy read-only."""
    return not (root / "cpuset.cpus").exists() and os.access(root, os.W_OK)


HIERARCHIES = [root for root in cgroups.hierarchies() if _usable(root)]


@pytest.fixture(autouse=True)
def _removed() -> Iterator[None]:
    yield
    cgroups.remove(NAME)


def _group(root: Path, path: str) -> Path:
    made = root / cgroups.OWN / NAME / path.lstrip("/")
    made.mkdir(parents=True)
    return made


@contextmanager
def _process_in(group: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A process that waits for the end of its input, in that cgroup."""
    with subprocess.Popen([*command, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        (group / "cgroup.procs").write_text(str(process.pid))
        yield process
        assert process.stdin is not None
        process.stdin.close()


def _told(text: str) -> set[Container | None]:
    return {container_of(line.split(":", 2)[2]) for line in text.splitlines()} - {None}


def _seen(pid: int, *through: str) -> set[Container | None]:
    """What /proc/PID/cgroup tells, read by a program that is started by ``through``."""
    done = subprocess.run([*through, "cat", f"/proc/{pid}/cgroup"], capture_output=True, text=True, check=True)
    return _told(done.stdout)


@pytest.mark.parametrize("root", HIERARCHIES, ids=str)
@pytest.mark.parametrize(
    ("path", "runtime"),
    [
        (f"/docker/{ID}", "docker"),
        (f"/docker/{ID}/system.slice/cron.service", "docker"),
        (f"/docker/{ID}/docker/{OTHER}", "docker"),
        (f"/system.slice/docker-{ID}.scope", "docker"),
        (f"/machine.slice/libpod-{ID}.scope/container", "podman"),
        (f"/kubepods-pod1.slice:cri-containerd:{ID}", "containerd"),
    ],
)
def test_a_process_is_in_the_container_of_its_cgroup_in_any_hierarchy(root: Path, path: str, runtime: str) -> None:
    with _process_in(_group(root, path)) as process:
        assert _seen(process.pid) == {Container(ID, runtime)}


@pytest.mark.parametrize("root", HIERARCHIES, ids=str)
def test_the_neighbour_in_another_cgroup_namespace_is_still_found(root: Path) -> None:
    """From inside, paths beside the namespace's own root begin with /.. and lack what is above."""
    with _process_in(_group(root, f"/docker/{ID}")) as process:
        inside = _group(root, f"/docker/{OTHER}")
        join = f"echo $$ >{inside}/cgroup.procs && exec unshare --cgroup cat /proc/{process.pid}/cgroup"
        told = subprocess.run(["bash", "-c", join], capture_output=True, text=True, check=True).stdout
        assert f":/../{ID}\n" in told
        assert _told(told) == {Container(ID, "")}


@pytest.mark.parametrize("root", [root for root in HIERARCHIES if (root / "cgroup.controllers").exists()], ids=str)
def test_a_process_whose_cgroup_was_removed_is_still_that_containers(root: Path) -> None:
    """A zombie does not keep its cgroup; of the unified hierarchy /proc says then that it was deleted."""
    group = _group(root, f"/docker/{ID}")
    with _process_in(group) as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        group.rmdir()
        told = Path(f"/proc/{process.pid}/cgroup").read_text()
        assert f"/docker/{ID} (deleted)\n" in told
        assert _told(told) == {Container(ID, "docker")}
