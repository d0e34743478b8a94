"""Which container a process is in, told by the path of its cgroup alone: no file is read, nobody is asked.

Rules of this file:
- one path is enough, of any hierarchy of version 1 or of the unified one, as the kernel or as /proc/PID/cgroup has it;
- the outermost container is the answer. Its id is the one that a runtime of this host gave; what runs inside (Docker
  in Docker, a Kubernetes node in a container) has ids that only the runtime in there knows. And a container that may
  make cgroups of its own can name them as it likes: the outermost is the one that it cannot choose;
- what lies below a container's cgroup belongs to it, but for a supervisor's: that is a process of the host;
- an id is exactly what the runtimes make. No shorter, longer or capital one is guessed to be one;
- a user may make any name below his own ``user@UID.service``: there the answer is what that user says.

Names as made by runc's and crun's cgroup drivers, containerd, dockerd, CRI-O, libpod (``OCICgroupPath``), systemd
(``machined``, ``nspawn-cgroup``), LXC (``cgfsng``), and Amazon's container agent.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_ID = "[0-9a-f]{64}"

_SCOPE = re.compile(rf"(docker|cri-containerd|nerdctl|crio|libpod)-({_ID})\.scope")
"""The systemd driver's: a prefix that the engine chose, and the id."""

_FOLDER = re.compile(rf"(crio|libpod|libpod-payload)-({_ID})")
"""The cgroupfs driver's, with a prefix; ``libpod-payload`` where Podman splits the cgroup of a service."""

_COLONS = re.compile(rf"[^:]*\.slice:(docker|containerd|cri-containerd|nerdctl|crio|libpod):({_ID})")
"""A name meant for the systemd driver (slice:prefix:id) that the cgroupfs driver took literally."""

_BARE = re.compile(_ID)
"""The cgroupfs driver's, without one: the folder above may tell whose."""

_TASK = re.compile(r"([0-9a-f]{32})-[0-9]{1,20}")
"""Fargate's: a task's id and a number, in a folder of the task's id."""

_UNIT = re.compile(r"systemd-nspawn@([^/]+)\.service|machine-([^/]+)\.scope")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")
_MACHINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # machined takes host names
_VIRTUAL = re.compile(r"qemu-.*|(?:xen|libxl|ch|bhyve|vbox|vz)-[0-9]+-.*")  # libvirt: DRIVER-NUMBER-NAME
_LIBVIRT_LXC = re.compile(r"lxc-[0-9]+-.*")
_LXC = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")

_RUNTIMES = {
    "docker": "docker",
    "containerd": "containerd",
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
    "libpod": "podman",
    "libpod-payload": "podman",
}
_RUNTIMES_BY_PARENT = {
    "docker": "docker",
    "k8s.io": "containerd",  # containerd's namespaces
    "moby": "containerd",
    "default": "containerd",
}
_NEVER_BELOW = frozenset({"kata_overhead"})  # a virtual machine's monitor and its helpers, on the host
_SUPERVISOR = "supervisor"
_GONE = " (deleted)"  # added by /proc to the path of a cgroup that was removed under a process that ended


class Container(NamedTuple):
    id: str
    """What the runtime calls it: 64 hex digits as a rule; a name for systemd-nspawn and LXC."""
    runtime: str
    """ECS container.runtime: docker, containerd, cri-o, podman, systemd-nspawn, lxc; "" when the path does not tell."""


def container_of(cgroup_path: str) -> Container | None:
    """The outermost container that this cgroup belongs to; None on the host. Never raises. Keeps nothing: cache it."""
    components = cgroup_path.removesuffix(_GONE).split("/")
    parent = ""
    for number, component in enumerate(components, 1):
        found = _container(component, parent)
        if found is not None:
            below = components[number] if number < len(components) else ""
            return None if found.runtime == "systemd-nspawn" and below == _SUPERVISOR else found
        parent = component
    return None


def _container(component: str, parent: str) -> Container | None:
    """What one folder is, in the one above it."""
    if _BARE.fullmatch(component):
        return None if parent in _NEVER_BELOW else Container(component, _RUNTIMES_BY_PARENT.get(parent, ""))
    prefixed = _SCOPE.fullmatch(component) or _FOLDER.fullmatch(component) or _COLONS.fullmatch(component)
    if prefixed:
        return Container(prefixed[2], _RUNTIMES[prefixed[1]])
    if unit := _UNIT.fullmatch(component):
        return _machine(unit[1] or unit[2])
    if parent in ("lxc", "lxc.payload") and _LXC.fullmatch(component):
        return Container(component, "lxc")
    if component.startswith("lxc.payload.") and _LXC.fullmatch(component[12:]):
        return Container(component[12:], "lxc")
    if (task := _TASK.fullmatch(component)) and task[1] == parent:
        return Container(component, "")
    return None


def _machine(escaped: str) -> Container | None:
    """A machine by the name of its unit. One of systemd-vmspawn's own scopes looks like a container's."""
    name = _ESCAPED.sub(lambda code: chr(int(code[1], 16)), escaped)
    if not _MACHINE.fullmatch(name) or _VIRTUAL.fullmatch(name):
        return None
    return Container(name, "" if _LIBVIRT_LXC.fullmatch(name) else "systemd-nspawn")
