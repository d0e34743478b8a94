"""What tracing costs those who are traced: a storm of fork, exec and exit, with the agent and without.

Two answers. The kernel's: time in our BPF programs for one fork, exec and exit, by its own statistics, as a share of
the CPU time that one true(1) takes from posix_spawn to its reaping. And a stop-watch's: the same storm in many short
rounds, blocks of them with the agent on and off in random order, storm and agent each pinned to a core, documents to
/dev/null. A pair is one block on and one off beside it; told is the median of the pairs' ratios. How far the blocks
without an agent differ among themselves is told as well: a ratio below that is noise.
"""

from __future__ import annotations

import random
import statistics
from typing import NamedTuple

from pipeline.bench import statistics as bpf
from pipeline.bench.agent import Agent
from pipeline.bench.base import CannotRun, Setting, cores
from pipeline.bench.programs import Program, storm_program
from pipeline.view.figures import Figure

NAME = "storm"
GOAL_RATIO = 1.03
GOAL_SHARE = 1.0  # percent
PAIRS, PAIRS_QUICK = 10, 1
ROUNDS, ROUNDS_QUICK = 15, 3
EXECS = 150  # a round, a tenth of a second
COUNTED, COUNTED_QUICK = 3_000, 300  # execs under the kernel's statistics


class Block(NamedTuple):
    """Medians of the rounds of one block, in microseconds an exec."""

    wall_us: float
    cpu_us: float


def steps(quick: bool) -> int:
    return 1 + 2 * (PAIRS_QUICK if quick else PAIRS)


def run(setting: Setting) -> list[Figure]:
    setting.needs_root()
    storm_core, agent_core = cores()
    with storm_program(storm_core) as storm:
        storm.ask(f"storm {EXECS}")  # warm
        counted = in_kernel(setting, storm, agent_core)
        setting.step()
        return [*counted, *side_by_side(setting, storm, agent_core)]


def in_kernel(setting: Setting, storm: Program, agent_core: int) -> list[Figure]:
    """Time in our programs, by the kernel's statistics."""
    count = COUNTED_QUICK if setting.quick else COUNTED
    others = set(bpf.programs())
    with bpf.enabled(), Agent(setting, core=agent_core) as agent:
        agent.wait_until_ready()
        before = {id_: runs for id_, runs in bpf.programs().items() if id_ not in others}
        took = storm.ask(f"storm {count}")
        did = bpf.spent(before, bpf.programs())
        agent.end()
    if not did:
        raise CannotRun("no BPF program of the agent ran")
    each = {name: runs.time_ns / runs.runs / 1000 for name, runs in did.items() if runs.runs >= count // 2}
    total_us = sum(each.values())
    cpu_us = took["cpu_s"] * 1e6 / count
    figures = [Figure(NAME, f"BPF program {name}", us, "us/run") for name, us in sorted(each.items())]
    return [
        *figures,
        Figure(NAME, "BPF time", total_us, "us/fork+exec+exit", note=f"of {cpu_us:,.0f} us CPU for one true(1)"),
        Figure(NAME, "BPF share of the CPU time", total_us / cpu_us * 100, "%", GOAL_SHARE),
    ]


def side_by_side(setting: Setting, storm: Program, agent_core: int) -> list[Figure]:
    """The storm with the agent on and off in turn."""
    pairs = PAIRS_QUICK if setting.quick else PAIRS
    shuffled = random.SystemRandom()
    on: list[Block] = []
    off: list[Block] = []
    for _ in range(pairs):
        order = [True, False]
        shuffled.shuffle(order)
        for with_agent in order:
            if with_agent:
                with Agent(setting, core=agent_core) as agent:
                    agent.wait_until_ready()
                    on.append(_block(setting, storm))
                    agent.end()
            else:
                off.append(_block(setting, storm))
            setting.step()
    wall = [a.wall_us / b.wall_us for a, b in zip(on, off, strict=True)]
    cpu = [a.cpu_us / b.cpu_us for a, b in zip(on, off, strict=True)]
    alone = statistics.median(block.wall_us for block in off)
    spread = statistics.pstdev(block.wall_us for block in off) / alone
    shared = ", one core for both" if len(set(cores())) == 1 else ""
    note = f"{pairs} pairs of {ROUNDS_QUICK if setting.quick else ROUNDS} rounds of {EXECS} execs{shared}"
    return [
        Figure(NAME, "one true(1) without the agent", alone, "us"),
        Figure(NAME, "time with the agent / without", statistics.median(wall), "ratio", GOAL_RATIO, note=note),
        Figure(
            NAME,
            "CPU time with the agent / without",
            statistics.median(cpu),
            "ratio",
            GOAL_RATIO,
            note="the storm's own",
        ),
        Figure(NAME, "noise: blocks without the agent", spread, "ratio", note="standard deviation / median"),
    ]


def _block(setting: Setting, storm: Program) -> Block:
    storm.ask(f"storm {EXECS}")  # after the agent's start or end, caches are somebody else's
    rounds = [storm.ask(f"storm {EXECS}") for _ in range(ROUNDS_QUICK if setting.quick else ROUNDS)]
    return Block(*(statistics.median(each[key] for each in rounds) * 1e6 / EXECS for key in ("wall_s", "cpu_s")))
