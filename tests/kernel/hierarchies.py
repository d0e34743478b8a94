"""Cgroup hierarchies as this machine has them, and two that every machine can have; folders in them that go again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

NAMED = "lineage-test"


class Hierarchy(NamedTuple):
    number: int  # as in /proc/PID/cgroup; 0: the unified one
    folder: Path


def existing() -> list[Hierarchy]:
    """Those of version 1 that are mounted whole."""
    numbers = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, _ = line.split(":", 2)
        numbers[frozenset(controllers.split(","))] = int(number)
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, target = before.split()[3:5]
        kind, _, options = after.split()
        if kind == "cgroup" and root == "/":
            held = set(options.split(","))
            found += [Hierarchy(number, Path(target)) for controllers, number in numbers.items() if controllers <= held]
    return found


@contextmanager
def mounted(target: Path, version: int) -> Iterator[Hierarchy]:
    """The unified hierarchy, or one of version 1 that has no controller and ends with the mount."""
    target.mkdir()
    kind = ["cgroup2", "cgroup2"] if version == 2 else ["cgroup", "-o", f"none,name={NAMED}", "cgroup"]
    subprocess.run(["mount", "-t", *kind, target], check=True)
    try:
        number = 0
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.split(":")[1] == f"name={NAMED}" and version == 1:
                number = int(line.split(":")[0])
        yield Hierarchy(number, target)
    finally:
        subprocess.run(["umount", target], check=True)


@contextmanager
def made(top: Path) -> Iterator[Path]:
    """A cgroup of that folder; with all below it it goes at the end, and who is still in it goes to the one above."""
    top.mkdir()
    try:
        for name in ("cpuset.cpus", "cpuset.mems"):  # version 1: who is to be in it needs some
            if (top / name).exists():
                (top / name).write_text((top.parent / name).read_text())
        yield top
    finally:
        for folder, _, _ in os.walk(top, topdown=False):
            for pid in Path(folder, "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    put(int(pid), top.parent)
            os.rmdir(folder)


def put(pid: int, cgroup: Path) -> None:
    """Move a process into a cgroup."""
    (cgroup / "cgroup.procs").write_text(str(pid))
