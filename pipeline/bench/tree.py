"""The process tree by itself: events a second, questions about the past, bytes a process and a version, flat memory.

Beside each the same of a naive oracle (``naive``), which keeps every event and answers by scanning. It gives less: its
answers lack threads, entry leaders, doubts and what came late, and it has no bound.

Apply and questions: the stream of ``mix``, decoded before; CPU time of this thread, ours and the oracle's in turns, the
median of the rounds. Questions are about processes with five ancestors and moments of their lives, chosen at random
with a fixed seed.

Memory: resident memory that is no file's (/proc/PID/smaps), of a process of its own after ``gc.collect()``, less that
of one which makes and decodes the same events and keeps none. That is what a host has to give. ``tracemalloc`` would
leave out what the allocator rounds up to and cannot give back, and make a million processes take half an hour.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.bench.base import Setting
from pipeline.bench.memory import ANONYMOUS, HEAP, resident
from pipeline.bench.mix import records
from pipeline.bench.naive import Key, Naive
from pipeline.bench.programs import Program
from pipeline.config import MIB
from pipeline.counters import Counters
from pipeline.errors import LineageError
from pipeline.events import Account, Clock, Container, Event, HostFacts
from pipeline.garbage import seldom_collecting
from pipeline.process import entity_id
from pipeline.sources.decode import decode_batch
from pipeline.tree import LineageKey, ProcessKey, ProcessTree
from pipeline.tree.changes import transitions
from pipeline.tree.known.state import State
from pipeline.tree.tree import ARTIFACTS_MAX, TEXTS_MAX_BYTES, VERSIONS_MAX
from pipeline.view.figures import Figure

NAME = "tree"
APPLY_GOAL_PER_S = 100_000
LINEAGE_GOAL_US = 10.0
PROCESS_GOAL_BYTES = 2_500
VERSION_GOAL_BYTES = 512
FLAT_GOAL = 1.05

EVENTS, EVENTS_QUICK = 50_000, 5_000
QUESTIONS, QUESTIONS_QUICK = 2_000, 200
ROUNDS, ROUNDS_QUICK = 7, 2
DEPTH = 5
SEED = 5
WATCHED = 7  # processes whose memory is looked at


class Sizes(NamedTuple):
    bound: int  # processes_max
    shells: int
    changes: int  # of each process that lives
    first: int  # processes that have passed by when memory is looked at first
    last: int  # and in the end
    kept: int  # that pass by the oracle, which has no bound; a fifth of them at the first look


SIZES = Sizes(32_768, 100, 8, 200_000, 1_000_000, 100_000)
SIZES_QUICK = Sizes(1_024, 10, 4, 10_000, 50_000, 10_000)


def steps(quick: bool) -> int:
    return 2 * (1 + (ROUNDS_QUICK if quick else ROUNDS)) + WATCHED


def run(setting: Setting) -> list[Figure]:
    """Figures of the tree, each with the oracle's behind it."""
    events = _events(EVENTS_QUICK if setting.quick else EVENTS)
    sizes = SIZES_QUICK if setting.quick else SIZES
    with seldom_collecting():  # as the agent works
        figures = _apply(setting, events) + _questions(setting, events)
    return figures + _memory(setting, sizes) + _flat(setting, sizes)


def _events(count: int) -> list[Any]:
    """Those of the stream that are the tree's."""
    counters = Counters()
    all_: list[Event] = [event for batch in records(count) for event in decode_batch(batch, counters)]
    return [event for event in all_ if not isinstance(event, (Account, Clock, Container))]


def _new_tree(counters: Counters) -> ProcessTree:
    return ProcessTree(SIZES.bound, SIZES.bound, counters)


class Way(NamedTuple):
    """``make`` gives what is called with each of ``items``; that is timed, ``make`` itself is not."""

    make: Callable[[], Callable[[Any], object]]
    items: Sequence[Any]


def _us(setting: Setting, ways: Mapping[str, Way]) -> dict[str, float]:
    """CPU microseconds an item, the ways in turn, after one round that warms up."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(1 + (ROUNDS_QUICK if setting.quick else ROUNDS)):
        for name, (make, items) in ways.items():
            do = make()
            before_ns = time.thread_time_ns()
            for item in items:
                do(item)
            took[name].append((time.thread_time_ns() - before_ns) / 1e3 / len(items))
        setting.step()
    return {name: statistics.median(rounds[1:]) for name, rounds in took.items()}


def _apply(setting: Setting, events: Sequence[Any]) -> list[Figure]:
    def changes_alone() -> Callable[[Any], object]:
        state = State(SIZES.bound, SIZES.bound, VERSIONS_MAX, ARTIFACTS_MAX, TEXTS_MAX_BYTES, Counters())
        return lambda event: transitions.apply(state, event)

    def kept_and_told() -> Callable[[Any], object]:
        naive = Naive()
        return lambda event: (key := naive.add(event)) and naive.lineage(key, event.stamp.time_ns, DEPTH)

    us = _us(
        setting,
        {
            "apply": Way(lambda: _new_tree(Counters()).apply, events),
            "apply, without the answer": Way(changes_alone, events),
            "apply, oracle": Way(kept_and_told, events),
            "apply, oracle, without the answer": Way(lambda: Naive().add, events),
        },
    )
    return [
        Figure(
            NAME,
            name,
            1e6 / each,
            "events/s",
            APPLY_GOAL_PER_S if name == "apply" else None,
            at_least=True,
            note=f"{each:.2f} us of CPU an event",
        )
        for name, each in us.items()
    ]


class Moment(NamedTuple):
    entity_id: str
    key: Key
    time_ns: int


def moments(tree: ProcessTree, naive: Naive, boot: HostFacts, count: int) -> list[Moment]:
    """Of processes with DEPTH ancestors, between the first and the last that was told of each."""
    chance = random.Random(SEED)  # noqa: S311 - the same questions each time
    deep: list[tuple[str, Key]] = []
    for key in naive.events:
        id_ = entity_id(boot.boot_id, boot.pid_ns, *key)
        if len(tree.lineage(LineageKey(id_, None, DEPTH)).ancestors) == DEPTH:
            deep.append((id_, key))
    found = []
    for _ in range(count):
        id_, key = chance.choice(deep)
        told = naive.events[key]
        found.append(Moment(id_, key, chance.randint(told[0].stamp.time_ns, told[-1].stamp.time_ns)))
    return found


def filled(events: Sequence[Any]) -> tuple[ProcessTree, Naive]:
    """Both with all of the events. Raises LineageError where one was bad: the stream would be no measure."""
    tree, naive = _new_tree(counters := Counters()), Naive()
    for event in events:
        tree.apply(event)
        naive.add(event)
    if counters.bad_transitions:
        raise LineageError(f"the made-up stream does not fit: {dict(counters.bad_transitions)}")
    return tree, naive


def _questions(setting: Setting, events: Sequence[Any]) -> list[Figure]:
    tree, naive = filled(events)
    asked = moments(tree, naive, events[0], QUESTIONS_QUICK if setting.quick else QUESTIONS)
    lineages = [LineageKey(moment.entity_id, moment.time_ns, DEPTH) for moment in asked]
    processes = [ProcessKey(moment.entity_id, moment.time_ns) for moment in asked]
    us = _us(
        setting,
        {
            "lineage then": Way(lambda: tree.lineage, lineages),
            "lineage then, oracle": Way(lambda: lambda m: naive.lineage(m.key, m.time_ns, DEPTH), asked),
            "process then": Way(lambda: tree.process, processes),
            "process then, oracle": Way(lambda: lambda m: naive.process(m.key, m.time_ns), asked),
        },
    )
    note = f"{len(asked):,} questions about processes with {DEPTH} ancestors"
    goals = {"lineage then": LINEAGE_GOAL_US}
    return [Figure(NAME, name, each, "us", goals.get(name), note=note) for name, each in us.items()]


class Watched:
    """A population's keeper in a process of its own (``population_program``)."""

    def __init__(self, who: str, bound: int, shells: int) -> None:
        command = [sys.executable, "-m", "pipeline.bench.population_program", who, str(bound), str(shells)]
        self._program = Program(command)

    def __enter__(self) -> Watched:
        self._program.__enter__()
        self._look(self._program.answer())
        self.before_bytes = self.bytes()
        return self

    def __exit__(self, *_: object) -> None:
        self._program.__exit__()

    def bytes(self) -> int:
        """Resident now, files left out."""
        rss, _ = resident(self._program.pid)
        return rss[HEAP] + rss[ANONYMOUS]

    def grown_bytes(self) -> int:
        return self.bytes() - self.before_bytes

    def does(self, command: str, number: int) -> int:
        """How many events that were."""
        return self._look(self._program.ask(f"{command} {number}"))

    def _look(self, told: dict[str, Any]) -> int:
        if told["bad"] or told["dropped"]:
            raise LineageError(f"the population does not fit: {told}")
        events: int = told["events"]
        return events


def _memory(setting: Setting, sizes: Sizes) -> list[Figure]:
    processes = sizes.bound - sizes.shells - 2  # with init and sshd, the bound
    a_process, a_version = Counter[str](), Counter[str]()
    for who in ("tree", "oracle", "nobody"):
        with Watched(who, sizes.bound, sizes.shells) as watched:
            watched.does("stay", processes)
            a_process[who] = watched.grown_bytes()
            versions = watched.does("change", sizes.changes)
            a_version[who] = watched.grown_bytes() - a_process[who]
        setting.step()
    stayed = f"{processes:,} processes with five arguments, half of them ended"
    changed = f"{versions:,} renames and changes of users, each its own; with what the latter leave as artifacts"
    return [
        Figure(NAME, name, (total[who] - total["nobody"]) / number, "bytes", goal if who == "tree" else None, note=note)
        for what, total, number, goal, note in (
            ("a process", a_process, processes, PROCESS_GOAL_BYTES, stayed),
            ("a version", a_version, versions, VERSION_GOAL_BYTES, changed),
        )
        for who, name in (("tree", what), ("oracle", f"{what}, oracle"))
    ]


def _flat(setting: Setting, sizes: Sizes) -> list[Figure]:
    found = []
    for shells, what in ((sizes.shells, "many parents"), (1, "one parent")):
        for who, last in (("tree", sizes.last), ("oracle", sizes.kept)):
            first = last * sizes.first // sizes.last
            with Watched(who, sizes.bound, shells) as watched:
                watched.does("pass_by", first)
                before = watched.grown_bytes()
                watched.does("pass_by", last - first)
                after = watched.grown_bytes()
            name, goal = f"memory, {what}", FLAT_GOAL
            note = f"{before / MIB:.0f} MiB after {first:,} processes, {after / MIB:.0f} after {last:,}"
            if who == "oracle":
                found.append(Figure(NAME, f"{name}, oracle", after / before, "ratio", note=note))
            else:
                found.append(Figure(NAME, name, after / before, "ratio", goal, note=note))
            setting.step()
    return found
