"""What the host's container runtime knows of a container by its id: name, image, pod. Asked over one configured socket.

Call ``open_runtime`` and ``access.groups_of`` as root: they import what is needed and say which group must be kept.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UsageError
from pipeline.sources.containers.base import Runtime
from pipeline.sources.containers.lookups import Lookups

__all__ = ["Lookups", "Runtime", "open_runtime", "socket_of"]


def socket_of(spec: str) -> Path:
    """The socket in a ``container_runtime`` of the configuration."""
    return Path(spec.partition(":")[2])


def open_runtime(spec: str) -> Runtime:
    """The runtime that ``KIND:SOCKET`` names, with all it will ever import; not yet connected. Raises UsageError."""
    kind = spec.partition(":")[0]
    if kind == "docker":
        from pipeline.sources.containers.docker import Docker

        return Docker(socket_of(spec))
    if kind == "containerd":
        from pipeline.sources.containers.containerd import Containerd

        return Containerd(socket_of(spec))
    if kind == "cri":
        from pipeline.sources.containers.cri import Cri

        return Cri(socket_of(spec))
    raise UsageError(f"there is no container runtime {spec!r}", "use docker:SOCKET, containerd:SOCKET or cri:SOCKET")
