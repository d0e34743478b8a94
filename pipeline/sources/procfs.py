"""Command lines of processes older than the source, from /proc: the one thing the kernel program cannot read.

Rules of this file:
- no privilege is needed or used;
- a process is held by a descriptor of its folder while it is read, and recognised by its start: a pid that was used
  again gives nothing, never another process's arguments.
"""

from __future__ import annotations

import os
from pathlib import Path

from pipeline import wire

PROC = Path("/proc")
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_START_FIELD = 22 - 3  # of stat, counted from the field after the name, which may hold blanks and brackets
_CHUNK_BYTES = 1 << 16
GONE = (FileNotFoundError, ProcessLookupError, PermissionError)
"""Permission: /proc is mounted with hidepid, and the process is not ours. Its name is then made of comm."""


class CommandLine:
    """``raw`` as the kernel gives it, at most LINEAGE_ARGS_MAX bytes; ``total`` bytes before that cut."""

    __slots__ = ("raw", "total")

    def __init__(self, raw: bytes, total: int) -> None:
        self.raw = raw
        self.total = total


def _read(folder: int, name: str) -> tuple[bytes, int]:
    """The first LINEAGE_ARGS_MAX bytes, and how many there are."""
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        kept = os.read(descriptor, _CHUNK_BYTES)
        total = len(kept)
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            kept = (kept + chunk)[: wire.ARGS_MAX]
            total += len(chunk)
        return kept[: wire.ARGS_MAX], total
    finally:
        os.close(descriptor)


def command_line(pid: int, start_ns: int, proc: Path = PROC) -> CommandLine | None:
    """argv of the process with that pid and that start; None where it is gone.

    A program may write a title over its argv and leave the rest NUL; those at the end are no arguments and are left
    out. ``start_ns`` is compared in clock ticks, which is what /proc shows of it.
    """
    try:
        folder = os.open(proc / str(pid), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except GONE:
        return None
    try:
        stat, _ = _read(folder, "stat")
        start = int(stat.rpartition(b")")[2].split()[_START_FIELD])
        if start != start_ns // _TICK_NS:
            return None
        raw, total = _read(folder, "cmdline")
    except GONE:
        return None
    finally:
        os.close(folder)
    if total <= wire.ARGS_MAX:
        raw = raw.rstrip(b"\0") + b"\0" if raw else raw
        total = len(raw)
    return CommandLine(raw, total)
