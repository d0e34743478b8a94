"""What the tree is asked: any process, thread or lineage it knows, now or at any moment since it began to know.

    answer = tree.process(ProcessKey(entity_id, time_ns))
    lineage = tree.lineage(LineageKey(entity_id, time_ns, max_depth=5))

Times are nanoseconds since boot; None: now. An answer is what held at that moment, by all that is known today. What
cannot be answered is a ``NoAnswer`` with its reason, never an empty answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Literal, NamedTuple

from pipeline.process import Ancestor, ProcessVersion
from pipeline.tree import history
from pipeline.tree.artifacts import TOLD_OF, Artifact, Kind
from pipeline.tree.history import Version
from pipeline.tree.state import CLOSED, NOBODY, Process, State
from pipeline.tree.versions import moment, version, version_of_past

DEPTH_MAX = 1024
"""Ancestors in one answer."""

Edge = Literal["birth", "reaper"]
"""Whose child: of who gave birth to it, or of who would reap it."""

Reason = Literal[
    "never_known", "forgotten", "not_yet_born", "before_memory", "bad_depth", "no_such_pid", "ambiguous", "no_source"
]

TOLD: tuple[tuple[int, str], ...] = (
    (history.BIRTH, "birth"),
    (history.IMAGE, "image"),
    (history.DIRECTORY, "working_directory"),
    (history.IDS, "credentials"),
    (history.GROUPS, "supplemental_groups"),
    (history.NAME, "thread_name"),
    (history.SESSION, "session"),
    (history.SPACES, "namespaces"),
    (history.CONTAINER, "container"),
    (history.PARENT, "reaper"),
    (history.END, "end"),
)

_CAN_CHANGE = ~(history.BIRTH | history.END)
_WENT = "has ended and was forgotten for want of room: raise processes_max, threads_max"


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
    as_of: Literal["birth", "time"] = "birth"


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


class NoAnswer(Exception):  # noqa: N818 - an answer as well
    """``candidates``: of an ambiguous question, the processes it may mean, youngest first."""

    def __init__(self, reason: Reason, message: str, candidates: tuple[ProcessAnswer, ...] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.candidates = candidates


def process(state: State, key: ProcessKey) -> ProcessAnswer:
    """Raises NoAnswer: never_known, forgotten, not_yet_born, before_memory."""
    return _answer(state, _find(state, key.entity_id), key.time_ns)


def known_versions(state: State, entity_id: str) -> list[ProcessAnswer]:
    """All versions of a process, oldest first. Raises NoAnswer as ``process`` does."""
    found = _find(state, entity_id)
    return [_version(state, found, at) for at in range(_last(found) + 1)]


def lineage(state: State, key: LineageKey) -> LineageAnswer:
    """Raises NoAnswer as ``process`` does, and bad_depth."""
    if not 1 <= key.max_depth <= DEPTH_MAX:
        raise NoAnswer("bad_depth", f"a depth is 1 to {DEPTH_MAX:,}, not {key.max_depth:,}")
    found = _find(state, key.entity_id)
    answer = _answer(state, found, key.time_ns)
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


def children(state: State, key: ProcessKey, edge: Edge = "birth") -> Iterator[ProcessAnswer]:
    """Born by then, ended ones too; by ``reaper``: alive then, and it was their parent. Oldest first."""
    parent = _find(state, key.entity_id)
    own = _answer(state, parent, key.time_ns)
    if edge == "birth":
        return _told(state, (parent.offspring or {}).values(), key.time_ns)
    return (one for one in alive(state, key.time_ns) if is_reaped_by(one, own))


def is_reaped_by(one: ProcessAnswer, other: ProcessAnswer) -> bool:
    """Whether the other would reap it: both as of one moment."""
    parent = one.process.reaper or one.process.parent
    return other.alive and parent is not None and parent.entity_id == other.process.entity_id


def descendants(state: State, key: ProcessKey) -> Iterator[ProcessAnswer]:
    """By birth, parents before their children, generation by generation."""
    above = _find(state, key.entity_id)
    _answer(state, above, key.time_ns)  # whether there is an answer at all
    return _generations(state, above, key.time_ns)


def _generations(state: State, above: Process, time_ns: int | None) -> Iterator[ProcessAnswer]:
    """By the processes themselves: whoever asks slowly may see some of them forgotten meanwhile."""
    left = deque([above])
    forgotten_below: list[Process] | None = None
    while left:
        for child in _born_by((left.popleft().offspring or {}).values(), time_ns):
            yield _at(state, child, time_ns)
            left.append(child)
        if not left and forgotten_below is None:
            forgotten_below = _below_the_forgotten(state, above, time_ns)
            for child in forgotten_below:
                yield _at(state, child, time_ns)
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
    found = _find(state, key.entity_id)
    _answer(state, found, key.time_ns)
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
    own = process(state, key)
    return (one for one in alive(state, key.time_ns) if shares_session(one, own))


def shares_session(one: ProcessAnswer, other: ProcessAnswer) -> bool:
    """Whether both are in one session: both as of one moment.

    Records that were made after its leader had ended tell no start of it. As long as a session has members the kernel
    gives its number to nobody else.
    """
    starts = {one.process.session_start_ns, other.process.session_start_ns} - {0}
    return one.process.session_id == other.process.session_id and len(starts) < 2


def artifacts(state: State, key: ProcessKey, kind: Kind) -> ArtifactsAnswer:
    """What it did until then. Raises NoAnswer as ``process`` does, and no_source of a kind that nothing tells of."""
    found = _find(state, key.entity_id)
    _answer(state, found, key.time_ns)
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


def by_pid(state: State, pid: int, from_ns: int | None = None, until_ns: int | None = None) -> ProcessAnswer:
    """Who had the pid at some moment from ``from_ns`` up to ``until_ns`` (None: just then); without a time, the last.

    Raises NoAnswer: no_such_pid; ambiguous where several had it in that time.
    """
    had = state.processes.with_pid(pid)
    if from_ns is None:
        if had:
            return _answer(state, had[0], None)
        if any(key[0] == pid for key in state.processes.evicted):
            raise NoAnswer("forgotten", f"who had pid {pid} last {_WENT}")
        raise NoAnswer("no_such_pid", f"no process with pid {pid} is known")
    last_ns = from_ns if until_ns is None else until_ns
    fit = [one for one in had if one.start_ns <= last_ns and (one.end_ns is None or one.end_ns >= from_ns)]
    forgotten = sum(
        key[0] == pid and key[1] <= last_ns and gone.end_ns >= from_ns for key, gone in state.processes.evicted.items()
    )
    if len(fit) == 1 and not forgotten:
        return _answer(state, fit[0], last_ns)
    if not fit and not forgotten:
        raise NoAnswer("no_such_pid", f"no process with pid {pid} is known to have lived then")
    if not fit:
        raise NoAnswer("forgotten", f"who had pid {pid} then {_WENT}")
    answers = tuple(_at(state, one, last_ns) for one in fit)
    though = f", {forgotten} of which {'is' if forgotten == 1 else 'are'} not known any more" if forgotten else ""
    raise NoAnswer("ambiguous", f"{len(fit) + forgotten} processes had pid {pid} in that time{though}", answers)


def alive(state: State, time_ns: int | None = None) -> Iterator[ProcessAnswer]:
    """All that lived then, in the order of their births."""
    for one in sorted(state.processes, key=lambda process: process.start_ns):
        if _lives(one, time_ns):
            yield _at(state, one, time_ns)


def forgotten_at(state: State, time_ns: int) -> int:
    """How many that lived then are not known any more, as far as that is remembered."""
    return sum(key[1] <= time_ns < gone.end_ns for key, gone in state.processes.evicted.items())


def _lives(one: Process, time_ns: int | None) -> bool:
    if time_ns is None:
        return one.alive
    return one.start_ns <= time_ns and (one.end_ns is None or one.end_ns > time_ns)


def _told(state: State, processes: Iterable[Process], time_ns: int | None) -> Iterator[ProcessAnswer]:
    """Each answer is made when it is asked for."""
    return (_at(state, one, time_ns) for one in _born_by(processes, time_ns))


def _born_by(processes: Iterable[Process], time_ns: int | None) -> list[Process]:
    """Oldest first."""
    found = sorted(processes, key=lambda process: process.start_ns)
    return found if time_ns is None else [one for one in found if one.start_ns <= time_ns]


def _find(state: State, entity_id: str) -> Process:
    found = state.processes.by_id.get(entity_id)
    if found is not None:
        state.processes.find(found.key)  # which counts as access
        return found
    if entity_id in state.processes.evicted_ids or entity_id in state.threads.evicted_ids:
        raise NoAnswer("forgotten", f"{entity_id} {_WENT}")
    raise NoAnswer("never_known", f"nobody has told of {entity_id}, or it was forgotten long ago")


def _answer(state: State, found: Process, time_ns: int | None) -> ProcessAnswer:
    if time_ns is None:
        return _at(state, found, None)
    if time_ns < found.start_ns:
        raise NoAnswer("not_yet_born", f"{found.entity_id} (pid {found.pid}) was not born then")
    if not found.birth_told and time_ns < _known_since(found):
        raise NoAnswer(
            "before_memory", f"{found.entity_id} (pid {found.pid}) lived then, and nothing is known of it from before"
        )
    return _at(state, found, time_ns)


def _at(state: State, found: Process, time_ns: int | None) -> ProcessAnswer:
    """The version that held then, whatever is known of before it; None: the present one."""
    index = len(found.past or ()) if time_ns is None else history.index_at(found, time_ns)
    return _version(state, found, index, time_ns)


def _known_since(found: Process) -> int:
    """Of whom no birth was told: the first record of its task. A change of its name alone tells little of it."""
    told = (version.since_ns for version in history.versions(found) if version.told & history.IDS)
    return next(told, found.since_ns)


def _version(state: State, found: Process, index: int, time_ns: int | None = None) -> ProcessAnswer:
    past: list[Version] = found.past or []
    last = _last(found)
    if index >= last:
        began: Version | Process = past[last] if last < len(past) else found
        now = version(state, found)
        until_ns = found.end_ns
        ended = found.end_ns is not None and (time_ns is None or time_ns >= found.end_ns)
        if found.end_ns is not None and not ended:
            now = now._replace(exit_status=None, end_ns=None)
        return ProcessAnswer(
            now,
            began.since_ns,
            until_ns,
            _how(began.told),
            _words(began.told),
            began.dropped,
            found.alive or not ended,
            unsure=_told_later(found, time_ns) if last == 0 else (),
            end_how=_end_how(found, time_ns),
        )
    one = past[index]
    after = past[index + 1] if index + 1 < len(past) else found
    shown = version_of_past(state, found, one, one.since_ns if time_ns is None else time_ns)
    missed = _words(after.told & _CAN_CHANGE) if after.dropped and (time_ns or 0) > one.since_ns else ()
    return ProcessAnswer(
        shown,
        one.since_ns,
        after.since_ns,
        _how(one.told),
        _words(one.told),
        one.dropped,
        True,
        after.dropped,
        missed if index else missed or _told_later(found, time_ns),
    )


def _last(found: Process) -> int:
    """Index of its last version. An end that has told nothing else begins none, whenever it was told."""
    past = found.past
    if not past or not found.told & history.END or found.dropped or history.version_of(found)[3:] != past[-1][3:]:
        return len(past or ())
    return len(past) - 1


def _told_later(found: Process, time_ns: int | None) -> tuple[str, ...]:
    """Of the first version: what was true before anything was told of it, nobody knows."""
    if time_ns is None or found.birth_told or time_ns >= _known_since(found):
        return ()
    return _words(_CAN_CHANGE)


def _how(told: int) -> str:
    if told & history.BY_REPAIR:
        return "repair"
    return "snapshot" if told & history.BY_SNAPSHOT else "kernel"


@cache
def _words(told: int) -> tuple[str, ...]:
    return tuple(word for bit, word in TOLD if told & bit)


def _end_how(found: Process, time_ns: int | None) -> str | None:
    if found.end_ns is None or (time_ns is not None and time_ns < found.end_ns):
        return None
    return "repair" if found.phase == CLOSED else "kernel"
