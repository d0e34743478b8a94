"""What every document says about its host, and the names of its users and groups; read once, before privileges go.

Rules of this file:
- the shape is ECS's: {"host": {...}, "agent": {...}}; a fact that this host does not have is left out, not made up;
- ids are stable: host.id is the machine's, agent.id follows from it, so that a restart is the same agent;
- a line ends with a newline and nothing else: names of interfaces may have in them what ``str.splitlines`` splits at.
"""

from __future__ import annotations

import grp
import ipaddress
import os
import platform
import pwd
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pipeline
from pipeline import wire
from pipeline.errors import HostError
from pipeline.events import Account, HostFacts, Stamp

INITIAL_PID_NS = 0xEFFFFFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h
_FAMILIES = {
    "debian": "debian",
    "ubuntu": "debian",
    "rhel": "redhat",
    "fedora": "redhat",
    "centos": "redhat",
    "suse": "suse",
}


def _text(path: Path) -> str:
    """The file's text without blanks around; empty where it does not exist or may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def boot_id(root: Path = Path("/")) -> bytes:
    """16 bytes. Raises ``HostError`` without a usable /proc."""
    text = _text(root / "proc/sys/kernel/random/boot_id")
    try:
        return uuid.UUID(text).bytes
    except ValueError as error:
        raise HostError("/proc/sys/kernel/random/boot_id cannot be read", "mount /proc") from error


def require_initial_pid_namespace() -> None:
    """The kernel counts pids as the host does; from another pid namespace /proc would be about other processes."""
    if os.stat("/proc/self/ns/pid").st_ino != INITIAL_PID_NS:
        raise HostError("this is not the host's pid namespace", "in a container, use the host's: docker run --pid=host")


def _host_id(root: Path, boot: bytes) -> str:
    for path in ("etc/machine-id", "var/lib/dbus/machine-id"):
        text = _text(root / path)
        if len(text) == 32:
            return text
    product = _text(root / "sys/class/dmi/id/product_uuid")
    return product.replace("-", "").lower() or boot.hex()


def _os_release(root: Path) -> dict[str, str]:
    text = _text(root / "etc/os-release") or _text(root / "usr/lib/os-release")
    pairs = (line.partition("=") for line in text.split("\n") if not line.startswith("#"))
    return {key: value.strip("\"'") for key, equals, value in pairs if equals}


def _os(root: Path) -> dict[str, str]:
    release = _os_release(root)
    name = release.get("ID", "linux")
    likes = (name, *release.get("ID_LIKE", "").split())
    facts = {
        "type": "linux",
        "platform": name,
        "family": next((_FAMILIES[like] for like in likes if like in _FAMILIES), name),
        "name": release.get("NAME", "Linux"),
        "version": release.get("VERSION_ID", ""),
        "full": release.get("PRETTY_NAME", ""),
        "kernel": platform.release(),
    }
    return {key: value for key, value in facts.items() if value}


def addresses(root: Path = Path("/")) -> list[str]:
    """The host's own addresses but for loopback, IPv4 from the routing trie and IPv6, sorted."""
    found: set[ipaddress.IPv4Address | ipaddress.IPv6Address] = set()
    last = ""
    for line in _text(root / "proc/net/fib_trie").split("\n"):
        if "|--" in line:
            last = line.split()[-1]
        elif "/32 host LOCAL" in line:
            found.add(ipaddress.IPv4Address(last))
    for line in filter(None, _text(root / "proc/net/if_inet6").split("\n")):
        found.add(ipaddress.IPv6Address(bytes.fromhex(line.split()[0])))
    usable = (address for address in found if not address.is_loopback)
    return [str(address) for address in sorted(usable, key=lambda address: (address.version, int(address)))]


def hardware_addresses(root: Path = Path("/")) -> list[str]:
    """As ECS writes them (RFC 7042: upper case, hyphens), sorted, without those that are all zero."""
    folder = root / "sys/class/net"
    if not folder.is_dir():
        return []
    found = {_text(interface / "address") for interface in folder.iterdir()}
    return sorted(mac.replace(":", "-").upper() for mac in found if len(mac) == 17 and mac.strip("0:"))


def facts(root: Path = Path("/")) -> dict[str, Any]:
    """host.* and agent.* as documents carry them."""
    boot = boot_id(root)
    hostname = platform.node()
    host_id = _host_id(root, boot)
    host: dict[str, Any] = {
        "name": hostname.lower(),
        "hostname": hostname,
        "id": host_id,
        "boot": {"id": str(uuid.UUID(bytes=boot))},
        "pid_ns_ino": str(INITIAL_PID_NS),
        "architecture": platform.machine(),
        "os": _os(root),
        "ip": addresses(root),
        "mac": hardware_addresses(root),
    }
    agent = {
        "type": "lineage",
        "version": pipeline.__version__,
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"lineage:{host_id}")),
        "name": hostname.lower(),
        "ephemeral_id": str(uuid.uuid4()),
    }
    described: dict[str, Any] = {"host": {key: value for key, value in host.items() if value}, "agent": agent}
    bounding = _bounding(root)
    return described if bounding is None else described | {"init": {"cap_bounding": bounding}}


def _bounding(root: Path) -> int | None:
    """pid 1's bounding set: what is usual on this host, so that documents need not repeat it."""
    match = re.search(r"^CapBnd:\s*([0-9a-f]+)$", _text(root / "proc/1/status"), flags=re.MULTILINE)
    return int(match[1], 16) if match else None


def host_record(stamp: Stamp, clock_offset_ns: int) -> HostFacts:
    return HostFacts(stamp, boot_id(), clock_offset_ns, INITIAL_PID_NS, facts())


def accounts(stamp: Stamp) -> Iterator[Account]:
    """Users, then groups, numbered on from ``stamp``. Of several names of one number the first wins."""
    sequence = stamp.sequence
    users = [(False, user.pw_uid, user.pw_name) for user in pwd.getpwall()]
    groups = [(True, group.gr_gid, group.gr_name) for group in grp.getgrall()]
    seen: set[tuple[bool, int]] = set()
    for is_group, number, name in users + groups:
        if (is_group, number) not in seen:
            seen.add((is_group, number))
            text = os.fsencode(name).decode("utf-8", "replace")
            yield Account(Stamp(stamp.time_ns, stamp.cpu, sequence, wire.ACCOUNT), is_group, number, text)
            sequence += 1
