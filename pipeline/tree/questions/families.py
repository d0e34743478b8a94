"""Questions about many processes: children, descendants, siblings, a session, all that lived at a moment.

Rules of this file: each answer is made when it is taken, so whoever asks may take his time, and processes may come and
go meanwhile. Raises NoAnswer as ``processes.process`` does, at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import get_args

from pipeline.tree.known.state import NOBODY, Process, State
from pipeline.tree.questions.answers import (
    Edge,
    ProcessAnswer,
    ProcessKey,
    answer_about,
    answer_at,
    check_one_of,
    find,
    nobody_looked,
)


def children(state: State, key: ProcessKey, edge: Edge = "birth") -> Iterator[ProcessAnswer]:
    """Born by then, ended ones too; by ``reaper``: alive then, and it was their parent. Oldest first.

    Raises ValueError for another edge.
    """
    check_one_of("edge", edge, get_args(Edge))
    parent = find(state, key.entity_id)
    own = answer_about(state, parent, key.time_ns)
    if edge == "birth":
        return _told(state, (parent.offspring or {}).values(), key.time_ns)
    return (one for one in _living(state, key.time_ns) if is_reaped_by(one, own))


def is_reaped_by(one: ProcessAnswer, other: ProcessAnswer) -> bool:
    """Whether the other would reap it: both as of one moment."""
    parent = one.process.reaper or one.process.parent
    return other.alive and parent is not None and parent.entity_id == other.process.entity_id


def descendants(state: State, key: ProcessKey) -> Iterator[ProcessAnswer]:
    """By birth, parents before their children, generation by generation."""
    above = find(state, key.entity_id)
    answer_about(state, above, key.time_ns)  # whether there is an answer at all
    return _generations(state, above, key.time_ns)


def _generations(state: State, above: Process, time_ns: int | None) -> Iterator[ProcessAnswer]:
    """By the processes themselves: whoever asks slowly may see some of them forgotten meanwhile."""
    left = deque([above])
    forgotten_below: list[Process] | None = None
    while left:
        for child in _born_by((left.popleft().offspring or {}).values(), time_ns):
            yield answer_at(state, child, time_ns)
            left.append(child)
        if not left and forgotten_below is None:
            forgotten_below = _below_the_forgotten(state, above, time_ns)
            for child in forgotten_below:
                yield answer_at(state, child, time_ns)
                left.append(child)


def _below_the_forgotten(state: State, above: Process, time_ns: int | None) -> list[Process]:
    """Whose ancestors it is among, though the one that bore them is not known any more."""
    found = (
        one
        for one in state.processes
        if state.processes.peek(one.parent_key) is None and above.entity_id in (each[0] for each in one.ancestors)
    )
    return _born_by(found, time_ns)


def siblings(state: State, key: ProcessKey) -> Iterator[ProcessAnswer]:
    """Children of the same birth parent, itself left out."""
    found = find(state, key.entity_id)
    answer_about(state, found, key.time_ns)
    if found.parent_key == NOBODY:
        return iter(())
    parent = state.processes.find(found.parent_key)
    if parent is None:  # it is forgotten, or nobody has told of it: its children name it
        family: Iterable[Process] = (one for one in state.processes if one.parent_key == found.parent_key)
    else:
        family = (parent.offspring or {}).values()
    others = [other for other in family if other is not found]
    return _told(state, others, key.time_ns)


def session_members(state: State, key: ProcessKey) -> Iterator[ProcessAnswer]:
    """Alive then, and in the session that this process is in."""
    own = answer_about(state, find(state, key.entity_id), key.time_ns)
    return (one for one in _living(state, key.time_ns) if shares_session(one, own))


def shares_session(one: ProcessAnswer, other: ProcessAnswer) -> bool:
    """Whether both are in one session: both as of one moment.

    Records that were made after its leader had ended tell no start of it. As long as a session has members the kernel
    gives its number to nobody else.
    """
    starts = {one.process.session.start_ns, other.process.session.start_ns} - {0}
    return one.process.session.id == other.process.session.id and len(starts) < 2


def alive(state: State, time_ns: int | None = None) -> Iterator[ProcessAnswer]:
    """All that lived then, in the order of their births. Raises NoAnswer: before_memory."""
    if time_ns is not None and (unknown := nobody_looked(state, time_ns)) is not None:
        raise unknown
    return _living(state, time_ns)


def _living(state: State, time_ns: int | None) -> Iterator[ProcessAnswer]:
    for one in sorted(state.processes, key=lambda process: process.start_ns):
        if _lives(one, time_ns):
            yield answer_at(state, one, time_ns)


def forgotten_at(state: State, time_ns: int) -> int:
    """How many that lived then are not known any more, as far as that is remembered."""
    return sum(key[1] <= time_ns < gone.end_ns for key, gone in state.processes.evicted.items())


def _lives(one: Process, time_ns: int | None) -> bool:
    if time_ns is None:
        return one.alive
    return one.start_ns <= time_ns and (one.end_ns is None or one.end_ns > time_ns)


def _told(state: State, processes: Iterable[Process], time_ns: int | None) -> Iterator[ProcessAnswer]:
    """Each answer is made when it is asked for."""
    return (answer_at(state, one, time_ns) for one in _born_by(processes, time_ns))


def _born_by(processes: Iterable[Process], time_ns: int | None) -> list[Process]:
    """Oldest first."""
    found = sorted(processes, key=lambda process: process.start_ns)
    return found if time_ns is None else [one for one in found if one.start_ns <= time_ns]
