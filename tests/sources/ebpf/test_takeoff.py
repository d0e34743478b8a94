"""The probes are off at once, and nobody waits for the kernel to clear them away."""

from __future__ import annotations

import ctypes
import os
import platform
import select
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.sources.ebpf import takeoff

PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
SOFTWARE_TASK_CLOCK = struct.pack("<IIQ", 1, 112, 1) + bytes(96)  # struct perf_event_attr: type, size, config
DEADLINE_MS = 20_000


def _counting() -> int:
    """A perf event that counts this thread's time."""
    descriptor = ctypes.CDLL(None, use_errno=True).syscall(
        PERF_EVENT_OPEN[platform.machine()], SOFTWARE_TASK_CLOCK, 0, -1, -1, 8
    )
    assert descriptor >= 0, os.strerror(ctypes.get_errno())
    return int(descriptor)


def _count(descriptor: int) -> int:
    return int.from_bytes(os.read(descriptor, 8), "little")


def _children() -> set[int]:
    """Of this process, ended ones that nobody has waited for included."""
    stats = {int(path.parent.name): path for path in Path("/proc").glob("[0-9]*/stat")}
    found = set()
    for pid, path in stats.items():
        with suppress(FileNotFoundError, ProcessLookupError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(pid)
    return found


@pytest.mark.kernel
def test_a_perf_event_is_off_though_it_is_still_open() -> None:
    event = _counting()
    assert _count(event) < _count(event)
    takeoff.take_off([], [event])
    assert _count(event) == _count(event)
    os.close(event)


def test_links_are_closed() -> None:
    reader, writer = os.pipe()
    links = [writer]
    takeoff.take_off(links, [])
    assert (links, os.read(reader, 1)) == ([], b"")
    os.close(reader)


def test_what_is_closed_elsewhere_is_closed_here_at_once_and_there_soon() -> None:
    reader, writer = os.pipe()
    calls = [writer]
    takeoff.close_elsewhere(calls)
    assert calls == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)
    assert select.select([reader], [], [], DEADLINE_MS / 1000)[0] == [reader]
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_nobody_has_to_wait_for_who_closes() -> None:
    before = _children()
    reader, writer = os.pipe()
    takeoff.close_elsewhere([writer])
    takeoff.close_elsewhere([])
    assert _children() == before
    os.close(reader)
