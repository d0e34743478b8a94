"""Our agent beside bpftrace and libbpf's execsnoop, in one run: what each costs, and how soon it tells.

Round by round, each gets the same, in random order: a storm, load maker and collector pinned to a core each, and then
single execs at random moments. One way is the storm with nothing beside it: a ratio is that to it, in the same round
(``paired``). CPU time is the collector's own, of all its threads, until it has told the last of the storm; time in BPF
programs is paid by the storm. Latency is from just before posix_spawn to the moment when a whole line with that exec is
in the output. What is not installed is not installed by us: its row says so.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.bench import processes
from pipeline.bench.base import CannotRun, Setting, cores, not_run
from pipeline.bench.collectors import TOLD_S, WORD, Collector, Running, collectors
from pipeline.bench.memory import resident
from pipeline.bench.paired import ratio, shuffled
from pipeline.bench.programs import Program, storm_program
from pipeline.config import MIB
from pipeline.view.figures import Figure

NAME = "beside"
ROUNDS, ROUNDS_QUICK = 12, 1
STORMS, STORMS_QUICK = 15, 2
EXECS = 60  # a storm, as in ``storm``
WARM = 300
SINGLE, SINGLE_QUICK = 25, 5
EXEC_EVERY_S = 0.04  # between nothing and that: an agent that works in intervals is met at all of their moments
WAYS = 5  # nothing, and the four of ``collectors``


class Storm(NamedTuple):
    """Medians of the storms of one block, in microseconds an exec: by the clock, and the storm's own CPU time."""

    wall_us: float
    cpu_us: float


class Took(NamedTuple):
    """One block with one collector."""

    storm: Storm
    cpu_s: float  # the collector's, for 1,000 execs
    rss_bytes: int
    pss_bytes: int
    seconds: tuple[float, ...]  # from exec to line


def steps(quick: bool) -> int:
    return WAYS * (ROUNDS_QUICK if quick else ROUNDS)


def run(setting: Setting) -> list[Figure]:
    setting.needs_root()
    storm_core, core = cores()
    known = collectors()
    alone: list[Storm] = []
    took: dict[str, list[Took]] = {collector.name: [] for collector in known}
    missing = {collector.name: f"not installed: {collector.missing}" for collector in known if collector.missing}
    with storm_program(storm_core) as load:
        for _ in range(ROUNDS_QUICK if setting.quick else ROUNDS):
            for collector in shuffled([None, *known]):
                if collector is None:
                    alone.append(_storm(setting, load))
                elif collector.name not in missing:
                    try:
                        took[collector.name].append(_block(setting, collector, load, core))
                    except CannotRun as reason:
                        missing[collector.name] = str(reason)
                setting.step()
    return figures(alone, took, missing)


def _block(setting: Setting, collector: Collector, load: Program, core: int) -> Took:
    file = setting.folder / "beside.lines"
    try:
        with collector.start(setting, load, core, file) as running:
            before_s = processes.cpu_s(running.pid)
            storm = _storm(setting, load)
            latencies(running, load, 1)  # now it has told everything before
            execs = WARM + EXECS * (STORMS_QUICK if setting.quick else STORMS)
            cpu_s = (processes.cpu_s(running.pid) - before_s) / execs * 1000
            seconds = latencies(running, load, SINGLE_QUICK if setting.quick else SINGLE)
            rss, pss = resident(running.pid)
    finally:
        file.unlink(missing_ok=True)
    return Took(storm, cpu_s, rss.total(), pss.total(), seconds)


def _storm(setting: Setting, load: Program) -> Storm:
    load.ask(f"storm {WARM}")
    storms = [load.ask(f"storm {EXECS}") for _ in range(STORMS_QUICK if setting.quick else STORMS)]
    return Storm(*(statistics.median(each[key] * 1e6 / EXECS for each in storms) for key in ("wall_s", "cpu_s")))


def latencies(running: Running, load: Program, execs: int) -> tuple[float, ...]:
    """Seconds from exec to line. Raises CannotRun when one is never told."""
    lines = running.lines
    began_s: dict[int, float] = {}
    pauses = random.SystemRandom()
    lines.skip()
    for _ in range(execs):
        number = lines.next_number()
        began_s[number] = load.ask(f"mark {WORD}{number}")["at_s"]
        lines.look_until(time.monotonic() + pauses.uniform(0, EXEC_EVERY_S))
    deadline_s = time.monotonic() + TOLD_S
    for number in began_s:
        if not lines.look_until(deadline_s, number):
            raise CannotRun(f"an exec was not told within {TOLD_S:.0f} s")
    return tuple(lines.told_s[number] - at_s for number, at_s in began_s.items())


def figures(alone: Sequence[Storm], took: Mapping[str, Sequence[Took]], missing: Mapping[str, str]) -> list[Figure]:
    """Side by side: one figure of all of them, then the next."""
    measured = {name: blocks for name, blocks in took.items() if name not in missing}
    found = [
        Figure(NAME, "one true(1) with nothing beside it", statistics.median(each.wall_us for each in alone), "us")
    ]
    for name, blocks in measured.items():
        wall = ratio([block.storm.wall_us for block in blocks], [each.wall_us for each in alone])
        found.append(Figure(NAME, f"storm with / without: {name}", wall.median, "ratio", note=str(wall)))
    for name, blocks in measured.items():
        cpu = ratio([block.storm.cpu_us for block in blocks], [each.cpu_us for each in alone])
        found.append(Figure(NAME, f"storm's CPU time with / without: {name}", cpu.median, "ratio", note=str(cpu)))
    for name, blocks in measured.items():
        cpu_s = statistics.median(block.cpu_s for block in blocks)
        found.append(Figure(NAME, f"CPU for 1,000 execs: {name}", cpu_s, "s"))
    for name, blocks in measured.items():
        ms = [second * 1000 for block in blocks for second in block.seconds]
        p99 = statistics.quantiles(ms, n=100, method="inclusive")[98]
        found.append(Figure(NAME, f"exec to line, p50: {name}", statistics.median(ms), "ms", note=f"{len(ms)} execs"))
        found.append(Figure(NAME, f"exec to line, p99: {name}", p99, "ms"))
    for name, blocks in measured.items():
        rss = statistics.median(block.rss_bytes for block in blocks) / MIB
        pss = statistics.median(block.pss_bytes for block in blocks) / MIB
        found.append(Figure(NAME, f"RSS: {name}", rss, "MiB", note=f"PSS {pss:.1f}"))
    return found + [not_run(NAME, name, "", CannotRun(reason)) for name, reason in missing.items()]
