"""What only /proc tells of a process older than the source: its argv, and its cgroups in every hierarchy.

Rules of this file:
- no privilege is needed or used;
- a process is held by a descriptor of its folder while it is read, and recognised by its start: a pid that was used
  again gives nothing, never another process's arguments.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline import wire

PROC = Path("/proc")
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
# Fields of stat, counted from the one after the name, which may hold blanks and brackets.
_FLAGS_FIELD, _START_FIELD = 9 - 3, 22 - 3
_IS_ENDING = 0x4  # PF_EXITING, include/linux/sched.h
_INITIAL_CGROUP_NS = 0xEFFFFFFB  # PROC_CGROUP_INIT_INO, include/linux/proc_ns.h
_CHUNK_BYTES = 1 << 16
_CGROUPS_BYTES_MAX = 1 << 18  # more than 60 hierarchies with paths as long as the kernel shows them, a page
GONE = (FileNotFoundError, ProcessLookupError, PermissionError)
"""Permission: /proc is mounted with hidepid, and the process is not ours. Its name is then made of comm."""

Cgroups = tuple[tuple[int, str], ...]
"""Hierarchy (0: the unified one) and path in it, as this process sees it."""


class Details(NamedTuple):
    """``raw`` as the kernel gives argv, at most LINEAGE_ARGS_MAX bytes; ``total`` bytes before that cut.

    ``cgroups``: None where the kernel tells none. ``ending``: its main thread has ended, or is about to. Of version 1
    the kernel then shows the root of each hierarchy, wherever it was.
    """

    raw: bytes
    total: int
    cgroups: Cgroups | None
    ending: bool = False


def _read(folder: int, name: str, bytes_max: int = wire.ARGS_MAX) -> tuple[bytes, int]:
    """The first ``bytes_max`` bytes, and how many there are."""
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        kept = os.read(descriptor, _CHUNK_BYTES)
        total = len(kept)
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            kept = (kept + chunk)[:bytes_max]
            total += len(chunk)
        return kept[:bytes_max], total
    finally:
        os.close(descriptor)


def details(pid: int, start_ns: int, proc: Path = PROC) -> Details | None:
    """argv and cgroups of the process with that pid and that start; None where it is gone.

    A program may write a title over its argv and leave the rest NUL; those at the end are no arguments and are left
    out. ``start_ns`` is compared in clock ticks, which is what /proc shows of it.
    """
    try:
        folder = os.open(proc / str(pid), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except GONE:
        return None
    try:
        raw, total = _read(folder, "cmdline")
        cgroups = _cgroups(folder)
        stat, _ = _read(folder, "stat")  # last, for what it says of an end is true of all that was read before
        fields = stat.rpartition(b")")[2].split()
        if int(fields[_START_FIELD]) != start_ns // _TICK_NS:
            return None
    except GONE:
        return None
    finally:
        os.close(folder)
    if total <= wire.ARGS_MAX:
        raw = raw.rstrip(b"\0") + b"\0" if raw else raw
        total = len(raw)
    return Details(raw, total, cgroups, int(fields[_FLAGS_FIELD]) & _IS_ENDING != 0)


def sees_cgroup_roots() -> bool:
    """Whether the root that this process is shown of each hierarchy of cgroups is the hierarchy's own."""
    return os.stat("/proc/self/ns/cgroup").st_ino == _INITIAL_CGROUP_NS


def _cgroups(folder: int) -> Cgroups | None:
    """None: one has a path longer than a page. Newer kernels cut it, older ones show none of them then."""
    try:
        listed, _ = _read(folder, "cgroup", _CGROUPS_BYTES_MAX)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return None
    return tuple(_lines(listed))


def _lines(listed: bytes) -> Iterator[tuple[int, str]]:
    """Lines of /proc/PID/cgroup, ``hierarchy:controllers:path``.

    Whoever may make a cgroup names it as he likes, with anything but a newline in it: what else ``str.splitlines``
    takes for the end of a line would let him end one, and write the next.
    """
    for line in listed.split(b"\n"):
        hierarchy, _, rest = line.partition(b":")
        path = rest.partition(b":")[2].decode("utf-8", "replace")
        if hierarchy.isdigit() and path.startswith("/"):
            yield int(hierarchy), path
