"""Every macro that bpf/ is compiled with, without its LINEAGE_ prefix: offsets, sizes, filters."""

from __future__ import annotations

import mmap
import os

from pipeline.config import Config
from pipeline.sources.ebpf import filters, offsets
from pipeline.sources.ebpf.syscall import SNAPSHOT_CALL

RECORD_BYTES = 1024  # more than nearly every record
WAKE_EVERY_MAX = 64
CALLS_MAX = 4096
"""System calls under way whose arguments are kept; the longest unused goes: a later record tells its change."""


def macros(config: Config) -> dict[str, str | int]:
    """For programs that the calling process is going to read. Raises ``HostError``, ``ConfigError``."""
    return offsets.offsets() | sizes(config.ring_bytes) | filters.macros(config, os.getpid())


def sizes(ring_bytes: int, cpus: int | None = None) -> dict[str, str | int]:
    pages = max(1, ring_bytes // mmap.PAGESIZE)
    cpus = cpus or os.cpu_count() or 1
    # All processors together may keep an eighth of the ring from the reader before they wake it.
    unnoticed = min(WAKE_EVERY_MAX, max(1, pages * mmap.PAGESIZE // (8 * RECORD_BYTES * cpus)))
    return {
        "RING_PAGES": pages,
        "WAKE_EVERY": 1 << unnoticed.bit_length() - 1,
        "PAGE_BYTES": mmap.PAGESIZE,
        "CALLS_MAX": CALLS_MAX,
        "AGENT_PID": os.getpid(),
        "SNAPSHOT_CALL": SNAPSHOT_CALL,
    }
