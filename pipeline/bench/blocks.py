"""One block of a storm: many short rounds on a core of its own, and whether it had that core for itself.

Beside processes of others a storm gets what the scheduler leaves it, with cold caches, and not the same of it with and
without something else on the machine: with two thirds of the core taken, the clock said 0.32 for a ratio that is 1.03.
So a block says how much others had of its core, by the kernel's own account of who was idle (/proc/stat), and where
that was more than OTHERS_MAX in the typical block of either side, or not about the same of both, there is no ratio.
(Where there is a single core, the agent has a part of it by right.)
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.bench.base import cores
from pipeline.bench.paired import ratio
from pipeline.bench.programs import Program
from pipeline.view.figures import Figure

EXECS = 60  # a round, about 30 ms: shorter than most of what disturbs it
WARM = 300  # execs: after an agent's start or end, caches are somebody else's for 0.1 s
OTHERS_MAX = 0.25  # the median round is one that nobody disturbed, still
OTHERS_DIFFER_MAX = 0.05
STAT = Path("/proc/stat")
_IDLE, _IOWAIT = 4, 5  # fields of a cpuN line, in ticks (proc(5))
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Block(NamedTuple):
    """Medians of the rounds, and the fastest one, in microseconds an exec. ``others``: their share of the core."""

    wall_us: float
    cpu_us: float
    fastest_us: float
    others: float


def block(storm: Program, core: int, rounds: int) -> Block:
    """Of a storm that is pinned to ``core``."""
    storm.ask(f"storm {WARM}")
    began_s, idle_s = time.monotonic(), idle(core)
    took = [storm.ask(f"storm {EXECS}") for _ in range(rounds)]
    wall_s, idle_s = time.monotonic() - began_s, idle(core) - idle_s
    wall_us, cpu_us = ([each[key] * 1e6 / EXECS for each in took] for key in ("wall_s", "cpu_s"))
    others_s = wall_s - idle_s - sum(each["cpu_s"] for each in took)
    return Block(statistics.median(wall_us), statistics.median(cpu_us), min(wall_us), max(0.0, others_s / wall_s))


def idle(core: int, stat: Path = STAT) -> float:
    """Seconds that the core had nothing to do, since boot, to a hundredth."""
    for line in stat.read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            return (int(fields[_IDLE - 1]) + int(fields[_IOWAIT - 1])) * _TICK_S
    raise ValueError(f"the kernel has no core {core}")


def others(blocks: Sequence[Block]) -> float:
    """What others had of the core in the typical block."""
    return statistics.median(each.others for each in blocks)


def ratio_of(figure: Figure, field: str, on: Sequence[Block], off: Sequence[Block]) -> Figure:
    """``figure`` with the ratio of the one to the other, and how sure it is; without one where others interfered."""
    shares = others(on), others(off)
    interfered = max(shares) > OTHERS_MAX or abs(shares[0] - shares[1]) > OTHERS_DIFFER_MAX
    if interfered and len(set(cores())) > 1:
        said = " and ".join(f"{share:.0%}".replace("%", " %") for share in shares)
        return figure._replace(note=f"no measure: others had {said} of the storm's core, with and without")
    found = ratio([getattr(each, field) for each in on], [getattr(each, field) for each in off])
    return figure._replace(value=found.median, note=str(found) + (f"; {figure.note}" if figure.note else ""))
