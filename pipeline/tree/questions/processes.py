"""What the tree is asked: any process, thread or lineage it knows, now or at any moment since it began to know.

    answer = tree.process(ProcessKey(entity_id, time_ns))
    lineage = tree.lineage(LineageKey(entity_id, time_ns, max_depth=5))

Times are nanoseconds since boot; None: now. An answer is what held at that moment, by all that is known today. What
cannot be answered is a ``NoAnswer`` with its reason, never an empty answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from pipeline.process import Ancestor
from pipeline.tree.known import history
from pipeline.tree.known.artifacts import KINDS, TOLD_OF, Artifact, Kind
from pipeline.tree.known.process_version import moment
from pipeline.tree.known.state import Process, State
from pipeline.tree.questions import numbers
from pipeline.tree.questions.answers import (
    ArtifactsAnswer,
    AsOf,
    LineageAnswer,
    LineageKey,
    NoAnswer,
    ProcessAnswer,
    ProcessKey,
    answer_about,
    answer_at,
    check_one_of,
    find,
    last_index,
    nobody_looked,
    nth_version,
)

_AS_OF: tuple[str, ...] = get_args(AsOf)  # not for each question: 0.7 us

DEPTH_MAX = 1024
"""Ancestors in one answer."""


def process(state: State, key: ProcessKey) -> ProcessAnswer:
    """Raises NoAnswer: never_known, forgotten, not_yet_born, before_memory."""
    return answer_about(state, find(state, key.entity_id), key.time_ns)


def known_versions(state: State, entity_id: str) -> list[ProcessAnswer]:
    """All versions of a process, oldest first. Raises NoAnswer as ``process`` does."""
    return list(Versions(state, ProcessKey(entity_id)))


class Versions:
    """Those of a process until a moment, oldest first, each made when it is taken; ``len``: how many they were first.

    Whoever takes them may take his time: one that is dropped meanwhile is not there, and the next one says so.
    Raises NoAnswer as ``process`` does, at once.
    """

    def __init__(self, state: State, key: ProcessKey) -> None:
        self._state = state
        self._found = find(state, key.entity_id)
        # As of then: what ended it may still have been to come.
        self._last = None if key.time_ns is None else answer_about(state, self._found, key.time_ns)
        began = [version.since_ns for version in history.versions(self._found)][: last_index(self._found) + 1]
        last = self._last
        self._began = began if last is None else [since_ns for since_ns in began if since_ns < last.since_ns]

    def __len__(self) -> int:
        return len(self._began) + (self._last is not None)

    def __iter__(self) -> Iterator[ProcessAnswer]:
        found = self._found
        for index, since_ns in enumerate(self._began):
            at = index if history.nth(found, index).since_ns == since_ns else history.index_at(found, since_ns)
            if history.nth(found, at).since_ns == since_ns:
                yield nth_version(self._state, found, at)
        if self._last is not None:
            yield self._last


def lineage(state: State, key: LineageKey) -> LineageAnswer:
    """Raises NoAnswer as ``process`` does, and bad_depth; ValueError for another ``as_of``."""
    if key.as_of not in _AS_OF:
        check_one_of("as_of", key.as_of, _AS_OF)
    if not 1 <= key.max_depth <= DEPTH_MAX:
        raise NoAnswer("bad_depth", f"a depth is 1 to {DEPTH_MAX:,}, not {key.max_depth:,}")
    found = find(state, key.entity_id)
    answer = answer_about(state, found, key.time_ns)
    chain = found.ancestors[: key.max_depth]
    if key.as_of == "time" or len(chain) == len(found.ancestors) < min(key.max_depth, found.depth):
        chain = tuple(_climb(state, found, key))
    return LineageAnswer(answer, chain, found.depth, found.complete)


def _climb(state: State, child: Process, key: LineageKey) -> Iterator[Ancestor]:
    """Process by process, as far as they are known; from there on, what was known of them at the births."""
    for left in range(key.max_depth, 0, -1):
        parent = state.processes.find(child.parent_key)
        if parent is None:
            yield from child.ancestors[:left]
            return
        if key.as_of == "birth":
            yield child.birth or moment(parent)
        else:
            yield moment(parent) if key.time_ns is None else history.moment_at(parent, key.time_ns)
        child = parent


def artifacts(state: State, key: ProcessKey, kind: Kind) -> ArtifactsAnswer:
    """What it did until then. Raises NoAnswer as ``process`` does, and no_source of a kind that nothing tells of;
    ValueError for what is no kind."""
    check_one_of("kind", kind, KINDS)
    found = find(state, key.entity_id)
    answer_about(state, found, key.time_ns)
    if kind not in TOLD_OF:
        raise NoAnswer("no_source", f"nothing tells of {kind} yet; of {' and '.join(TOLD_OF)} something does")
    own = found.artifacts
    noted = _executed(found) if kind == "files" else []
    if own is not None:
        noted = sorted([*noted, *own.of(kind)], key=lambda one: one.time_ns)
    until = tuple(one for one in noted if key.time_ns is None or one.time_ns <= key.time_ns)
    dropped = 0 if own is None or own.dropped is None else own.dropped.get(kind, 0)
    return ArtifactsAnswer(until, dropped + (_execs_dropped(found) if kind == "files" else 0))


def _executed(process: Process) -> list[Artifact]:
    """Of each exec that is known, the file: from the versions."""
    return [
        Artifact(
            version.since_ns, "files", "found" if version.told & history.HOW else "executed", process.pid, version.image
        )
        for version in history.versions(process)
        if version.told & history.IMAGE and not version.told & history.BIRTH and version.image.executable
    ]


def _execs_dropped(process: Process) -> int:
    """The kernel counts the execs that led to an image."""
    first, *others = history.versions(process)
    known = {version.exec_id for version in others} - {first.exec_id}
    return max(process.counted - first.exec_id - len(known), 0)


def earlier_with_pid(state: State, pid: int) -> ProcessAnswer | None:
    """Who had the pid before the last that had it, as it is known last; None: nobody is known."""
    had = sorted((one.start_ns, one.entity_id) for one in state.processes.with_pid(pid))
    return process(state, ProcessKey(had[-2][1])) if len(had) > 1 else None


def by_pid(state: State, pid: int, from_ns: int | None = None, until_ns: int | None = None) -> ProcessAnswer:
    """Who had the pid at some moment from ``from_ns`` up to ``until_ns`` (None: just then); without a time, the last.

    Raises NoAnswer: no_such_pid, forgotten, before_memory; ambiguous where several had it in that time.
    """
    number = numbers.Number("pid", pid)
    had = [numbers.Had(one.entity_id, one.start_ns, one.end_ns) for one in state.processes.with_pid(pid)]
    gone = ((key[1], gone.end_ns) for key, gone in state.processes.evicted.items() if key[0] == pid)
    if from_ns is None:
        return process(state, ProcessKey(numbers.last(number, had, gone).entity_id))
    last_ns = from_ns if until_ns is None else until_ns
    fit = numbers.between(number, had, gone, from_ns, last_ns, nobody_looked(state, last_ns))
    if len(fit.known) == 1 and not fit.forgotten:
        return process(state, ProcessKey(fit.known[0].entity_id, last_ns))
    answers = tuple(answer_at(state, find(state, one.entity_id), last_ns) for one in fit.known)
    raise NoAnswer("ambiguous", numbers.several(number, fit), answers)
