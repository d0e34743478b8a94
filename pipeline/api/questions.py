"""From a question's path and parameters to its answer; no HTTP in here, and nothing to wait for.

Rules of this file:
- Without a time a question is answered as of now, which is the latest event: an answer about many, which takes a while,
  is still of that one moment.
- Before the first snapshot has been told nothing is answered, and no tree of a time before it began: that would be a
  picture with holes. What is known of one process from before, its birth say, is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any, Literal, Protocol

from pipeline.api import parameters
from pipeline.api.answers import Answers, Fields
from pipeline.api.parameters import Moment
from pipeline.api.problems import Problem
from pipeline.api.rows import Rows, WithoutKernelThreads
from pipeline.counters import Counters
from pipeline.enrich import Describer
from pipeline.moments import SECOND_NS
from pipeline.process import Ancestor, ProcessVersion
from pipeline.tree import (
    KINDS,
    LineageKey,
    NoAnswer,
    ProcessAnswer,
    ProcessKey,
    ProcessTree,
    Relatives,
    ThreadAnswer,
    ThreadKey,
)
from pipeline.tree.questions.families import is_reaped_by, shares_session

DEPTH = 5
"""Ancestors where nobody says how many: as many as LineageKey's."""

AS_OF: tuple[Literal["birth", "time"], ...] = ("birth", "time")
EDGES: tuple[Literal["birth", "reaper"], ...] = ("birth", "reaper")

Given = Mapping[str, str]
Below = tuple[Fields, list[ProcessAnswer], Iterator[ProcessAnswer | None]]
"""The head of an answer, the process that it is about, and what is below that one."""


class Progress(Protocol):
    """How far the stream has come."""

    is_ready: bool
    began_ns: int | None
    last_ns: int


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
        sizes = self._tree.sizes()
        return {
            "ok": True,
            "host": self._answers.host(),
            "began": self._answers.date(self._progress.began_ns),
            "last_event": self._answers.date(self._progress.last_ns),
            "processes": {
                "alive": sizes.alive,
                "ended": sizes.ended,
                "pinned": sizes.pinned,
                "max": sizes.processes_max,
                "over_bound": sizes.pinned > sizes.processes_max,
            },
            "threads": {
                "alive": sizes.threads,
                "ended": sizes.threads_ended,
                "max": sizes.threads_max,
                "over_bound": sizes.threads > sizes.threads_max,
            },
            "records": self._counters.records,
            "lost_records": {str(kind): count for kind, count in self._counters.lost_records.items()},
            "repairs": self._counters.repairs,
        }

    def sizes(self) -> dict[str, tuple[str, float]]:
        """What ``metrics`` tells beside the counters."""
        sizes = self._tree.sizes()
        told = {
            "processes_alive": ("processes known that have not ended", float(sizes.alive)),
            "processes_ended": ("processes known that have ended", float(sizes.ended)),
            "processes_pinned": ("processes that live, and ancestors of such: never forgotten", float(sizes.pinned)),
            "processes_max": ("the bound on processes: processes_max", float(sizes.processes_max)),
            "threads_alive": ("threads known that have not ended, beside group leaders", float(sizes.threads)),
            "threads_ended": ("threads known that have ended, beside group leaders", float(sizes.threads_ended)),
            "threads_max": ("the bound on threads: threads_max", float(sizes.threads_max)),
        }
        if self._progress.is_ready:
            latest_s = self._tables.wall_ns(self._progress.last_ns) / SECOND_NS
            told["last_event_timestamp_seconds"] = ("time of the latest event", latest_s)
        return told

    def process(self, entity_id: str | None, given: Given) -> Fields | Rows[Any]:
        """One process, by id or by ``pid``; with ``history`` all that it has been until then."""
        parameters.check_names(given, {"at", "history"} | _by_pid(entity_id))
        history = parameters.switch("history", given.get("history"))
        key = self._who(entity_id, given)
        answer = self._tree.process(key)
        if not history:
            described = self._answers.version(answer) | self._earlier(entity_id, given)
            return self._one(described, self._at(key.time_ns, answer.since_ns))
        versions = self._tree.each_version_of(key)
        head = self._head(self._at(key.time_ns, answer.since_ns))
        head |= {"entity_id": key.entity_id, "versions_known": len(versions)} | self._earlier(entity_id, given)
        return Rows(head, "versions", iter(versions), self._answers.version)

    def _earlier(self, entity_id: str | None, given: Given) -> Fields:
        """A pid without a time is that of the last who had it: who had it before."""
        if entity_id is not None or "at" in given:
            return {}
        found = self._tree.earlier_with_pid(parameters.number("pid", given["pid"]))
        return {} if found is None else {"earlier_with_pid": self._answers.earlier(found)}

    def lineage(self, entity_id: str | None, given: Given) -> Fields:
        """A process and its ancestors."""
        parameters.check_names(given, {"at", "depth", "as_of"} | _by_pid(entity_id))
        depth = parameters.depth(given.get("depth"), DEPTH)
        as_of = parameters.one_of("as_of", given.get("as_of", "birth"), AS_OF)
        who = self._who(entity_id, given)
        found = self._tree.lineage(LineageKey(who.entity_id, who.time_ns, depth, as_of))
        described = self._answers.lineage(found, self._seen(found.ancestors, who.time_ns if as_of == "time" else None))
        return self._one(described, self._at(who.time_ns, found.process.since_ns))

    def _seen(self, ancestors: Iterable[Ancestor], time_ns: int | None) -> dict[str, ProcessAnswer]:
        """By entity id, the version that each ancestor is told as, where that is known; ``time_ns``: as of then."""
        seen = {}
        for ancestor in ancestors:
            since_ns = ancestor.began_ns
            with suppress(NoAnswer):
                answer = self._tree.process(ProcessKey(ancestor.entity_id, since_ns if time_ns is None else time_ns))
                if answer.since_ns == since_ns:
                    seen[ancestor.entity_id] = answer
        return seen

    def family(self, entity_id: str, which: str, given: Given) -> Rows[Any]:
        """children, descendants, siblings or session of a process."""
        parameters.check_names(given, {"at", "edge"} if which == "children" else {"at"})
        edge = parameters.one_of("edge", given.get("edge", "birth"), EDGES)
        time_ns = self._when(entity_id, given)
        key = ProcessKey(entity_id, time_ns)
        head = self._head(time_ns)
        if which == "children" and edge == "birth":
            return self._rows(head | self._forgotten(key, "children"), self._tree.children(key))
        if which == "descendants":
            return self._rows(head | self._forgotten(key, "descendants"), self._tree.descendants(key))
        if which == "siblings":
            return self._rows(head | self._forgotten(key, "siblings"), self._tree.siblings(key))
        own = self._tree.process(key)
        fits = is_reaped_by if which == "children" else shares_session
        everybody = self._tree.alive_at(time_ns)
        head |= {"forgotten": self._tree.forgotten_at(time_ns)}
        return self._rows(head, (one if fits(one, own) else None for one in everybody))

    def parents(self, entity_id: str, given: Given) -> Rows[Any]:
        """Who gave birth to a process, then whoever would have reaped it, each from when to when."""
        parameters.check_names(given, {"at"})
        time_ns = self._when(entity_id, given)
        found = self._tree.parents(ProcessKey(entity_id, time_ns))
        return Rows(self._head(time_ns), "parents", iter(found), self._answers.parent)

    def _forgotten(self, key: ProcessKey, relatives: Relatives) -> Fields:
        return {"forgotten": self._tree.forgotten(key, relatives)}

    def tree(self, given: Given) -> Rows[Any]:
        """All that lives, parents before children; with ``pid`` or ``entity_id`` that one and what lives below it.

        ``forgotten``: how many of those are not known any more. Without ``kernel_threads`` they are counted alone.
        """
        parameters.check_names(given, {"at", "pid", "entity_id", "depth", "ended", "kernel_threads"})
        depth = None if "depth" not in given else parameters.depth(given["depth"], DEPTH)
        ended = parameters.switch("ended", given.get("ended"))
        kernel_threads = parameters.switch("kernel_threads", given.get("kernel_threads", "true"))
        if "pid" in given and "entity_id" in given:
            raise Problem("bad_parameter", "below which process? pid and entity_id are two ways to say so: give one")
        if "pid" in given or "entity_id" in given:
            head, first, found = self._below(self._who(given.get("entity_id"), given), depth, ended)
        elif ended:
            raise Problem("bad_parameter", "ended is asked with a pid or an entity_id: below which process?")
        else:
            time_ns = self._moment(given).until_ns
            self._remembered(time_ns)
            head, first = self._head(time_ns) | {"forgotten": self._tree.forgotten_at(time_ns)}, []
            everybody = self._tree.alive_at(time_ns)
            found = (one if depth is None or one.process.depth <= depth else None for one in everybody)
        if kernel_threads:
            return self._rows(head, chain(first, found))
        others = WithoutKernelThreads(found)
        return self._rows(head, chain(first, others), lambda: {"kernel_threads": others.count})

    def _below(self, who: ProcessKey, depth: int | None, ended: bool) -> Below:
        root = self._tree.process(who)
        time_ns = self._at(who.time_ns, root.since_ns)
        lowest = None if depth is None else root.process.depth + depth
        below = (
            one if (one.alive or ended) and (lowest is None or one.process.depth <= lowest) else None
            for one in self._tree.descendants(ProcessKey(who.entity_id, time_ns))
        )
        key = ProcessKey(who.entity_id, None if who.time_ns is None else time_ns)
        return self._head(time_ns) | self._forgotten(key, "descendants" if ended else "living"), [root], below

    def threads(self, entity_id: str, given: Given) -> Rows[Any]:
        """Threads of a process, ended ones too, its leader first."""
        parameters.check_names(given, {"at"})
        time_ns = self._when(entity_id, given)
        key = ProcessKey(entity_id, time_ns)
        found = self._tree.each_thread_of(key)
        return Rows(self._head(time_ns) | self._forgotten(key, "threads"), "threads", found, self._thread)

    def artifacts(self, entity_id: str, given: Given) -> Fields:
        """What a process did of one kind, oldest first; ``dropped``: older ones that are not known any more."""
        parameters.check_names(given, {"at", "kind"})
        kind = parameters.one_of("kind", given.get("kind", "credentials"), KINDS)
        time_ns = self._when(entity_id, given)
        key = ProcessKey(entity_id, time_ns)
        found = self._tree.artifacts(key, kind)
        of_host = _is_of_host(self._tree.process(key).process)
        noted = [self._answers.artifact(artifact, of_host=of_host) for artifact in found.artifacts]
        return self._one({"kind": kind, "artifacts": noted, "dropped": found.dropped}, time_ns)

    def thread(self, entity_id: str | None, given: Given) -> Fields | Rows[Any]:
        """One thread, by id or by ``tid``; with ``history`` all that it has been until then."""
        parameters.check_names(given, {"at", "history"} | (set() if entity_id else {"tid"}))
        history = parameters.switch("history", given.get("history"))
        entity_id, asked_ns = self._which_thread(entity_id, given)
        answer = self._tree.thread_at(ThreadKey(entity_id, asked_ns))
        time_ns = self._at(asked_ns, answer.since_ns)
        if not history:
            return self._one(self._thread(answer), time_ns)
        versions = self._tree.thread_versions(entity_id)
        if asked_ns is not None:
            versions = [*(one for one in versions if one.since_ns < answer.since_ns), answer]
        head = self._head(time_ns) | {"entity_id": entity_id, "versions_known": len(versions)}
        return Rows(head, "versions", iter(versions), self._thread)

    def _which_thread(self, entity_id: str | None, given: Given) -> ThreadKey:
        """As ``_who`` does."""
        self._begun()
        if entity_id is not None:
            return ThreadKey(entity_id, self._moment(given).until_ns if "at" in given else None)
        if "tid" not in given:
            raise Problem("bad_parameter", "which thread? tid is missing")
        tid = parameters.number("tid", given["tid"])
        if "at" not in given:
            return ThreadKey(self._tree.by_tid(tid).entity_id)
        from_ns, until_ns = self._moment(given)
        self._remembered(until_ns)
        return ThreadKey(self._tree.by_tid(tid, from_ns, until_ns).entity_id, until_ns)

    def _thread(self, answer: ThreadAnswer) -> Fields:
        process: ProcessVersion | None = None
        with suppress(NoAnswer):
            process = self._tree.process(ProcessKey(answer.process_id, answer.since_ns)).process
        return self._answers.thread(answer, process, of_host=process is not None and _is_of_host(process))

    def _who(self, entity_id: str | None, given: Given) -> ProcessKey:
        """Whom the question means, and when. Raises NoAnswer where a pid means nobody, or several."""
        self._begun()
        if entity_id is not None:
            return ProcessKey(entity_id, self._moment(given).until_ns if "at" in given else None)
        if "pid" not in given:
            raise Problem("bad_parameter", "which process? pid is missing")
        pid = parameters.number("pid", given["pid"])
        if "at" not in given:
            return ProcessKey(self._tree.by_pid(pid).process.entity_id)
        from_ns, until_ns = self._moment(given)
        self._remembered(until_ns)
        found = self._tree.by_pid(pid, from_ns, until_ns)
        return ProcessKey(found.process.entity_id, until_ns)

    def candidates(self, error: NoAnswer) -> list[Fields]:
        """The processes or threads that an ambiguous question may mean, youngest first."""
        return [*map(self._answers.version, error.candidates), *map(self._thread, error.threads)]

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

    def _at(self, time_ns: int | None, since_ns: int) -> int:
        """The moment of an answer that begins to hold at ``since_ns``; without a time, the latest event."""
        return max(self._progress.last_ns, since_ns) if time_ns is None else time_ns

    def _when(self, entity_id: str, given: Given) -> int:
        """Likewise, of a question about more than the process itself. Raises NoAnswer where it is not known."""
        self._begun()
        if "at" in given:
            return self._moment(given).until_ns
        return self._at(None, self._tree.process(ProcessKey(entity_id)).since_ns)

    def _head(self, time_ns: int) -> Fields:
        return {"host": self._answers.host(), "at": self._answers.date(time_ns)}

    def _one(self, described: Fields, time_ns: int) -> Fields:
        return {**self._head(time_ns), **described}

    def _rows(
        self, head: Fields, found: Iterable[ProcessAnswer | None], tail: Callable[[], Fields] = dict
    ) -> Rows[ProcessAnswer]:
        return Rows(head, "processes", iter(found), self._answers.version, tail)


def _is_of_host(process: ProcessVersion) -> bool:
    """Whether names of this host's accounts fit its ids."""
    return process.pid_ns == process.boot_pid_ns


def _by_pid(entity_id: str | None) -> set[str]:
    return {"pid"} if entity_id is None else set()
