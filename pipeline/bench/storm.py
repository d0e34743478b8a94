"""What tracing costs those who are traced: a storm of fork, exec and exit, with the agent and without.

Two answers. The kernel's: time in our BPF programs for one fork, exec and exit, by its own statistics, as a share of
the CPU time that one true(1) takes from posix_spawn to its reaping. And a stop-watch's: the same storm in many short
rounds, blocks of them with the agent on and off in random order, storm and agent each pinned to a core, documents to
/dev/null (``paired``). How far the blocks without an agent differ among themselves is told as well, and what the
fastest round of each block says: that one nobody disturbed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.bench import statistics as bpf
from pipeline.bench.agent import Agent
from pipeline.bench.base import CannotRun, Setting, cores
from pipeline.bench.paired import ratio, shuffled
from pipeline.bench.programs import Program, storm_program
from pipeline.bench.statistics import Runs
from pipeline.view.figures import Figure

NAME = "storm"
GOAL_RATIO = 1.03
GOAL_US = 12.0  # for a fork, an exec and an exit
PAIRS, PAIRS_QUICK = 40, 1
ROUNDS, ROUNDS_QUICK = 25, 3
EXECS = 60  # a round, about 30 ms: shorter than most of what disturbs it
WARM = 300  # execs: after an agent's start or end, caches are somebody else's for 0.1 s
PORTIONS, PORTIONS_QUICK = 30, 3
PORTION = 100  # execs under the kernel's statistics, between two looks at them


class Block(NamedTuple):
    """Medians of the rounds of one block, and its fastest round, in microseconds an exec."""

    wall_us: float
    cpu_us: float
    fastest_us: float


class Portion(NamedTuple):
    """What our programs did, by name, while the storm took so much CPU time."""

    did: Mapping[str, Runs]
    cpu_us: float


class Cost(NamedTuple):
    """One BPF program: microseconds a run, and how often it runs for one fork, exec and exit."""

    us: float
    times: int


def steps(quick: bool) -> int:
    return 1 + 2 * (PAIRS_QUICK if quick else PAIRS)


def run(setting: Setting) -> list[Figure]:
    setting.needs_root()
    storm_core, agent_core = cores()
    with storm_program(storm_core) as storm:
        counted = in_kernel(setting, storm, agent_core)
        setting.step()
        return [*counted, *side_by_side(setting, storm, agent_core)]


def in_kernel(setting: Setting, storm: Program, agent_core: int) -> list[Figure]:
    """Time in our programs, by the kernel's statistics: the median of many portions."""
    portions: list[Portion] = []
    others = bpf.programs().keys()
    with bpf.enabled(), Agent(setting, core=agent_core) as agent:
        agent.wait_until_ready()
        storm.ask(f"storm {WARM}")
        for _ in range(PORTIONS_QUICK if setting.quick else PORTIONS):
            before = {id_: runs for id_, runs in bpf.programs().items() if id_ not in others}
            took = storm.ask(f"storm {PORTION}")
            portions.append(Portion(bpf.spent(before, bpf.programs()), took["cpu_s"] * 1e6 / PORTION))
        agent.end()
    each = costs(portions, PORTION)
    if not each:
        raise CannotRun("no BPF program of the agent ran")
    total_us = sum(cost.us * cost.times for cost in each.values())
    cpu_us = statistics.median(portion.cpu_us for portion in portions)
    note = f"of {cpu_us:,.0f} us CPU for one true(1)"
    return [
        *(
            Figure(NAME, f"BPF program {name}", cost.us, "us/run", note=f"{cost.times} an exec" * (cost.times > 1))
            for name, cost in sorted(each.items())
        ),
        Figure(NAME, "BPF time", total_us, "us/fork+exec+exit", GOAL_US, note=note),
        Figure(NAME, "BPF share of the CPU time", total_us / cpu_us * 100, "%"),
    ]


def costs(portions: Sequence[Portion], execs: int) -> dict[str, Cost]:
    """The cost of each program that the storm itself makes run. What else happens on the host runs them as well.

    That is why runs are counted in whole ones an exec: a program that ran less than half as often has none.
    """
    found: dict[str, Cost] = {}
    for name in sorted({name for portion in portions for name in portion.did}):
        did = [portion.did[name] for portion in portions if name in portion.did]
        idle = [0.0] * (len(portions) - len(did))
        times = round(statistics.median([*idle, *(runs.runs / execs for runs in did)]))
        if times:
            found[name] = Cost(statistics.median(runs.time_ns / runs.runs / 1000 for runs in did), times)
    return found


def side_by_side(setting: Setting, storm: Program, agent_core: int) -> list[Figure]:
    """The storm with the agent on and off in turn."""
    pairs = PAIRS_QUICK if setting.quick else PAIRS
    on: list[Block] = []
    off: list[Block] = []
    for _ in range(pairs):
        for with_agent in shuffled((True, False)):
            if with_agent:
                with Agent(setting, core=agent_core) as agent:
                    agent.wait_until_ready()
                    on.append(block(setting, storm))
                    agent.end()
            else:
                off.append(block(setting, storm))
            setting.step()
    wall, cpu, fastest = (ratio(*each) for each in zip(zip(*on, strict=True), zip(*off, strict=True), strict=True))
    alone = statistics.median(each.wall_us for each in off)
    noise = spread([each.wall_us for each in off]) / alone
    had = statistics.median(each.cpu_us / each.wall_us for each in off) * 100
    shared = ", one core for both" if len(set(cores())) == 1 else ""
    note = f"{wall} of blocks of {ROUNDS_QUICK if setting.quick else ROUNDS} rounds of {EXECS} execs{shared}"
    what = "with the agent / without"
    return [
        Figure(NAME, "one true(1) without the agent", alone, "us"),
        Figure(NAME, f"time {what}", wall.median, "ratio", GOAL_RATIO, note=note),
        Figure(NAME, f"CPU time {what}", cpu.median, "ratio", GOAL_RATIO, note=f"{cpu}; the storm's own"),
        Figure(NAME, f"time {what}, fastest rounds", fastest.median, "ratio", note=f"{fastest}; nobody disturbed them"),
        Figure(
            NAME,
            "noise: blocks without the agent",
            noise,
            "ratio",
            note=f"half of them are within; the storm had {had:.0f} % of its core",
        ),
    ]


def spread(values: Sequence[float]) -> float:
    """Between the quarter of the smallest and the quarter of the largest; 0 for a single one."""
    if len(values) < 2:
        return 0.0
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return upper - lower


def block(setting: Setting, storm: Program) -> Block:
    storm.ask(f"storm {WARM}")
    rounds = [storm.ask(f"storm {EXECS}") for _ in range(ROUNDS_QUICK if setting.quick else ROUNDS)]
    wall_us = [each["wall_s"] * 1e6 / EXECS for each in rounds]
    cpu_us = [each["cpu_s"] * 1e6 / EXECS for each in rounds]
    return Block(statistics.median(wall_us), statistics.median(cpu_us), min(wall_us))
