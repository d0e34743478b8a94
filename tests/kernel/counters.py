"""What the kernel has counted of another process's probes, by descriptors of our own: that process is not asked."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
from pathlib import Path

from pipeline import wire

SYS_PIDFD_GETFD = 438
MAP_TYPE_ARRAY = 2


class KernelCounters:
    """Of a source that runs; they can still be read when it has ended."""

    def __init__(self, pid: int) -> None:
        self._programs: list[int] = []
        maps: dict[int, int] = {}
        owner = os.pidfd_open(pid)
        for shown in Path(f"/proc/{pid}/fdinfo").iterdir():
            info = dict(line.split(":", 1) for line in shown.read_text().splitlines() if ":" in line)
            if "prog_type" in info:
                self._programs.append(_copied(owner, int(shown.name)))
            elif int(info.get("map_type", 0)) == MAP_TYPE_ARRAY and int(info["max_entries"]) == wire.LOSS_KINDS:
                maps[int(info["map_id"])] = int(shown.name)
        (lost,) = maps.values()
        descriptor = _copied(owner, lost)
        self._lost = mmap.mmap(descriptor, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ)
        os.close(descriptor)
        os.close(owner)

    def lost(self) -> dict[int, int]:
        """Records that the ring had no room for, by kind."""
        return {
            kind: count for kind, count in enumerate(memoryview(self._lost[: 8 * wire.LOSS_KINDS]).cast("Q")) if count
        }

    def skipped(self) -> int:
        """Runs of a program that were left out, because it was running on that processor already."""
        texts = (Path(f"/proc/self/fdinfo/{program}").read_text() for program in self._programs)
        return sum(int(count) for text in texts for count in re.findall(r"^recursion_misses:\s*(\d+)", text, re.M))

    def close(self) -> None:
        self._lost.close()
        while self._programs:
            os.close(self._programs.pop())


def _copied(owner: int, descriptor: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    copy = libc.syscall(SYS_PIDFD_GETFD, owner, descriptor, 0)
    if copy < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(copy)
