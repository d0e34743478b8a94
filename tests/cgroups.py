"""Cgroups that tests make, and that go with them, in every hierarchy of this host."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

OWN = "lineage-test"
"""Everything lies below a cgroup of this name."""


def hierarchies() -> list[Path]:
    """Where cgroups are mounted, of both versions; a controller that is mounted twice counts twice."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [Path(mount[4]) for mount in mounts if mount[mount.index("-") + 1] in ("cgroup", "cgroup2")]


def remove(name: str) -> None:
    """The cgroup below OWN with all in it, from every hierarchy; no process may be there any more."""
    for root in hierarchies():
        for folder, _, _ in os.walk(root / OWN / name, topdown=False):
            os.rmdir(folder)
        with suppress(OSError):  # there is none, or another test has something in it
            (root / OWN).rmdir()
