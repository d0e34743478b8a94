"""What the tree is asked about threads. A group's leader is its process; of it is told what is told of that.

Rules of this file:
- Of a thread's own is what was told of it; of whose rights it had when nobody had told, see ``known.thread_rights``.
- A record that says what was known already, of a walk or of an end, begins no version; nor does one of namespaces,
  which are no part of an answer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from pipeline.events import Credentials
from pipeline.tree.known import history
from pipeline.tree.known.group_leader import leader_end
from pipeline.tree.known.state import CLOSED, Process, State
from pipeline.tree.known.thread_rights import RIGHTS, Rights
from pipeline.tree.known.threads import Thread
from pipeline.tree.questions import numbers
from pipeline.tree.questions.answers import (
    NoAnswer,
    ProcessAnswer,
    ProcessKey,
    ThreadAnswer,
    ThreadKey,
    answer_about,
    answer_at,
    find,
    how_learnt,
    last_index,
    nobody_looked,
    nth_version,
    words,
)

_OWN = RIGHTS | history.NAME


class _Version(NamedTuple):
    since_ns: int
    told: int
    name: str
    credentials: Credentials | None  # of its own; None: nobody has told
    dropped: int


def thread(state: State, key: ThreadKey) -> ThreadAnswer:
    """Raises NoAnswer as ``processes.process`` does."""
    found, time_ns = state.threads.with_id(key.entity_id), key.time_ns
    if found is None:
        leads = find(state, key.entity_id)
        return _leader(leads, answer_about(state, leads, time_ns), state, time_ns)
    if time_ns is not None and time_ns < found.start_ns:
        raise NoAnswer("not_yet_born", f"{found.entity_id} (tid {found.tid}) had not begun then")
    if time_ns is not None and not found.birth_ns and time_ns < _versions(found)[0].since_ns:
        raise NoAnswer(
            "before_memory", f"{found.entity_id} (tid {found.tid}) lived then, and nothing is known of it from before"
        )
    return _Group(state, _process(state, found)).answer(found, time_ns)


def known_thread_versions(state: State, entity_id: str) -> list[ThreadAnswer]:
    """Oldest first. Raises NoAnswer as ``processes.process`` does."""
    found = state.threads.with_id(entity_id)
    if found is None:
        return _leader_versions(state, find(state, entity_id))
    return _Group(state, _process(state, found)).versions(found)


def threads_of(state: State, key: ProcessKey) -> Iterator[ThreadAnswer]:
    """Begun by then, ended ones too, the leader first. Raises NoAnswer as ``processes.process`` does."""
    found, time_ns = find(state, key.entity_id), key.time_ns
    leader = _leader(found, answer_about(state, found, time_ns), state, time_ns)
    group = _Group(state, found)
    others = sorted((found.threads or {}).values(), key=lambda one: one.start_ns)
    begun = (one for one in others if time_ns is None or one.start_ns <= time_ns)
    return chain([leader], (group.answer(one, time_ns) for one in begun))


def by_tid(state: State, tid: int, from_ns: int | None = None, until_ns: int | None = None) -> ThreadAnswer:
    """Who had the tid between those moments, as ``processes.by_pid``: a group's leader has that of its process.

    Raises NoAnswer: no_such_tid, forgotten, before_memory; ambiguous where several had it in that time.
    """
    number = numbers.Number("tid", tid)
    had = [numbers.Had(one.entity_id, one.start_ns, one.end_ns) for one in state.processes.with_pid(tid)]
    others = [one for one in state.threads.by_id.values() if one.tid == tid]
    had += [numbers.Had(one.entity_id, one.start_ns, _end_of(_process(state, one), one)) for one in others]
    evicted, threads = state.processes.evicted.items(), state.threads.evicted.values()
    gone = [(key[1], leader.end_ns) for key, leader in evicted if key[0] == tid]
    gone += [(thread.start_ns, thread.end_ns) for thread in threads if thread.tid == tid]
    if from_ns is None:
        return thread(state, ThreadKey(numbers.last(number, had, gone).entity_id))
    last_ns = from_ns if until_ns is None else until_ns
    fit = numbers.between(number, had, gone, from_ns, last_ns, nobody_looked(state, last_ns))
    if len(fit.known) == 1 and not fit.forgotten:
        return thread(state, ThreadKey(fit.known[0].entity_id, last_ns))
    answers = tuple(_as_known(state, one.entity_id, last_ns) for one in fit.known)
    raise NoAnswer("ambiguous", numbers.several(number, fit), threads=answers)


def _as_known(state: State, entity_id: str, time_ns: int) -> ThreadAnswer:
    """Whatever is known of it from before that moment."""
    found = state.threads.with_id(entity_id)
    if found is not None:
        return _Group(state, _process(state, found)).answer(found, time_ns)
    leads = find(state, entity_id)
    return _leader(leads, answer_at(state, leads, time_ns), state, time_ns)


# A group's leader.


def _leader(found: Process, answer: ProcessAnswer, state: State, time_ns: int | None) -> ThreadAnswer:
    """At that moment. Where it had ended before its process, as it was then."""
    ended_ns = leader_end(found, time_ns)
    if ended_ns is not None:
        return _of_leader(found, nth_version(state, found, history.index_at(found, ended_ns), ended_ns), ended_ns)
    return _of_leader(found, answer, None)


def _leader_versions(state: State, found: Process) -> list[ThreadAnswer]:
    """Of its process's, those in which it was there."""
    made: list[ThreadAnswer] = []
    for index in range(last_index(found) + 1):
        answer = nth_version(state, found, index)
        if leader_end(found, answer.since_ns) is None:
            made.append(_of_leader(found, answer, _next_leader_end(found, answer)))
    return made


def _next_leader_end(found: Process, answer: ProcessAnswer) -> int | None:
    """When it ended within that version, others going on."""
    since_ns, until_ns = answer.since_ns, answer.until_ns
    within = (one for one in found.leader_ends if since_ns <= one and (until_ns is None or one < until_ns))
    return next(within, None)


def _of_leader(found: Process, answer: ProcessAnswer, ended_ns: int | None) -> ThreadAnswer:
    """``ended_ns``: before its process, by the moment asked for."""
    own = answer.process
    until_ns = ended_ns if ended_ns is not None else _next_leader_end(found, answer)
    return ThreadAnswer(
        entity_id=found.entity_id,
        process_id=found.entity_id,
        pid=found.pid,
        tid=found.pid,
        ns_tid=own.ns_pid,
        start_ns=found.start_ns,
        end_ns=own.end_ns if ended_ns is None else ended_ns,
        name=own.thread_name,
        credentials=own.credentials,
        birth_tid=None,
        since_ns=answer.since_ns,
        until_ns=answer.until_ns if until_ns is None else until_ns,
        alive=answer.alive and ended_ns is None,
        how=answer.how,
        told=answer.told,
        dropped=answer.dropped,
        dropped_after=0 if until_ns is not None else answer.dropped_after,
        end_how=answer.end_how if ended_ns is None else "kernel",
        unsure=tuple(name for name in answer.unsure if name in words(_OWN)),
    )


# The others.


def _process(state: State, found: Thread) -> Process:
    process = state.processes.find(found.process)
    assert process is not None  # a thread is forgotten with its process
    return process


def _end_of(process: Process, found: Thread) -> int | None:
    """Of threads that die together the last takes the process with it, and another may be told of after that."""
    if found.end_ns is None or process.end_ns is None:
        return found.end_ns
    return min(found.end_ns, process.end_ns)


def _versions(found: Thread) -> list[_Version]:
    """At least one: whatever made the thread has told its name."""
    made: list[_Version] = []
    for change in found.changes:
        new = not made or change.name != made[-1].name or change.credentials is not None or change.dropped
        if new or not (change.told & history.HOW or change.told & history.SPACES):
            who = change.credentials or (made[-1].credentials if made else None)
            told = change.told & ~(history.SPACES | history.MORE_SPACES)
            made.append(_Version(change.since_ns, told, change.name, who, change.dropped))
    if found.end_name is not None and found.end_ns is not None and (not made or made[-1].name != found.end_name):
        who = made[-1].credentials if made else None
        made.append(_Version(found.end_ns, history.NAME | history.END, found.end_name, who, 0))
    return made


class _Group:
    """The threads of one process, for as long as a question takes."""

    def __init__(self, state: State, process: Process) -> None:
        self._state = state
        self._process = process
        self._rights = Rights(process)

    def answer(self, found: Thread, time_ns: int | None) -> ThreadAnswer:
        """As it was then; before what is known, as it was first."""
        made = _versions(found)
        index = len(made) if time_ns is None else bisect_right(made, time_ns, key=lambda one: one.since_ns)
        return self._answer(found, made, max(index - 1, 0), time_ns)

    def versions(self, found: Thread) -> list[ThreadAnswer]:
        made = _versions(found)
        last = len(made) - 1
        return [self._answer(found, made, at, None if at == last else one.since_ns) for at, one in enumerate(made)]

    def _answer(self, found: Thread, made: list[_Version], index: int, time_ns: int | None) -> ThreadAnswer:
        one, after = made[index], made[index + 1] if index + 1 < len(made) else None
        end_ns = _end_of(self._process, found)
        ended = end_ns is not None and (time_ns is None or time_ns >= end_ns)
        rights, unsure = (one.credentials, 0) if one.credentials else self._rights.at_birth(found)
        if after is not None and after.dropped and time_ns is not None and time_ns > one.since_ns:
            unsure |= after.told & _OWN  # with what those told that are missing in between
        return ThreadAnswer(
            entity_id=found.entity_id,
            process_id=self._process.entity_id,
            pid=self._process.pid,
            tid=found.tid,
            ns_tid=found.ns_tid,
            start_ns=found.start_ns,
            end_ns=end_ns if ended else None,
            name=one.name,
            credentials=rights,
            birth_tid=found.birth_tid or None,
            since_ns=one.since_ns,
            until_ns=end_ns if after is None else after.since_ns,
            alive=not ended,
            how=how_learnt(one.told),
            told=words(one.told),
            dropped=one.dropped,
            dropped_after=0 if after is None else after.dropped,
            end_how=self._end_how(found) if ended else None,
            unsure=words(unsure),
        )

    def _end_how(self, found: Thread) -> str:
        if found.told_end_ns is not None:
            return "kernel"
        by_walk = found.missed_ns is not None and found.end_ns == max(found.missed_ns, found.seen_ns)
        with_process = self._process.phase == CLOSED and found.end_ns == self._process.end_ns
        return "repair" if by_walk or with_process else "kernel"
