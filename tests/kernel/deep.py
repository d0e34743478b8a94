"""Paths exactly as long or as deep as a test wants, and the bounds that the programs alone know."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pipeline.sources.ebpf import launch

NAME_MAX = 255


def bound(name: str) -> int:
    """A number that is defined in bpf/ and not part of the wire."""
    (found,) = re.findall(rf"^#define {name} (\d+)", launch.source(), flags=re.MULTILINE)
    return int(found)


def names_of(length: int) -> list[str]:
    """Names of directories which together, each with its slash, have so many bytes."""
    count = -(-length // (NAME_MAX + 1))
    each, more = divmod(length - count, count)
    return ["d" * (each + (number < more)) for number in range(count)]


def steps_to(path: Path) -> int:
    """How many steps the kernel's walk makes from there to the root: components and mount points."""
    return len(path.parts) - 1 + sum(map(os.path.ismount, [path, *path.parents][:-1]))


def without_first(path: str) -> str:
    """As it is told where there was no room, or no step, for just one component more."""
    return "…" + path[path.index("/", 1) :]
