"""Whoever keeps a population, in a process of its own, so that what that takes can be seen from outside.

One command a line on standard input, one JSON line as the answer; it ends with its input. It is the agent's own order:
records (the bytes that a kernel would give), decode, tree. ``pass_by`` goes without bytes: a million processes would
take twice as long, and what they leave behind is the same.

    (ready)     {"events": N, "bad": {}, "dropped": 0}, unasked: what it begins with
    stay N      N processes begin, half of them end
    change N    each that lives changes N times
    pass_by N   N processes begin and end
    each        {"events": ..., "bad": {REASON: ...}, "dropped": VERSIONS}     told by it; until now

    python -m pipeline.bench.population_program tree|oracle|nobody PROCESSES_MAX SHELLS

``nobody`` keeps nothing: what the others take beyond that is theirs.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from pipeline.allocator import give_back_what_is_freed
from pipeline.bench.mix import BATCH_RECORDS
from pipeline.bench.naive import Naive
from pipeline.bench.population import Population
from pipeline.counters import Counters
from pipeline.garbage import seldom_collecting
from pipeline.sources.decode import decode_batch
from pipeline.tree import ProcessTree

Keep = Callable[[Any], object]


def keeper(who: str, processes_max: int, counters: Counters) -> Keep:
    if who == "tree":
        return ProcessTree(processes_max, processes_max, counters).apply
    return Naive().add if who == "oracle" else lambda _: None


class Told:
    """What the population does is told to ``keep``, in batches."""

    def __init__(self, population: Population, keep: Keep, counters: Counters) -> None:
        self._population = population
        self._keep = keep
        self._counters = counters

    def all_of(self, happening: Iterable[None], *, as_bytes: bool) -> dict[str, Any]:
        stream = self._population.stream
        told = 0
        for _ in happening:
            if len(stream.events) >= BATCH_RECORDS:
                told += self._hand_over(as_bytes)
        told += self._hand_over(as_bytes)
        gc.collect()
        bad = self._counters.bad_records + self._counters.bad_transitions
        return {"events": told, "bad": dict(bad), "dropped": self._counters.versions_dropped}

    def _hand_over(self, as_bytes: bool) -> int:
        stream, keep = self._population.stream, self._keep
        events = decode_batch(stream.records, self._counters) if as_bytes else list(stream.events)
        stream.events.clear()
        for event in events:
            keep(event)
        return len(events)


def _answer(told: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(told)}\n")
    sys.stdout.flush()


def main() -> None:
    who, processes_max, shells = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    counters = Counters()
    population = Population(shells)
    told = Told(population, keeper(who, processes_max, counters), counters)
    commands = {"stay": population.stay, "change": population.change, "pass_by": population.pass_by}
    give_back_what_is_freed()  # as the agent does
    with seldom_collecting():
        _answer(told.all_of((), as_bytes=True))
        for line in sys.stdin:
            command, number = line.split()
            happening = commands[command](int(number))
            _answer(told.all_of(happening, as_bytes=command != "pass_by"))


if __name__ == "__main__":
    main()
