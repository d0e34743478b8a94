"""Our agent beside bpftrace and libbpf's execsnoop, in one run: what each costs, and how soon it tells.

Round by round, each gets the same, in random order: a storm, load maker and collector pinned to a core each, and then
single execs at random moments. One way is the storm with nothing beside it: a ratio is that to it, in the same round
(``paired``, ``blocks``). CPU time is the collector's own, of all its threads, until it has told the last of the storm;
time in BPF programs is paid by the storm. Latency is from just before posix_spawn to the moment when a whole line with
that exec is in the output. What is not installed is not installed by us: its row says so.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.bench import processes
from pipeline.bench.base import CannotRun, Setting, cores, not_run
from pipeline.bench.blocks import EXECS, WARM, Block, block, ratio_of
from pipeline.bench.collectors import TOLD_S, WORD, Collector, Running, collectors
from pipeline.bench.memory import resident
from pipeline.bench.paired import shuffled
from pipeline.bench.programs import Program, storm_program
from pipeline.config import MIB
from pipeline.view.figures import Figure

NAME = "beside"
ROUNDS, ROUNDS_QUICK = 12, 1
STORMS, STORMS_QUICK = 15, 2  # rounds of a block
SINGLE, SINGLE_QUICK = 25, 5
TOLD_MIN = 2  # of those
EXEC_EVERY_S = 0.04  # between nothing and that: an agent that works in intervals is met at all of their moments
WAYS = 5  # nothing, and the four of ``collectors``


class Took(NamedTuple):
    """One block with one collector."""

    storm: Block
    cpu_s: float  # the collector's, for 1,000 execs
    rss_bytes: int
    pss_bytes: int
    execs: int  # single ones
    seconds: tuple[float, ...]  # from exec to line, of those that were told


def steps(quick: bool) -> int:
    return WAYS * (ROUNDS_QUICK if quick else ROUNDS)


def run(setting: Setting) -> list[Figure]:
    setting.needs_root()
    storm_core, _ = cores()
    storms = STORMS_QUICK if setting.quick else STORMS
    known = collectors()
    alone: list[Block] = []
    took: dict[str, list[Took]] = {collector.name: [] for collector in known}
    missing = {collector.name: f"not installed: {collector.missing}" for collector in known if collector.missing}
    with storm_program(storm_core) as load:
        for _ in range(ROUNDS_QUICK if setting.quick else ROUNDS):
            for collector in shuffled([None, *known]):
                if collector is None:
                    alone.append(block(load, storm_core, storms))
                elif collector.name not in missing:
                    try:
                        took[collector.name].append(_block(setting, collector, load, storms))
                    except CannotRun as reason:
                        missing[collector.name] = str(reason)
                setting.step()
    return figures(alone, took, missing)


def _block(setting: Setting, collector: Collector, load: Program, rounds: int) -> Took:
    storm_core, core = cores()
    file = setting.folder / "beside.lines"
    try:
        with collector.start(setting, load, core, file) as running:
            before_s = processes.cpu_s(running.pid)
            storm = block(load, storm_core, rounds)
            running.lines.until_told(load)  # and with it, everything before
            cpu_s = (processes.cpu_s(running.pid) - before_s) / (WARM + EXECS * rounds) * 1000
            execs = SINGLE_QUICK if setting.quick else SINGLE
            seconds = latencies(running, load, execs)
            if len(seconds) < TOLD_MIN:
                raise CannotRun(f"{collector.name} told {len(seconds)} of {execs} execs")
            rss, pss = resident(running.pid)
    finally:
        file.unlink(missing_ok=True)
    return Took(storm, cpu_s, rss.total(), pss.total(), execs, seconds)


def latencies(running: Running, load: Program, execs: int) -> tuple[float, ...]:
    """Seconds from exec to line, of those that were told: a collector may lose some."""
    lines = running.lines
    began_s: dict[int, float] = {}
    pauses = random.SystemRandom()
    lines.skip()
    for _ in range(execs):
        number = lines.next_number()
        began_s[number] = load.ask(f"mark {WORD}{number}")["at_s"]
        lines.look_until(time.monotonic() + pauses.uniform(0, EXEC_EVERY_S))
    deadline_s = time.monotonic() + TOLD_S
    return tuple(
        lines.told_s[number] - at_s for number, at_s in began_s.items() if lines.look_until(deadline_s, number)
    )


def figures(alone: Sequence[Block], took: Mapping[str, Sequence[Took]], missing: Mapping[str, str]) -> list[Figure]:
    """Side by side: one figure of all of them, then the next."""
    measured = {name: blocks for name, blocks in took.items() if name not in missing}
    found = [
        Figure(NAME, "one true(1) with nothing beside it", statistics.median(each.wall_us for each in alone), "us")
    ]
    for name, blocks in measured.items():
        wall = Figure(NAME, f"storm with / without: {name}", None, "ratio")
        found.append(ratio_of(wall, "wall_us", [each.storm for each in blocks], alone))
    for name, blocks in measured.items():
        cpu = Figure(NAME, f"storm's CPU time with / without: {name}", None, "ratio")
        found.append(ratio_of(cpu, "cpu_us", [each.storm for each in blocks], alone))
    for name, blocks in measured.items():
        cpu_s = statistics.median(each.cpu_s for each in blocks)
        found.append(Figure(NAME, f"CPU for 1,000 execs: {name}", cpu_s, "s"))
    for name, blocks in measured.items():
        ms = [second * 1000 for each in blocks for second in each.seconds]
        p99 = statistics.quantiles(ms, n=100, method="inclusive")[98]
        note = f"{len(ms)} told of {sum(each.execs for each in blocks)} execs"
        found.append(Figure(NAME, f"exec to line, p50: {name}", statistics.median(ms), "ms", note=note))
        found.append(Figure(NAME, f"exec to line, p99: {name}", p99, "ms"))
    for name, blocks in measured.items():
        rss = statistics.median(each.rss_bytes for each in blocks) / MIB
        pss = statistics.median(each.pss_bytes for each in blocks) / MIB
        found.append(Figure(NAME, f"RSS: {name}", rss, "MiB", note=f"PSS {pss:.1f}"))
    return found + [not_run(NAME, name, "", CannotRun(reason)) for name, reason in missing.items()]
