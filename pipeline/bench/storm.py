"""What tracing costs those who are traced: a storm of fork, exec and exit, with the agent and without.

Two answers. The kernel's: time in our BPF programs for one fork, exec and exit, by its own statistics, as a share of
the CPU time that one true(1) takes from posix_spawn to its reaping. And a stop-watch's: the same storm in many short
rounds, blocks of them with the agent on and off in random order, storm and agent each pinned to a core, documents to
/dev/null (``paired``, ``blocks``). How far the blocks without an agent differ among themselves is told as well, and
what the fastest round of each block says: that one nobody disturbed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.bench import statistics as bpf
from pipeline.bench.agent import Agent
from pipeline.bench.base import CannotRun, Setting, cores
from pipeline.bench.blocks import EXECS, WARM, Block, block, others, ratio_of
from pipeline.bench.paired import shuffled
from pipeline.bench.programs import Program, storm_program
from pipeline.bench.statistics import Runs
from pipeline.view.figures import Figure

NAME = "storm"
GOAL_RATIO = 1.03
GOAL_US = 12.0  # for a fork, an exec and an exit
PAIRS, PAIRS_QUICK = 40, 1
ROUNDS, ROUNDS_QUICK = 25, 3
PORTIONS, PORTIONS_QUICK = 30, 3
PORTION = 100  # execs under the kernel's statistics, between two looks at them


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
        return [*counted, *side_by_side(setting, storm, storm_core, agent_core)]


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


def side_by_side(setting: Setting, storm: Program, storm_core: int, agent_core: int) -> list[Figure]:
    """The storm with the agent on and off in turn."""
    pairs, rounds = (PAIRS_QUICK, ROUNDS_QUICK) if setting.quick else (PAIRS, ROUNDS)
    on: list[Block] = []
    off: list[Block] = []
    for _ in range(pairs):
        for with_agent in shuffled((True, False)):
            if with_agent:
                with Agent(setting, core=agent_core) as agent:
                    agent.wait_until_ready()
                    on.append(block(storm, storm_core, rounds))
                    agent.end()
            else:
                off.append(block(storm, storm_core, rounds))
            setting.step()
    alone_us = statistics.median(each.wall_us for each in off)
    noise = spread([each.wall_us for each in off]) / alone_us
    blocks = f"blocks of {rounds} rounds of {EXECS} execs{', one core for both' * (storm_core == agent_core)}"
    what = "with the agent / without"
    told = (
        ("wall_us", Figure(NAME, f"time {what}", None, "ratio", GOAL_RATIO, note=blocks)),
        ("cpu_us", Figure(NAME, f"CPU time {what}", None, "ratio", GOAL_RATIO, note="the storm's own")),
        ("fastest_us", Figure(NAME, f"time {what}, fastest rounds", None, "ratio", note="nobody disturbed them")),
    )
    return [
        Figure(NAME, "one true(1) without the agent", alone_us, "us"),
        *(ratio_of(figure, field, on, off) for field, figure in told),
        Figure(NAME, "noise: blocks without the agent", noise, "ratio", note="the middle half of them are within"),
        Figure(NAME, "others' share of the storm's core", others([*on, *off]) * 100, "%", note="in the typical block"),
    ]


def spread(values: Sequence[float]) -> float:
    """Between the quarter of the smallest and the quarter of the largest; 0 for a single one."""
    if len(values) < 2:
        return 0.0
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return upper - lower
