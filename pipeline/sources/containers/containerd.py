"""containerd's own API: what is running in any of its namespaces, whoever started it.

It keeps no names. Who starts containers writes them into labels, and so may the author of an image: labels of those
that ``ctr`` and nerdctl start are not believed. The CRI plugin's containers are told by an extension, which no image
can bring; their labels are the kubelet's, which writes the same ones over an image's. Better ask ``cri`` about pods.
"""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.sources.containers.base import Facts
from pipeline.sources.containers.calls import Calls
from pipeline.sources.containers.facts import Pod, facts
from pipeline.sources.containers.messages import containerd_pb2 as messages

NAMESPACES_MAX = 64
DOCKER = "moby"  # its namespace
_OF_CRI = ("io.cri-containerd.container.metadata", "io.cri-containerd.sandbox.metadata")
_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,75}")  # containerd's identifiers; goes into a header


class Containerd:
    def __init__(self, socket: Path) -> None:
        self._calls = Calls(socket)

    def __repr__(self) -> str:
        return f"<Containerd {self._calls!r}>"

    async def describe(self, container_id: str) -> Facts | None:
        listed = await self._calls.call(
            "/containerd.services.namespaces.v1.Namespaces/List",
            messages.ListNamespacesRequest(),
            messages.ListNamespacesResponse,
        )
        names = [namespace.name for namespace in listed.namespaces[:NAMESPACES_MAX]] if listed else []
        for name in filter(_NAMESPACE.fullmatch, names):
            found = await self._calls.call(
                "/containerd.services.containers.v1.Containers/Get",
                messages.GetContainerRequest(id=container_id),
                messages.GetContainerResponse,
                {"containerd-namespace": name},
            )
            if found is not None and found.container.id == container_id:
                return await self._described(name, found.container)
        return None

    async def aclose(self) -> None:
        self._calls.close()

    async def _described(self, namespace: str, container: messages.Container) -> Facts:
        if namespace == DOCKER:
            return facts(container.id, "docker")  # the rest only Docker knows
        name, pod = "", None
        if any(extension in container.extensions for extension in _OF_CRI):
            labels = container.labels
            name = labels.get("io.kubernetes.container.name", "")
            pod = Pod(*(labels.get(f"io.kubernetes.pod.{part}", "") for part in ("name", "namespace", "uid")))
        digest = await self._digest(namespace, container.image) if container.image else ""
        return facts(container.id, "containerd", name=name, image=container.image, digests=[digest], pod=pod)

    async def _digest(self, namespace: str, image: str) -> str:
        found = await self._calls.call(
            "/containerd.services.images.v1.Images/Get",
            messages.GetImageRequest(name=image),
            messages.GetImageResponse,
            {"containerd-namespace": namespace},
        )
        return found.image.target.digest if found is not None else ""
