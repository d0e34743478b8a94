"""From a question's path and parameters to its answer; no HTTP in here, and nothing to wait for.

Rules of this file:
- A question about one process is answered as of now where it has no time; one about many as of the latest event, so
  that an answer that takes a while is still of one moment.
- Before the first snapshot has been told nothing is answered, and no tree of a time before it began: that would be a
  picture with holes. What is known of one process from before, its birth say, is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Literal, NamedTuple, Protocol

from pipeline.api import parameters
from pipeline.api.answers import Answers, Fields
from pipeline.api.parameters import Moment
from pipeline.api.problems import Problem
from pipeline.counters import Counters
from pipeline.enrich import Describer
from pipeline.moments import SECOND_NS
from pipeline.tree import LineageKey, NoAnswer, ProcessAnswer, ProcessKey, ProcessTree, ThreadAnswer, ThreadKey
from pipeline.tree.artifacts import KINDS

DEPTH = 5
"""Ancestors where nobody says how many: as many as LineageKey's."""

AS_OF: tuple[Literal["birth", "time"], ...] = ("birth", "time")
EDGES: tuple[Literal["birth", "reaper"], ...] = ("birth", "reaper")

Given = Mapping[str, str]


class Progress(Protocol):
    """How far the stream has come."""

    is_ready: bool
    began_ns: int | None
    last_ns: int


class Rows(NamedTuple):
    """An answer about many: ``head`` once, then as many of ``rows`` as an answer may have, under ``name``."""

    head: Fields
    name: str
    rows: Iterator[Fields]


class Questions:
    """``now_ns`` reads the clock of the stream, since boot. ``remembers``: whether there is a tree to ask."""

    def __init__(
        self,
        tree: ProcessTree,
        describer: Describer,
        progress: Progress,
        counters: Counters,
        now_ns: Callable[[], int],
        *,
        remembers: bool = True,
    ) -> None:
        self._tree = tree
        self._tables = describer.tables
        self._answers = Answers(describer)
        self._progress = progress
        self._counters = counters
        self._now_ns = now_ns
        self._remembers = remembers

    def health(self) -> Fields:
        self._ready()
        alive, ended, threads = self._tree.counts()
        return {
            "ok": True,
            "host": self._answers.host(),
            "began": self._answers.date(self._progress.began_ns),
            "last_event": self._answers.date(self._progress.last_ns),
            "processes": {"alive": alive, "ended": ended},
            "threads": threads,
            "records": self._counters.records,
            "lost_records": {str(kind): count for kind, count in self._counters.lost_records.items()},
            "repairs": self._counters.repairs,
        }

    def sizes(self) -> dict[str, tuple[str, float]]:
        """What ``metrics`` tells beside the counters."""
        alive, ended, threads = self._tree.counts()
        told = {
            "processes_alive": ("processes known that have not ended", float(alive)),
            "processes_ended": ("processes known that have ended", float(ended)),
            "threads": ("threads known, beside group leaders", float(threads)),
        }
        if self._progress.is_ready:
            latest_s = self._tables.wall_ns(self._progress.last_ns) / SECOND_NS
            told["last_event_timestamp_seconds"] = ("time of the latest event", latest_s)
        return told

    def process(self, entity_id: str | None, given: Given) -> Fields | Rows:
        """One process, by id or by ``pid``; with ``history`` all that it has been."""
        parameters.check_names(given, {"at", "history"} | _by_pid(entity_id))
        if parameters.switch("history", given.get("history")):
            if "at" in given and entity_id is not None:
                raise Problem("bad_parameter", "a history is of all times: at or history, not both")
            return self._history(self._who(entity_id, given).entity_id)
        key = self._who(entity_id, given)
        return self._one(self._answers.version(self._tree.process(key)), key.time_ns)

    def _history(self, entity_id: str) -> Rows:
        versions = self._tree.versions(entity_id)
        head = {"host": self._answers.host(), "entity_id": entity_id, "versions_known": len(versions)}
        return Rows(head, "versions", map(self._answers.version, versions))

    def lineage(self, entity_id: str | None, given: Given) -> Fields:
        """A process and its ancestors."""
        parameters.check_names(given, {"at", "depth", "as_of"} | _by_pid(entity_id))
        depth = parameters.depth(given.get("depth"), DEPTH)
        as_of = parameters.one_of("as_of", given.get("as_of", "birth"), AS_OF)
        who = self._who(entity_id, given)
        key = LineageKey(who.entity_id, who.time_ns, depth, as_of)
        return self._one(self._answers.lineage(self._tree.lineage(key)), who.time_ns)

    def family(self, entity_id: str, which: str, given: Given) -> Rows:
        """children, descendants, siblings or session of a process."""
        parameters.check_names(given, {"at", "edge"} if which == "children" else {"at"})
        edge = parameters.one_of("edge", given.get("edge", "birth"), EDGES)
        time_ns = self._moment(given).until_ns
        key = ProcessKey(entity_id, time_ns)
        if which == "children":
            found = self._tree.children(key, edge)
        elif which == "descendants":
            found = self._tree.descendants(key)
        elif which == "siblings":
            found = self._tree.siblings(key)
        else:
            found = self._tree.session_members(key)
        return self._rows(found, time_ns)

    def tree(self, given: Given) -> Rows:
        """All that lives, parents before their children; with ``pid`` that process and what lives below it."""
        parameters.check_names(given, {"at", "pid", "depth", "ended"})
        depth = None if "depth" not in given else parameters.depth(given["depth"], DEPTH)
        ended = parameters.switch("ended", given.get("ended"))
        if "pid" not in given:
            if ended:
                raise Problem("bad_parameter", "ended is asked with a pid: below which process?")
            time_ns = self._moment(given).until_ns
            self._remembered(time_ns)
            found: Iterable[ProcessAnswer] = self._tree.alive_at(time_ns)
            if depth is not None:
                found = (answer for answer in found if answer.process.depth <= depth)
            return self._rows(found, time_ns)
        who = self._who(None, given)
        time_ns = self._progress.last_ns if who.time_ns is None else who.time_ns
        root = self._tree.process(ProcessKey(who.entity_id, who.time_ns))
        below = (
            answer
            for answer in self._tree.descendants(ProcessKey(who.entity_id, time_ns))
            if (answer.alive or ended) and (depth is None or answer.process.depth - root.process.depth <= depth)
        )
        return self._rows(chain([root], below), time_ns)

    def threads(self, entity_id: str, given: Given) -> Rows:
        """Threads of a process, ended ones too, its leader first."""
        parameters.check_names(given, {"at"})
        time_ns = self._moment(given).until_ns
        found = self._tree.threads_of(ProcessKey(entity_id, time_ns))
        head = {"host": self._answers.host(), "at": self._answers.date(time_ns)}
        return Rows(head, "threads", map(self._thread, found))

    def artifacts(self, entity_id: str, given: Given) -> Fields:
        """What a process did of one kind, oldest first; ``dropped``: older ones that are not known any more."""
        parameters.check_names(given, {"at", "kind"})
        kind = parameters.one_of("kind", given.get("kind", "credentials"), KINDS)
        time_ns = self._moment(given).until_ns if "at" in given else None
        self._begun()
        found = self._tree.artifacts(ProcessKey(entity_id, time_ns), kind)
        noted = [self._answers.artifact(artifact) for artifact in found.artifacts]
        return self._one({"kind": kind, "artifacts": noted, "dropped": found.dropped}, time_ns)

    def thread(self, entity_id: str, given: Given) -> Fields | Rows:
        """One thread; with ``history`` all that it has been."""
        parameters.check_names(given, {"at", "history"})
        time_ns = self._moment(given).until_ns if "at" in given else None
        self._begun()
        if parameters.switch("history", given.get("history")):
            if "at" in given:
                raise Problem("bad_parameter", "a history is of all times: at or history, not both")
            versions = self._tree.thread_versions(entity_id)
            head = {"host": self._answers.host(), "entity_id": entity_id, "versions_known": len(versions)}
            return Rows(head, "versions", map(self._thread, versions))
        return self._one(self._thread(self._tree.thread_at(ThreadKey(entity_id, time_ns))), time_ns)

    def _thread(self, answer: ThreadAnswer) -> Fields:
        try:
            process = self._tree.process(ProcessKey(answer.process_id, answer.since_ns)).process
        except NoAnswer:
            of_host = False
        else:
            of_host = process.pid_ns == process.boot_pid_ns
        return self._answers.thread(answer, of_host=of_host)

    def _who(self, entity_id: str | None, given: Given) -> ProcessKey:
        """Whom the question means, and when. Raises NoAnswer where a pid means nobody, or several."""
        self._begun()
        if entity_id is not None:
            return ProcessKey(entity_id, self._moment(given).until_ns if "at" in given else None)
        if "pid" not in given:
            raise Problem("bad_parameter", "which process? pid is missing")
        pid = parameters.pid(given["pid"])
        if "at" not in given:
            return ProcessKey(self._tree.by_pid(pid).process.entity_id)
        from_ns, until_ns = self._moment(given)
        self._remembered(until_ns)
        found = self._tree.by_pid(pid, from_ns, until_ns)
        return ProcessKey(found.process.entity_id, until_ns)

    def candidates(self, error: NoAnswer) -> list[Fields]:
        """The processes that an ambiguous question may mean, youngest first."""
        return [self._answers.version(answer) for answer in error.candidates]

    def _moment(self, given: Given) -> Moment:
        """What ``at`` says; without it, the latest event."""
        self._begun()
        now_ns = max(self._now_ns(), self._progress.last_ns)
        if "at" not in given:
            return Moment(self._progress.last_ns, self._progress.last_ns)
        return parameters.moment(given["at"], now_ns, self._tables.wall_ns, self._tables.boot_ns)

    def _begun(self) -> None:
        self._ready()
        if not self._remembers:
            raise Problem("no_tree", "this agent remembers no process: it was started with tree_source none")

    def _ready(self) -> None:
        if not self._progress.is_ready:
            raise Problem("not_ready", "the first snapshot of what runs is still being told: ask again in a second")

    def _remembered(self, time_ns: int) -> None:
        began_ns = self._progress.began_ns
        if began_ns is not None and time_ns < began_ns:
            began = self._answers.date(began_ns)
            raise Problem("before_memory", f"nobody looked then: the agent knows what ran since {began}")

    def _one(self, described: Fields, time_ns: int | None) -> Fields:
        return {"host": self._answers.host(), "at": self._answers.date(time_ns), **described}

    def _rows(self, found: Iterable[ProcessAnswer], time_ns: int) -> Rows:
        head = {"host": self._answers.host(), "at": self._answers.date(time_ns)}
        return Rows(head, "processes", map(self._answers.version, found))


class Piece(NamedTuple):
    rows: list[Fields]
    more: bool  # it is the last that an answer may have, and there were more


def pieces(rows: Rows, rows_max: int, size: int) -> Iterator[Piece]:
    """At most ``rows_max`` rows, ``size`` at a time."""
    left = rows_max
    while left:
        wanted = min(size, left)
        some = list(islice(rows.rows, wanted))
        left -= len(some)
        yield Piece(some, left == 0 and next(rows.rows, None) is not None)
        if len(some) < wanted:
            return


def _by_pid(entity_id: str | None) -> set[str]:
    return {"pid"} if entity_id is None else set()
