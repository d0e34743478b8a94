"""Nothing lost, every parent right and the tree equal to /proc after a storm of 60,000 execs with the default ring.

Two load makers (one where there is a single core), not pinned, so that they compete with the agent; a third of the
execs have parents that end at once, in the middle of their child's exec. The load makers know who gave birth to whom
(``burst_program``). The agent runs in a process of the bench's own that says what its tree knows, and is in all else as
a user starts it (``witness_program``). When it has caught up, its tree is compared with /proc (``against_proc``): every
process of the host, among them some that the storm left over, adopted ones too. Bounded by the number of execs and by
deadlines.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from pipeline.bench import against_proc, processes
from pipeline.bench.agent import environment
from pipeline.bench.base import Setting, cores
from pipeline.bench.programs import Program, load_maker, storm_program
from pipeline.config import MIB
from pipeline.errors import HostError
from pipeline.view.figures import Figure

NAME = "burst"
EXECS, EXECS_QUICK = 60_000, 1_500
WORD = "lineage-bench-"
ORPHAN_EVERY = 3  # burst_program.ORPHAN_EVERY
CAUGHT_UP_S = 60.0
ASK_EVERY_S = 0.1


class Birth(NamedTuple):
    """Who gave birth, and between which moments that process was born itself: its pid alone may mean several."""

    parent: int
    not_before_ns: int
    not_after_ns: int

    def is_by(self, parent: int, start_ns: int) -> bool:
        return parent == self.parent and self.not_before_ns <= start_ns <= self.not_after_ns


Told = Mapping[int, tuple[int, int]]
"""By the number of the exec: pid and start of the parent that the tree gave it."""


def steps(quick: bool) -> int:
    return 2


def run(setting: Setting) -> list[Figure]:
    setting.needs_root()
    execs, makers = EXECS_QUICK if setting.quick else EXECS, len(set(cores()))
    share = execs // makers
    with ExitStack() as stack:
        storms = [stack.enter_context(load_maker("burst_program.py")) for _ in range(makers)]
        marker = stack.enter_context(storm_program())
        witness = stack.enter_context(witness_program(setting))
        witness.answer()  # ready
        before, before_s = witness.ask("counters"), processes.cpu_s(witness.pid)
        for number, storm in enumerate(storms):
            storm.tell(f"burst {WORD} {number * share} {share}")
        answers = [storm.answer() for storm in storms]
        wait_until_caught_up(witness, marker, share * makers)
        cpu_us = (processes.cpu_s(witness.pid) - before_s) * 1e6
        setting.step()
        told = {number: (parent, start_ns) for number, parent, start_ns in witness.ask("execs")["execs"]}
        comparison = against_proc.compare(
            lambda: against_proc.in_ticks(witness.ask("alive")["alive"]), processes.listed, against_proc.a_moment
        )
        after = witness.ask("counters")
        setting.step()
    births = [Birth(*birth) for answer in answers for birth in answer["births"]]
    events = after["events"] - before["events"]
    rate = len(births) / max(answer["wall_s"] for answer in answers)
    note = f"{makers} at a time, {rate:,.0f} execs/s, ring of {setting.config.ring_bytes / MIB:g} MiB"
    if after["bad"]:
        note += "; did not fit: " + ", ".join(f"{reason} {count}" for reason, count in sorted(after["bad"].items()))
    left = sum(answer["sleeping"] for answer in answers)
    return [
        Figure(NAME, "lost records", float(after["lost"]), "records", 0.0, note=note),
        *parents(births, told),
        _equality(comparison, left),
        Figure(NAME, "the agent's CPU meanwhile", cpu_us / events, "us/event", note=f"{events:,} events"),
    ]


def witness_program(setting: Setting) -> Program:
    """The agent that answers."""
    variables = environment(setting.config) | {"LINEAGE_STATE_DIRECTORY": str(setting.folder / "state")}
    return Program([sys.executable, "-m", "pipeline.bench.witness_program", WORD], environment=variables)


def wait_until_caught_up(witness: Program, marker: Program, number: int) -> None:
    """An exec after the storm, until the witness has told it; one every time, since a full ring would lose it.

    Raises HostError after CAUGHT_UP_S.
    """
    deadline_s = time.monotonic() + CAUGHT_UP_S
    while True:
        marker.ask(f"mark {WORD}{number}")
        time.sleep(ASK_EVERY_S)
        if witness.ask("last")["last"] == number:
            return
        if time.monotonic() > deadline_s:
            raise HostError(f"the agent has not come to the end of the storm within {CAUGHT_UP_S:.0f} s")


def parents(births: Sequence[Birth], told: Told) -> list[Figure]:
    """How many have the right birth parent; all, and those whose parent ended at once."""
    untold = [number for number in range(len(births)) if number not in told]
    right = {number for number, birth in enumerate(births) if number in told and birth.is_by(*told[number])}
    orphans = range(0, len(births), ORPHAN_EVERY)
    both = (("right birth parent", range(len(births))), ("right birth parent, where it ended at once", orphans))
    return [
        Figure(NAME, "execs that were not told", float(len(untold)), "execs", 0.0, note=f"of {len(births):,}"),
        *(
            Figure(
                NAME,
                figure,
                len(right.intersection(numbers)) / len(numbers) * 100,
                "%",
                100.0,
                at_least=True,
                note=f"of {len(numbers):,} execs",
            )
            for figure, numbers in both
        ),
    ]


def _equality(comparison: against_proc.Comparison, left: int) -> Figure:
    note = f"of {comparison.alive:,}, {left:,} left over by the storm; {comparison.looks} looks"
    if comparison.different:
        note += f"; {comparison}"
    return Figure(NAME, "processes unlike /proc", float(len(comparison.different)), "processes", 0.0, note=note)
