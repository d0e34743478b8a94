"""Which machine the figures are of. Facts anybody can read; what the kernel does not tell is left out."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import __version__


def facts() -> dict[str, Any]:
    """kernel, cpu, cores, memory_mib, python, lineage, date, load: the load of the last minute before measuring."""
    told: dict[str, Any] = {"kernel": platform.release(), "machine": platform.machine()}
    if cpu := _first(Path("/proc/cpuinfo"), "model name"):
        told["cpu"] = cpu
    told["cores"] = len(os.sched_getaffinity(0))
    if memory := _first(Path("/proc/meminfo"), "MemTotal"):
        told["memory_mib"] = int(memory.split()[0]) // 1024
    return told | {
        "python": platform.python_version(),
        "lineage": __version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "load": round(os.getloadavg()[0], 2),
    }


def _first(file: Path, name: str) -> str:
    """The value of the first ``name : value`` line; "" where there is none."""
    for line in file.read_text(errors="replace").splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return ""
