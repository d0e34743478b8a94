"""CPU time of the agent for one event, stage by stage, and for the sum.

The stages are called just as ``flow`` calls them, batch by batch, on the stream of ``mix``: decode, tree, enrich, and
the body of the _bulk request. CPU time of this thread only, so that other load on the host counts little; the median of
several rounds over the same stream, each with a tree and a describer of its own, after one that warms up.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from pipeline.bench.base import Setting
from pipeline.bench.mix import records
from pipeline.counters import Counters
from pipeline.document import Document
from pipeline.enrich import Describer
from pipeline.errors import LineageError
from pipeline.events import Account, Clock, Container, Event, HostFacts, SnapshotEnd
from pipeline.garbage import seldom_collecting
from pipeline.process import ProcessVersion
from pipeline.sinks.bulk import BulkEncoder
from pipeline.sources.decode import decode_batch
from pipeline.sources.order import Order
from pipeline.tree import ProcessTree
from pipeline.view.figures import Figure

NAME = "stages"
STAGES = ("decode", "tree", "enrich", "bulk body")
GOAL_US = 30.0
EVENTS, EVENTS_QUICK = 50_000, 5_000
ROUNDS, ROUNDS_QUICK = 5, 2

Applied = list[tuple[Event, ProcessVersion | None]]


def steps(quick: bool) -> int:
    return 1 + (ROUNDS_QUICK if quick else ROUNDS)


def run(setting: Setting) -> list[Figure]:
    """CPU microseconds an event, a stage and in all."""
    events = EVENTS_QUICK if setting.quick else EVENTS
    batches = list(records(events))
    rounds: list[tuple[float, ...]] = []
    with seldom_collecting():  # as the agent works
        for _ in range(steps(setting.quick)):
            rounds.append(Round(setting).over(batches))
            setting.step()
    measured = rounds[1:]
    us = [statistics.median(each[at] for each in measured) * 1e6 / events for at in range(len(STAGES))]
    sums = [sum(each) * 1e6 / events for each in measured]
    figures = [Figure(NAME, stage, value, "us/event") for stage, value in zip(STAGES, us, strict=True)]
    note = f"best {min(sums):.1f}, worst {max(sums):.1f} of {len(sums)} rounds over {events:,} events"
    return [*figures, Figure(NAME, "decode to bulk body", statistics.median(sums), "us/event", GOAL_US, note=note)]


class Round:
    """One pass over a stream, with everything new."""

    def __init__(self, setting: Setting) -> None:
        config = setting.config
        self.counters = Counters()
        self.order = Order(self.counters)
        self.tree = ProcessTree(config.processes_max, config.threads_max, self.counters)
        self.describer = Describer(config.namespace, config.mask_patterns, self.counters)
        self.encoder = BulkEncoder(config.namespace)

    def over(self, batches: Sequence[list[bytes]]) -> tuple[float, ...]:
        """CPU seconds of each stage. Raises LineageError when an event was bad: the stream would be no measure."""
        spent = [0] * len(STAGES)
        for batch in batches:
            at = [time.thread_time_ns()]
            events = decode_batch(batch, self.counters)
            self.order.look(events)
            at.append(time.thread_time_ns())
            applied = self._apply(events)
            at.append(time.thread_time_ns())
            documents = self._describe(applied)
            at.append(time.thread_time_ns())
            self.encoder.body(documents)
            at.append(time.thread_time_ns())
            for stage in range(len(STAGES)):
                spent[stage] += at[stage + 1] - at[stage]
        bad = self.counters.bad_records + self.counters.disordered + self.counters.bad_transitions
        if bad:
            raise LineageError(f"the made-up stream does not fit: {dict(bad)}")
        return tuple(ns / 1e9 for ns in spent)

    def _apply(self, events: Sequence[Event]) -> Applied:
        apply = self.tree.apply
        applied: Applied = []
        for event in events:
            if isinstance(event, (HostFacts, Account, Clock, Container)):
                applied.append((event, apply(event) if isinstance(event, HostFacts) else None))
            else:
                applied.append((event, apply(event)))
                if isinstance(event, SnapshotEnd):
                    applied += [(event, running) for running in self.tree.snapshot()]
        return applied

    def _describe(self, applied: Applied) -> list[Document]:
        describer = self.describer
        documents: list[Document] = []
        for event, process in applied:
            if isinstance(event, (HostFacts, Account, Clock, Container)):
                describer.learn(event)
            elif process is not None:
                if isinstance(event, SnapshotEnd):
                    documents.append(describer.describe_running(process))
                elif (document := describer.describe(event, process)) is not None:
                    documents.append(document)
        return documents
