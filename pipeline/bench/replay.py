"""How fast a recording becomes documents: `lineage replay` in a process of its own, on one core.

100,000 events of ``mix`` to NDJSON on /dev/null, and with an Elasticsearch into that. What the command needs to start
is measured on a recording of the snapshot alone and taken off. CPU time is that of the whole process, all stages.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from pipeline.bench.agent import NOWHERE, Agent, Summary
from pipeline.bench.base import CannotRun, Setting, cores, not_run
from pipeline.bench.mix import records
from pipeline.bench.trial import namespace_of_our_own
from pipeline.sources.recording import Recorder
from pipeline.view.figures import Figure

NAME = "replay"
GOAL_PER_S = 30_000
EVENTS, EVENTS_QUICK = 100_000, 20_000
ROUNDS, ROUNDS_QUICK = 3, 1
SENT_QUICK = 5_000
IDLE_ROUNDS = 2
END_S = 300.0


class Took(NamedTuple):
    wall_s: float
    summary: Summary


def steps(quick: bool) -> int:
    return 3 + (ROUNDS_QUICK if quick else ROUNDS)


def run(setting: Setting) -> list[Figure]:
    events = EVENTS_QUICK if setting.quick else EVENTS
    whole, start = setting.folder / "whole.lineage", setting.folder / "start.lineage"
    _record(whole, events)
    _record(start, 1)
    setting.step()
    idle = min((_replay(setting, start, NOWHERE) for _ in range(IDLE_ROUNDS)), key=lambda each: each.wall_s)
    setting.step()
    rounds = []
    for _ in range(ROUNDS_QUICK if setting.quick else ROUNDS):
        rounds.append(_replay(setting, whole, NOWHERE))
        setting.step()
    best = min(rounds, key=lambda each: each.wall_s)
    slowest = max(each.wall_s for each in rounds)
    documents, seconds = best.summary.documents, _longer(best, idle)
    cpu_us = (best.summary.cpu_s - idle.summary.cpu_s) * 1e6 / documents
    note = f"best of {len(rounds)}, slowest {documents / (slowest - idle.wall_s):,.0f}; one core"
    figures = [
        Figure(NAME, "to NDJSON", documents / seconds, "documents/s", GOAL_PER_S, at_least=True, note=note),
        Figure(NAME, "events to NDJSON", events / seconds, "events/s", note=f"{documents:,} documents of {events:,}"),
        Figure(NAME, "CPU to NDJSON", cpu_us, "us/document", note="all of the agent's process"),
        Figure(NAME, "start and end of the command", idle.wall_s, "s", note="taken off the above"),
    ]
    return [*figures, *_into_elasticsearch(setting, start)]


def _into_elasticsearch(setting: Setting, start: Path) -> list[Figure]:
    whole = setting.folder / "sent.lineage"
    what = "to Elasticsearch"
    try:
        setting.needs_elasticsearch()
        _record(whole, SENT_QUICK if setting.quick else EVENTS)
        with namespace_of_our_own(setting.config) as namespace:
            idle = _replay(setting, start, "elasticsearch", namespace)
            took = _replay(setting, whole, "elasticsearch", namespace)
        seconds = _longer(took, idle)
    except CannotRun as reason:
        return [not_run(NAME, what, "documents/s", reason)]
    finally:
        setting.step()
    documents = took.summary.delivered
    cpu_us = (took.summary.cpu_s - idle.summary.cpu_s) * 1e6 / documents
    note = f"{documents:,} documents into a new index; {took.summary.retried:,} retried"
    return [
        Figure(NAME, what, documents / seconds, "documents/s", note=note),
        Figure(NAME, "CPU to Elasticsearch", cpu_us, "us/document", note="all of the agent's process"),
    ]


def _longer(took: Took, idle: Took) -> float:
    """Seconds without those of the start. Raises CannotRun where these drown what is measured."""
    seconds = took.wall_s - idle.wall_s
    if seconds < idle.wall_s / 10:
        raise CannotRun("this host is too busy to tell a replay from its start", "run it again")
    return seconds


def _record(file: Path, events: int) -> None:
    recorder = Recorder(file)
    for batch in records(events):
        recorder.write(batch)
    recorder.close()


def _replay(setting: Setting, file: Path, sink: str, namespace: str | None = None) -> Took:
    _, core = cores()
    keys = {"namespace": namespace} if namespace else {}
    began_s = time.monotonic()
    with Agent(setting, "replay", str(file), sink=sink, core=core, keys=keys) as agent:
        summary = agent.wait(END_S)
        return Took(time.monotonic() - began_s, summary)
