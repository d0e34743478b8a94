"""A containerd of the tests' own, with its CRI plugin and pods in it, and no kubelet and no network.

The rules are those of engine.py: nothing of another one is asked or changed, and all of it lies in one folder. Pods use
the host's network, since without a plugin for it there is no other.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from google.protobuf.message import Message

from pipeline.errors import ContainerRuntimeError
from pipeline.sources.containers.calls import Calls
from tests import cgroups
from tests.stack.engine import EngineError, unmount_below
from tests.stack.messages import pods_pb2 as messages

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 120.0
SANDBOX_IMAGE = "localhost/pause:test"
CONFIGURATION = """
version = 2
root = "{folder}/root"
state = "{folder}/state"

[grpc]
  address = "{folder}/containerd.sock"
  gid = {group}

[ttrpc]
  address = "{folder}/ttrpc.sock"

[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  disable_apparmor = true
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
"""

_NODE = 2  # NamespaceMode NODE: the host's
_SERVICE = "/runtime.v1.RuntimeService/"
Answer = TypeVar("Answer", bound=Message)


class Pod(NamedTuple):
    sandbox_id: str
    container_id: str


class Containerd:
    def __init__(self, folder: Path) -> None:
        self.socket = folder / "containerd.sock"
        self._folder = folder

    def ctr(self, namespace: str, *arguments: str) -> str:
        """Standard output of a ``ctr`` command. Raises EngineError when it fails."""
        command = ["ctr", "--address", str(self.socket), "--namespace", namespace, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise EngineError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def load(self, namespace: str, archive: Path) -> None:
        self.ctr(namespace, "images", "import", "--snapshotter", "native", str(archive))

    @contextmanager
    def container(self, namespace: str, image: str, container_id: str) -> Iterator[str]:
        """One that runs as long as the context."""
        self.ctr(namespace, "run", "--snapshotter", "native", "--detach", image, container_id)
        try:
            yield container_id
        finally:
            self.ctr(namespace, "tasks", "delete", "--force", container_id)
            self.ctr(namespace, "containers", "delete", container_id)

    def pid(self, namespace: str, container_id: str) -> int:
        rows = [line.split() for line in self.ctr(namespace, "tasks", "list").splitlines()]
        return next(int(row[1]) for row in rows if row[0] == container_id)

    @contextmanager
    def pod(self, image: str, name: str, pod_namespace: str, uid: str) -> Iterator[Pod]:
        """A pod of one container, as a kubelet starts one, labels included."""
        labels = {
            "io.kubernetes.pod.name": name,
            "io.kubernetes.pod.namespace": pod_namespace,
            "io.kubernetes.pod.uid": uid,
        }
        host = messages.NamespaceOption(network=_NODE)
        sandbox = messages.PodSandboxConfig(
            metadata=messages.PodSandboxMetadata(name=name, uid=uid, namespace=pod_namespace),
            log_directory=str(self._folder / "logs"),
            labels=labels,
            linux=messages.LinuxPodSandboxConfig(
                cgroup_parent=f"/{cgroups.OWN}/{self._folder.name}/kubepods/burstable/pod{uid}",
                security_context=messages.LinuxSandboxSecurityContext(namespace_options=host),
            ),
        )
        self._wait_for_image(image)
        self._wait_for_image(SANDBOX_IMAGE)
        sandbox_id = self._cri(
            "RunPodSandbox", messages.RunPodSandboxRequest(config=sandbox), messages.RunPodSandboxResponse
        ).pod_sandbox_id
        try:
            yield Pod(sandbox_id, self._start(sandbox_id, sandbox, image, labels))
        finally:
            stop = messages.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
            self._cri("StopPodSandbox", stop, messages.StopPodSandboxResponse)
            remove = messages.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
            self._cri("RemovePodSandbox", remove, messages.RemovePodSandboxResponse)
            cgroups.remove(self._folder.name)

    def _start(self, sandbox_id: str, sandbox: messages.PodSandboxConfig, image: str, labels: Mapping[str, str]) -> str:
        host = messages.NamespaceOption(network=_NODE)
        config = messages.ContainerConfig(
            metadata=messages.ContainerMetadata(name="server"),
            image=messages.ImageSpec(image=image),
            labels={**labels, "io.kubernetes.container.name": "server"},
            log_path="server.log",
            linux=messages.LinuxContainerConfig(
                security_context=messages.LinuxContainerSecurityContext(namespace_options=host)
            ),
        )
        create = messages.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox)
        container_id = self._cri("CreateContainer", create, messages.CreateContainerResponse).container_id
        start = messages.StartContainerRequest(container_id=container_id)
        self._cri("StartContainer", start, messages.StartContainerResponse)
        return container_id

    def _wait_for_image(self, image: str) -> None:
        """The CRI plugin hears of an image that was imported a moment later."""
        request = messages.ImageStatusRequest(image=messages.ImageSpec(image=image))
        deadline = time.monotonic() + START_TIMEOUT_S
        method = "/runtime.v1.ImageService/ImageStatus"
        while not self._call(method, request, messages.ImageStatusResponse).image.id:
            if time.monotonic() > deadline:
                raise EngineError(f"containerd never heard of {image}")
            time.sleep(0.1)

    def _cri(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        return self._call(_SERVICE + method, request, answer)

    def _call(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        async def call() -> Answer:
            calls = Calls(self.socket)
            try:
                answered = await asyncio.wait_for(calls.call(method, request, answer), COMMAND_TIMEOUT_S)
            except ContainerRuntimeError as error:
                raise EngineError(f"{error}: {error.__cause__}") from error
            finally:
                calls.close()
            assert answered is not None, method
            return answered

        return asyncio.run(call())


@contextmanager
def running_containerd(group: int) -> Iterator[Containerd]:
    """Start it, yield it, end it; ``group`` may use its socket. Raises EngineError with the end of its log."""
    folder = Path(tempfile.mkdtemp(prefix="lineage-containerd-"))
    folder.chmod(0o711)
    try:
        text = CONFIGURATION.format(folder=folder, group=group, image=SANDBOX_IMAGE)
        (folder / "config.toml").write_text(text)
        command = ["setpriv", "--pdeathsig", "TERM", "--", "containerd", "--config", str(folder / "config.toml")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            started = Containerd(folder)
            _wait_until_ready(process, started, folder / "log")
            yield started
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            finally:
                process.kill()
                process.wait()
    finally:
        unmount_below(folder)
        shutil.rmtree(folder)


def _wait_until_ready(process: subprocess.Popen[bytes], started: Containerd, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            started.ctr("default", "containers", "list")
            return
        except EngineError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise EngineError(f"containerd does not answer:\n{log.read_text(errors='replace')[-6000:]}") from None
        time.sleep(0.2)
