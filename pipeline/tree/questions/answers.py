"""What an answer of the tree is, and how one version of a process becomes one.

Rules of this file:
- Whoever is asked about counts as used (see ``retention``).
- A moment within what was dropped is answered by the version before it, and says what that leaves unsure.
- An end that has told nothing else begins no version of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Literal, NamedTuple

from pipeline.events import Credentials
from pipeline.process import Ancestor, ProcessVersion
from pipeline.tree.known import history
from pipeline.tree.known.artifacts import Artifact
from pipeline.tree.known.history import Version
from pipeline.tree.known.process_version import before_its_end, present_at, version, version_of_past
from pipeline.tree.known.state import CLOSED, Process, State

Reason = Literal[
    "never_known",
    "forgotten",
    "not_yet_born",
    "before_memory",
    "bad_depth",
    "no_such_pid",
    "no_such_tid",
    "ambiguous",
    "no_source",
]

Edge = Literal["birth", "reaper"]
"""Whose child: of who gave birth to it, or of who would reap it."""

TOLD: tuple[tuple[int, str], ...] = (
    (history.BIRTH, "birth"),
    (history.IMAGE, "image"),
    (history.DIRECTORY, "working_directory"),
    (history.IDS, "credentials"),
    (history.GROUPS, "supplemental_groups"),
    (history.NAME, "thread_name"),
    (history.SESSION, "session"),
    (history.SPACES | history.MORE_SPACES, "namespaces"),
    (history.CONTAINER, "container"),
    (history.PARENT, "reaper"),
    (history.END, "end"),
)

LEADERS = ("group_leader", "session_leader", "entry_leader")
"""Told by no record of their own, and unsure where nobody knows what they were; the last also where the image or the
session is: those it is judged by."""

ENTRY = LEADERS[-1:]

_ENTRY_BY = history.IMAGE | history.SESSION | history.ENTRY
_TOLD_OF_OTHERS = history.IMAGE | history.DIRECTORY | history.IDS | history.GROUPS | history.SESSION
_CAN_CHANGE = ~(history.BIRTH | history.END)
WENT = "has ended and was forgotten for want of room: raise processes_max, threads_max"


AsOf = Literal["birth", "time"]

_new = tuple.__new__  # half of the time of calling the NamedTuple


class ProcessKey(NamedTuple):
    entity_id: str
    time_ns: int | None = None


class ThreadKey(NamedTuple):
    """``entity_id`` of the thread; of a group's leader, that of its process."""

    entity_id: str
    time_ns: int | None = None


class LineageKey(NamedTuple):
    """``max_depth`` ancestors at most, nearest first. ``as_of``: birth, each as it was when its child was born; time,
    each as it was at ``time_ns``."""

    entity_id: str
    time_ns: int | None = None
    max_depth: int = 5
    as_of: AsOf = "birth"


class ProcessAnswer(NamedTuple):
    """One version of a process."""

    process: ProcessVersion
    since_ns: int  # when it began; of the first, when that was learnt
    until_ns: int | None  # when the next one began, or when it ended; None: it still is
    how: str  # kernel, snapshot or repair: how its beginning was learnt
    told: tuple[str, ...]  # which properties were told then; all others it has from the version before
    dropped: int  # versions of this process just before this one that are not known any more
    alive: bool  # at the moment asked for
    dropped_after: int = 0  # versions between this one and the next that are not known any more
    unsure: tuple[str, ...] = ()
    """Properties of which nobody knows whether they were so at the moment asked for: versions that told them are not
    known any more, or they were told for the first time after it."""
    end_how: str | None = None  # kernel, or repair: it was not found any more; None: it had not ended


class LineageAnswer(NamedTuple):
    process: ProcessAnswer
    ancestors: tuple[Ancestor, ...]  # nearest first, at most max_depth
    depth: int  # known ancestors in all
    complete: bool  # the chain reaches pid 1 or kthreadd


class ArtifactsAnswer(NamedTuple):
    artifacts: tuple[Artifact, ...]  # oldest first
    dropped: int  # older ones that are not known any more


class ParentAnswer(NamedTuple):
    """One edge to a parent, from when to when."""

    edge: Edge
    parent: Ancestor  # as it was when the edge began; nothing but its identity where nobody has told of it
    since_ns: int
    until_ns: int | None  # when another took its place, or the process ended; None: it still is
    how: str  # kernel, snapshot or repair: how its beginning was learnt
    unsure: bool  # there may have been another: nobody told of the birth, or versions are missing


class ThreadAnswer(NamedTuple):
    """One version of a thread."""

    entity_id: str
    process_id: str  # entity id of its process, its leader
    pid: int
    tid: int
    ns_tid: int
    start_ns: int
    end_ns: int | None  # None: it had not ended at the moment asked for
    name: str
    credentials: Credentials
    birth_tid: int | None  # which thread made it; None: not told
    since_ns: int
    until_ns: int | None  # when the next version began, or when it ended; None: it still is
    alive: bool  # at the moment asked for; of a history's last, now
    how: str  # kernel, snapshot or repair: how the beginning of this version was learnt
    told: tuple[str, ...]  # what was told then; all else it has from the version before, or from who made it
    dropped: int  # versions of it just before this one that are not known any more
    dropped_after: int  # and between this one and the next
    end_how: str | None  # kernel; repair: inferred by a walk, or with its process; None: not ended then
    unsure: tuple[str, ...] = ()  # words of TOLD: of these nobody knows whether they were so at that moment


class NoAnswer(Exception):  # noqa: N818 - an answer as well
    """``candidates``: of an ambiguous question, the processes it may mean, youngest first; of one about a thread,
    ``threads``."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        candidates: tuple[ProcessAnswer, ...] = (),
        threads: tuple[ThreadAnswer, ...] = (),
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.candidates = candidates
        self.threads = threads


def check_one_of(name: str, given: str, allowed: Sequence[str]) -> None:
    """Raises ValueError for what is none of them: a mistake of whoever asks, and not an empty answer."""
    if given not in allowed:
        raise ValueError(f"{name} is one of {', '.join(allowed)}, not {given!r}")


def find(state: State, entity_id: str) -> Process:
    found = state.processes.by_id.get(entity_id)
    if found is not None:
        state.processes.find(found.key)  # which counts as access
        return found
    if entity_id in state.processes.evicted_ids or entity_id in state.threads.evicted:
        raise NoAnswer("forgotten", f"{entity_id} {WENT}")
    raise NoAnswer("never_known", f"nobody has told of {entity_id}, or it was forgotten long ago")


def answer_about(state: State, found: Process, time_ns: int | None) -> ProcessAnswer:
    if time_ns is None:
        return answer_at(state, found, None)
    if time_ns < found.start_ns:
        raise NoAnswer("not_yet_born", f"{found.entity_id} (pid {found.pid}) was not born then")
    if not found.birth_told and time_ns < known_since(found):
        raise NoAnswer(
            "before_memory", f"{found.entity_id} (pid {found.pid}) lived then, and nothing is known of it from before"
        )
    return answer_at(state, found, time_ns)


def answer_at(state: State, found: Process, time_ns: int | None) -> ProcessAnswer:
    """The version that held then, whatever is known of before it; None: the present one."""
    index = len(found.past or ()) if time_ns is None else history.index_at(found, time_ns)
    return nth_version(state, found, index, time_ns)


def nobody_looked(state: State, time_ns: int) -> NoAnswer | None:
    """Before the first record, or the first walk, nothing is known of what ran. None: somebody did."""
    began_ns = state.began_ns
    if began_ns is not None and time_ns >= began_ns:
        return None
    begins = "nothing has been told yet" if began_ns is None else f"what is known begins {began_ns:,} ns after the boot"
    return NoAnswer("before_memory", f"nobody looked then: {begins}")


def known_since(found: Process) -> int:
    """Of whom no birth was told: the first record of its task. A change of its name alone tells little of it."""
    told = (version.since_ns for version in history.versions(found) if version.told & history.IDS)
    return next(told, found.since_ns)


def nth_version(state: State, found: Process, index: int, time_ns: int | None = None) -> ProcessAnswer:
    """``time_ns``: the moment asked for; None: now, or when that version began."""
    one, last = history.nth(found, index), last_index(found)
    bits = history.unsure_of(found, index, one.since_ns if time_ns is None else time_ns)
    unsure = _unsure(found, bits, time_ns, is_first=min(index, last) == 0) if bits or not found.birth_told else ()
    if time_ns is not None and state.counters.versions_dropped:
        unsure = (*unsure, *(word for word in _others_unsure(state, found, one, time_ns) if word not in unsure))
    if index < last and isinstance(one, Version):
        after = history.nth(found, index + 1)
        shown = version_of_past(state, found, one, one.since_ns if time_ns is None else time_ns)
        return _new(
            ProcessAnswer,
            (
                shown,
                one.since_ns,
                after.since_ns,
                how_learnt(one.told),
                words(one.told),
                one.dropped,
                True,
                after.dropped,
                unsure,
                None,
            ),
        )
    now = version(state, found) if time_ns is None else present_at(state, found, time_ns)
    ended = found.end_ns is not None and (time_ns is None or time_ns >= found.end_ns)
    if found.end_ns is not None and not ended:
        now = before_its_end(now)
    began = history.nth(found, last)
    if began is not found:
        now = now._replace(since_ns=began.since_ns)
    return _new(
        ProcessAnswer,
        (
            now,
            began.since_ns,
            found.end_ns,
            how_learnt(began.told),
            words(began.told),
            began.dropped,
            found.alive or not ended,
            0,
            unsure,
            _end_how(found, time_ns),
        ),
    )


def _unsure(found: Process, unsure: int, time_ns: int | None, *, is_first: bool) -> tuple[str, ...]:
    """``unsure``: bits of that version. Of the first also what was true before it was told: nobody knows that."""
    if unsure & history.NAME and found.kernel_thread:
        unsure |= history.IMAGE  # its name is its comm
    told_later = is_first and time_ns is not None and not found.birth_told and time_ns < known_since(found)
    if told_later and not unsure:
        unsure = _CAN_CHANGE
    return (*words(unsure), *ENTRY) if unsure & _ENTRY_BY else words(unsure)


def _others_unsure(state: State, found: Process, it: Version | Process, time_ns: int) -> Iterator[str]:
    """Whom that version refers to, and nobody knows what they were then: versions of theirs are missing."""
    _, session_id, group_id, session_start_ns, group_start_ns = it.session
    for word, key in (
        ("reaper", found.key if it.reaper_key == found.parent_key else it.reaper_key),
        (LEADERS[0], (group_id, group_start_ns)),
        (LEADERS[1], (session_id, session_start_ns)),
        (LEADERS[2], found.key if it.entry is None else it.entry.key),
    ):
        other = None if key == found.key else state.processes.peek(key)
        if other is None or not other.past or time_ns >= other.since_ns:
            continue
        if history.unsure_at(other, time_ns) & _TOLD_OF_OTHERS:
            yield word


def last_index(found: Process) -> int:
    """Index of its last version. An end that has told nothing else begins none, whenever it was told."""
    past = found.past
    if not past or not found.told & history.END or found.dropped:
        return len(past or ())
    return len(past) - history.are_alike(past[-1], history.version_of(found))


def how_learnt(told: int) -> str:
    if told & history.BY_REPAIR:
        return "repair"
    return "snapshot" if told & history.BY_SNAPSHOT else "kernel"


@cache
def words(told: int) -> tuple[str, ...]:
    return tuple(word for bit, word in TOLD if told & bit)


def _end_how(found: Process, time_ns: int | None) -> str | None:
    if found.end_ns is None or (time_ns is not None and time_ns < found.end_ns):
        return None
    return "repair" if found.phase == CLOSED else "kernel"
