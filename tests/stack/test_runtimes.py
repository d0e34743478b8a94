"""Real runtimes, asked about real containers: an engine and a containerd of the tests' own, an image made on the spot.

Not to be had on a test machine, and tried by their documented forms alone (tests/test_containers.py): systemd's cgroup
driver, CRI-O, Podman, cri-dockerd, nerdctl.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from pipeline.containers import Container, container_of
from pipeline.errors import ContainerRuntimeError, HostError
from pipeline.sources.containers import open_runtime
from pipeline.sources.containers.access import groups_of
from tests import cgroups
from tests.checkout import REPOSITORY
from tests.stack.containerd import SANDBOX_IMAGE, Containerd, Pod, running_containerd
from tests.stack.engine import Engine, running_engine
from tests.stack.tiny import PROGRAM, save_image

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

GROUP = 61998  # of no account
IMAGE = "registry.example:5000/team/web:1.2"
NAME = "registry.example:5000/team/web"
FORGED = {  # by the author of the image
    "io.cri-containerd.kind": "container",
    "io.kubernetes.container.name": "forged",
    "io.kubernetes.pod.name": "forged",
    "io.kubernetes.pod.namespace": "kube-system",
    "nerdctl/name": "forged",
}
NOBODYS = "0" * 64
WITH_CTR = "ab" * 32
POD_OF = {
    "type": "kubernetes",
    "namespace": "shop",
    "resource": {"type": "pod", "name": "web-7d9f", "id": "a1b2-c3d4"},
}


@pytest.fixture(scope="module", autouse=True)
def _able() -> None:
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("runtimes of our own need root")
        pytest.skip("runtimes of our own need root")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The packed image, and its id."""
    path = tmp_path_factory.mktemp("image") / "web.tar"
    return path, save_image(path, IMAGE, FORGED)


@pytest.fixture(scope="module")
def engine(archive: tuple[Path, str]) -> Iterator[Engine]:
    with running_engine(GROUP) as started:
        started.docker("load", "--input", str(archive[0]))
        yield started


@pytest.fixture(scope="module")
def web(engine: Engine) -> Iterator[str]:
    """The id of a container with a password in its environment."""
    yield engine.docker(
        *("run", "--detach", "--name", "web", "--network", "none", "--env", "PASSWORD=of-the-container", IMAGE)
    ).strip()
    engine.docker("rm", "--force", "web")


@pytest.fixture(scope="module")
def containerd(archive: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    pause = tmp_path_factory.mktemp("pause") / "pause.tar"
    save_image(pause, SANDBOX_IMAGE, {})
    with running_containerd(GROUP) as started:
        started.load("k8s.io", pause)
        started.load("k8s.io", archive[0])
        started.load("default", archive[0])
        with started.container("default", IMAGE, WITH_CTR):
            yield started


@pytest.fixture(scope="module")
def pod(containerd: Containerd) -> Iterator[Pod]:
    with containerd.pod(IMAGE, "web-7d9f", "shop", "a1b2-c3d4") as started:
        yield started


def _described(spec: str, container_id: str) -> Any:
    async def describe() -> Any:
        runtime = open_runtime(spec)
        try:
            return await runtime.describe(container_id)
        finally:
            await runtime.aclose()

    return anyio.run(describe)


def _containers_of(pid: int) -> set[Container | None]:
    """What every hierarchy tells of the process, but for those that the runtime leaves alone."""
    paths = [line.split(":", 2)[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    own = {line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines()}
    return {container_of(path) for path in paths if path not in own}


# Docker.


def test_docker_tells_name_image_and_digest(engine: Engine, web: str, archive: tuple[Path, str]) -> None:
    assert _described(f"docker:{engine.socket}", web) == {
        "container": {
            "id": web,
            "name": "web",
            "runtime": "docker",
            "image": {"name": NAME, "tag": ["1.2"], "hash": {"all": [archive[1]]}},
        }
    }


def test_docker_is_believed_for_whole_ids_alone(engine: Engine, web: str) -> None:
    engine.docker("run", "--detach", "--name", NOBODYS, "--network", "none", IMAGE)
    try:
        for asked in (NOBODYS, web[:12], "web"):
            assert _described(f"docker:{engine.socket}", asked) is None
    finally:
        engine.docker("rm", "--force", NOBODYS)


def test_a_container_that_was_not_started_yet_is_known_to_docker(engine: Engine) -> None:
    created = engine.docker("create", "--name", "later", "--network", "none", IMAGE).strip()
    try:
        assert _described(f"docker:{engine.socket}", created)["container"]["name"] == "later"
    finally:
        engine.docker("rm", "later")


def test_processes_of_a_docker_container_are_in_it_whoever_started_them(engine: Engine, web: str) -> None:
    engine.docker("exec", "--detach", "web", PROGRAM, "999")
    pids = [int(row.split()[1]) for row in engine.docker("top", "web").splitlines()[1:]]
    assert len(pids) == 2
    for pid in pids:
        assert _containers_of(pid) == {Container(web, "docker")}


def test_a_docker_container_in_a_cgroup_of_the_users_choice_is_found(engine: Engine) -> None:
    parent = f"jobs-{os.getpid()}"
    options = ("--name", "job", "--network", "none", "--cgroup-parent", f"/{cgroups.OWN}/{parent}")
    job = engine.docker("run", "--detach", *options, IMAGE).strip()
    try:
        pid = int(engine.docker("inspect", "--format", "{{.State.Pid}}", job))
        assert _containers_of(pid) == {Container(job, "")}
    finally:
        engine.docker("rm", "--force", job)
        cgroups.remove(parent)


def test_of_dockers_own_containerd_only_the_id_is_learnt_and_no_group_reaches_it(engine: Engine, web: str) -> None:
    assert _described(f"containerd:{engine.containerd}", web) == {"container": {"id": web, "runtime": "docker"}}
    with pytest.raises(HostError, match="only root's own group may connect"):
        groups_of(engine.containerd)


def test_docker_starts_its_containerd_without_cri(engine: Engine, web: str) -> None:
    with pytest.raises(ContainerRuntimeError, match="UNIMPLEMENTED"):
        _described(f"cri:{engine.containerd}", web)


def test_check_says_that_docker_answers_and_which_group_is_kept(engine: Engine, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "check"],
        env={"LINEAGE_CONTAINER_RUNTIME": f"docker:{engine.socket}", "LINEAGE_STATE_DIRECTORY": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=REPOSITORY,
    )
    (line,) = (line for line in done.stdout.splitlines() if " container runtime " in line)
    assert line.startswith("ok")
    assert f"answers; the agent keeps its group {GROUP}" in line


# containerd, and its CRI plugin.


def test_cri_tells_container_image_and_pod(containerd: Containerd, pod: Pod, archive: tuple[Path, str]) -> None:
    assert _described(f"cri:{containerd.socket}", pod.container_id) == {
        "container": {
            "id": pod.container_id,
            "name": "server",
            "runtime": "containerd",
            "image": {"name": NAME, "tag": ["1.2"], "hash": {"all": [archive[1]]}},
        },
        "orchestrator": POD_OF,
    }


def test_cri_tells_the_pod_of_its_sandbox(containerd: Containerd, pod: Pod) -> None:
    assert _described(f"cri:{containerd.socket}", pod.sandbox_id) == {
        "container": {"id": pod.sandbox_id, "runtime": "containerd"},
        "orchestrator": POD_OF,
    }


def test_cri_is_believed_for_whole_ids_alone_and_knows_pods_alone(containerd: Containerd, pod: Pod) -> None:
    for asked in (NOBODYS, pod.container_id[:20], pod.sandbox_id[:20], WITH_CTR):
        assert _described(f"cri:{containerd.socket}", asked) is None


def test_containerd_tells_what_the_kubelet_wrote_down(containerd: Containerd, pod: Pod) -> None:
    described = _described(f"containerd:{containerd.socket}", pod.container_id)
    assert described["orchestrator"] == POD_OF
    assert described["container"]["name"] == "server"
    assert described["container"]["image"]["name"] == NAME
    assert _described(f"containerd:{containerd.socket}", pod.sandbox_id)["orchestrator"] == POD_OF


@pytest.mark.parametrize("namespace", ["default", "k8s.io"])
def test_containerd_knows_containers_that_no_kubelet_started_and_believes_none_of_their_labels(
    containerd: Containerd, namespace: str
) -> None:
    container_id = namespace.encode().hex().ljust(64, "0")
    with containerd.container(namespace, IMAGE, container_id):
        assert FORGED["nerdctl/name"] in containerd.ctr(namespace, "containers", "info", container_id)
        described = _described(f"containerd:{containerd.socket}", container_id)
    (digest,) = described["container"]["image"].pop("hash")["all"]
    assert digest.startswith("sha256:")
    assert described == {
        "container": {"id": container_id, "runtime": "containerd", "image": {"name": NAME, "tag": ["1.2"]}}
    }


def test_containerd_does_not_know_what_is_not_there(containerd: Containerd) -> None:
    assert _described(f"containerd:{containerd.socket}", NOBODYS) is None


def test_processes_of_containerds_containers_are_in_them(containerd: Containerd, pod: Pod) -> None:
    assert _containers_of(containerd.pid("default", WITH_CTR)) == {Container(WITH_CTR, "containerd")}
    for container_id in pod:
        assert _containers_of(containerd.pid("k8s.io", container_id)) == {Container(container_id, "")}


# As the agent asks: without privilege but for the socket's group, and with nothing left to import.

PROGRAM_OF_THE_AGENT = """
import json, os, sys
from pathlib import Path
import anyio
from pipeline.counters import Counters
from pipeline.sources.containers import Lookups, access, open_runtime, socket_of
from pipeline.sources.ebpf import privileges

class Forbid:
    def find_spec(self, name, path=None, target=None):
        print("LATE IMPORT", name, file=sys.stderr, flush=True)
        raise ImportError(name)

async def main(spec, container_ids):
    counters = Counters()
    lookups = Lookups(open_runtime(spec), counters)
    identity = privileges.drop("an-account-that-is-nobodys", access.groups_of(socket_of(spec)))
    sys.meta_path[:] = [Forbid()]
    for container_id in container_ids:
        lookups.want(container_id)
    answers = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lookups.run)
        with anyio.move_on_after(60):
            while len(answers) < len(container_ids):
                answers += lookups.take()
                await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    await lookups.aclose()
    return {
        "uid": os.getuid(), "groups": os.getgroups(), "answers": answers, "failed": counters.container_lookups_failed,
    }

for module in ("concurrent.futures.thread", "encodings.idna", "stringprep", "traceback"):
    __import__(module)  # as pipeline/commands/engine.py does
told = anyio.run(main, sys.argv[1], sys.argv[2:])
os.write(1, json.dumps(told).encode())
"""


def _asked_without_privilege(spec: str, *container_ids: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM_OF_THE_AGENT, spec, *container_ids],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    assert "LATE IMPORT" not in done.stderr
    told = json.loads(done.stdout)
    assert told["uid"] != 0
    assert told["groups"] == [GROUP]
    assert told["failed"] == {}
    return {container_id: described["container"].get("name") for container_id, described in told["answers"]}


def test_an_agent_without_privilege_asks_docker(engine: Engine, web: str) -> None:
    assert _asked_without_privilege(f"docker:{engine.socket}", web) == {web: "web"}


def test_an_agent_without_privilege_asks_containerd(containerd: Containerd, pod: Pod) -> None:
    told = _asked_without_privilege(f"containerd:{containerd.socket}", pod.container_id, WITH_CTR)
    assert told == {pod.container_id: "server", WITH_CTR: None}


def test_an_agent_without_privilege_asks_over_cri(containerd: Containerd, pod: Pod) -> None:
    told = _asked_without_privilege(f"cri:{containerd.socket}", pod.container_id, pod.sandbox_id)
    assert told == {pod.container_id: "server", pod.sandbox_id: None}
