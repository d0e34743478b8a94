"""Whose child a process is, and has been: who gave birth to it, and whoever would have reaped it, from when to when.

Rules of this file:
- The edge of birth holds as long as the process is known. The other one begins anew with each adoption.
- Where nobody told of the birth, whoever was its parent when it was first told of stands for that, and is unsure.
- Whoever is named and not known is an ``Ancestor`` with nothing but its identity.
"""

from __future__ import annotations

from pipeline.tree.known import doubts, history
from pipeline.tree.known.process_version import known_or_named_at
from pipeline.tree.known.state import NOBODY, Key, Process, State
from pipeline.tree.questions.answers import ParentAnswer, ProcessKey, answer_about, find, how_learnt


def parents(state: State, key: ProcessKey) -> list[ParentAnswer]:
    """That of birth first, then by time; with a time those that had begun by then. Raises NoAnswer as ``process``."""
    found = find(state, key.entity_id)
    answer_about(state, found, key.time_ns)
    edges = [*_birth(state, found), *_reapers(state, found)]
    return [edge for edge in edges if key.time_ns is None or edge.since_ns <= key.time_ns]


def _birth(state: State, process: Process) -> list[ParentAnswer]:
    if process.parent_key == NOBODY:
        return []
    parent = process.birth or known_or_named_at(state, process.parent_key, process.birth_ns)
    if parent is None:
        return []
    first = history.versions(process)[0]
    how = "kernel" if process.birth_told else how_learnt(first.told)
    unsure = process.own_doubt & (doubts.UNKNOWN_PARENT | doubts.SNAPSHOT) != 0
    return [ParentAnswer("birth", parent, min(process.birth_ns, first.since_ns), process.end_ns, how, unsure)]


def _reapers(state: State, process: Process) -> list[ParentAnswer]:
    edges: list[ParentAnswer] = []
    held: Key | None = None
    for version in history.versions(process):
        missing = history.gone(version.told) & history.PARENT != 0  # of a version before it that was dropped
        if missing and edges:
            edges[-1] = edges[-1]._replace(unsure=True)
        if version.reaper_key == held:
            continue
        held = version.reaper_key
        if edges and edges[-1].until_ns is None:
            edges[-1] = edges[-1]._replace(until_ns=version.since_ns)
        parent = known_or_named_at(state, held, version.since_ns)
        if parent is not None:
            edges.append(ParentAnswer("reaper", parent, version.since_ns, None, how_learnt(version.told), missing))
    if edges and edges[-1].until_ns is None:
        edges[-1] = edges[-1]._replace(until_ns=process.end_ns)
    return edges
