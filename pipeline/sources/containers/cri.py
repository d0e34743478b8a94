"""Kubernetes' container runtime interface, version 1: containerd's CRI plugin and CRI-O.

Pod, namespace and uid are those that the kubelet gave with the sandbox: no label, and so no image, has a say in them.
The sandbox's own container (``pause``) is told by its pod alone. Ids are compared whole: the filters take beginnings.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.sources.containers.base import Facts
from pipeline.sources.containers.calls import Calls
from pipeline.sources.containers.facts import Pod, facts
from pipeline.sources.containers.messages import cri_pb2 as messages

_SERVICE = "/runtime.v1.RuntimeService/"


class Cri:
    def __init__(self, socket: Path) -> None:
        self._calls = Calls(socket)
        self._name: str | None = None

    def __repr__(self) -> str:
        return f"<Cri {self._calls!r}>"

    async def describe(self, container_id: str) -> Facts | None:
        listed = await self._calls.call(
            _SERVICE + "ListContainers",
            messages.ListContainersRequest(filter=messages.ContainerFilter(id=container_id)),
            messages.ListContainersResponse,
        )
        for container in listed.containers if listed else ():
            if container.id == container_id:
                return await self._described(container)
        pod = await self._pod(container_id)
        return facts(container_id, await self._runtime_name(), pod=pod) if pod is not None else None

    async def aclose(self) -> None:
        self._calls.close()

    async def _described(self, container: messages.Container) -> Facts:
        """The list has the image as the kubelet asked for it, a digest as a rule; the status has its name."""
        answer = await self._calls.call(
            _SERVICE + "ContainerStatus",
            messages.ContainerStatusRequest(container_id=container.id),
            messages.ContainerStatusResponse,
        )
        status = answer.status if answer is not None else messages.ContainerStatus()
        return facts(
            container.id,
            await self._runtime_name(),
            name=container.metadata.name,
            image=status.image.image,
            digests=[status.image_ref],
            pod=await self._pod(container.pod_sandbox_id),
        )

    async def _pod(self, sandbox_id: str) -> Pod | None:
        if not sandbox_id:  # an empty filter would list them all
            return None
        listed = await self._calls.call(
            _SERVICE + "ListPodSandbox",
            messages.ListPodSandboxRequest(filter=messages.PodSandboxFilter(id=sandbox_id)),
            messages.ListPodSandboxResponse,
        )
        for sandbox in listed.items if listed else ():
            if sandbox.id == sandbox_id:
                return Pod(sandbox.metadata.name, sandbox.metadata.namespace, sandbox.metadata.uid)
        return None

    async def _runtime_name(self) -> str:
        """containerd, cri-o: what ECS has as container.runtime."""
        if self._name is None:
            answer = await self._calls.call(_SERVICE + "Version", messages.VersionRequest(), messages.VersionResponse)
            self._name = answer.runtime_name if answer is not None else ""
        return self._name
