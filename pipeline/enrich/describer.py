"""A process at one moment, as one ECS document. Puts the parts together; what they say is in ``ecs`` and ``relatives``.

Rules: a pure function of the stream and the configuration, to the byte; a fork, an exec and an end make one document
each, and so does what a snapshot found running, or gone; other events none, nor processes that a filter names; a field
that is not known is not there (``args`` always is). ``mappings/fields.yml`` lists every field.

Speed: whatever is shared between documents is JSON already, so that one document is a few look-ups, a few small formats
and one ``join``; and what was said of a process at its exec is found again at its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from pipeline.containers import Container
from pipeline.counters import Counters
from pipeline.document import Document
from pipeline.enrich.containers import end_of_document
from pipeline.enrich.ecs import ARGUMENTS_KEPT_MAX, ImagePart, Parts, inner, members
from pipeline.enrich.ids import CLOSED, event_id
from pipeline.enrich.kernel_names import signal_name
from pipeline.enrich.lineage import chain, lineage
from pipeline.enrich.masking import Masker
from pipeline.enrich.relatives import Relatives, RelativesPart
from pipeline.enrich.tables import CONTAINERS_MAX, Tables
from pipeline.enrich.text import TERM_MAX_BYTES
from pipeline.events import Container as ContainerFact
from pipeline.events import Credentials, Exec, Exit, Fact, Fork, ProcessEvent
from pipeline.process import Ancestor, ProcessVersion
from pipeline.wire import EXIT, RUNNING

ECS_VERSION = "9.4.0"
STREAM = "process"
DATASET = "lineage.process"
RARE_MAX = 512
SAID_MAX = 1024
STANDARD_STREAMS = ("stdin", "stdout", "stderr")

# The small pieces between the big shared ones; `%` over the whole would copy the big ones again and again as it grows.
NOW = b'%b,"interactive":%b%b,"lineage":"%b","thread":{"id":%d,"name":"%b"'
LINEAGE = b',"lineage":{"chain":"%b"%b,%b'
ENDED = b'"start":"%b","end":"%b"'
HOW = b',"exit":{%b"core":%b%b%b}'

_new = tuple.__new__  # a third of the time of calling the NamedTuple
_state = itemgetter(slice(ProcessVersion._fields.index("pid"), ProcessVersion._fields.index("exit_status")))
"""Of a version, all that its documents say whatever the event is; what is before and behind it goes with the event."""


def _kind(kind: str, type_: str, action: str) -> bytes:
    return members(
        {
            "kind": kind,
            "category": ["process"],
            "type": [type_],
            "action": action,
            "module": "lineage",
            "dataset": DATASET,
        }
    )


def _head(kind: bytes, more: bytes = b"") -> bytes:
    """For ``%``: instant, name, pid, three parts of a sentence, event.id, sequence."""
    message = b'{"@timestamp":"%b","message":"%b (pid %d)%b%b%b","event":{'
    return message + kind + b',"id":"%b","sequence":%d' + more + b"},"


FORK = _head(_kind("event", "start", "fork"))
EXEC = _head(_kind("event", "start", "exec"))
END = _head(_kind("event", "end", "end"), b"," + ENDED + b',"duration":%d')
GONE = _head(_kind("event", "end", "end"), b"," + ENDED)
SNAPSHOT = _head(_kind("state", "info", "snapshot"))


class Said(NamedTuple):
    """What a version's documents say whatever the event is."""

    name: bytes  # for the message
    child_of: bytes  # likewise
    command: bytes  # likewise
    identity: bytes  # the first members of the process object
    image: tuple[bytes, ...]  # from there into the thread object
    new: bytes  # the end of the thread object, and what begins to hold with an image: of an exec and what was running
    rest: tuple[bytes, ...]  # from behind the thread object to the middle of the lineage object
    rare: bytes  # members of the lineage object that not every document has, each with the comma before it
    rare_new: bytes  # those, and what begins to hold with an image


class Describer:
    """``namespace`` is the last part of the data stream's name. Raises ConfigError for a pattern that is none."""

    def __init__(self, namespace: str, mask_patterns: Sequence[str], counters: Counters) -> None:
        self.tables = Tables(counters)
        self._data_stream = {"type": "logs", "dataset": DATASET, "namespace": namespace}
        self._counters = counters
        self._parts = Parts(self.tables, Masker(mask_patterns), counters)
        self._relatives = Relatives(self._parts)
        self._rare = lru_cache(RARE_MAX)(self._make_rare)
        self._contained = lru_cache(CONTAINERS_MAX)(self._make_contained)
        self._said: dict[str, tuple[tuple[object, ...], Said]] = {}  # entity id -> of which state, what was said
        self._constant = b""  # ecs, data_stream, agent, host: the same in every document of a stream

    def learn(self, fact: Fact) -> None:
        """Take in what later documents need: host facts, names of accounts, steps of the wall clock, containers."""
        self.tables.learn(fact)
        self._contained.cache_clear()
        if isinstance(fact, ContainerFact):
            return  # nothing else hangs on one
        self._parts.clear()
        self._relatives.clear()
        self._said.clear()
        facts = self.tables.host.facts
        described: dict[str, Any] = {"ecs": {"version": ECS_VERSION}, "data_stream": self._data_stream}
        if facts.get("agent"):
            described["agent"] = facts["agent"]
        described["host"] = self.host()
        self._constant = members(described) + b',"process":{'

    def describe(self, event: ProcessEvent, process: ProcessVersion) -> Document | None:
        """The document of a fork, an exec or an end; None for what makes none, and where a filter says so.

        Raises RecordingError when the stream has not told of its host.
        """
        if process.filtered:
            self._counters.filtered += isinstance(event, (Fork, Exec, Exit))
            return None
        if isinstance(event, Exec):
            return self._born(event, process, EXEC, b" executed")
        if isinstance(event, Fork):
            return self._born(event, process, FORK, b" was forked")
        if isinstance(event, Exit):
            return self._end(event, process)
        return None

    def describe_snapshot(
        self, running: Iterable[ProcessVersion], gone: Iterable[ProcessVersion]
    ) -> Iterator[Document]:
        """The documents of what a snapshot found, and of what was found to be gone, filtered ones left out."""
        for describe, processes in ((self.describe_running, running), (self.describe_gone, gone)):
            for process in processes:
                if process.filtered:
                    self._counters.filtered += 1
                else:
                    yield describe(process)

    def describe_running(self, process: ProcessVersion) -> Document:
        """The state document of a process that the snapshot found. Raises RecordingError as ``describe`` does."""
        time_ns = process.since_ns
        name = event_id(self.tables.host.boot_id, RUNNING, process.pid, process.tid, time_ns, 0, 0)
        said = self._say(process)
        instant = self.tables.instant(time_ns)
        head = SNAPSHOT % (instant, said.name, process.pid, said.child_of, b" was running", said.command, name, time_ns)
        return self._put_together(name, head, process, said, b",", said.new, said.rare_new)

    def describe_gone(self, process: ProcessVersion) -> Document:
        """The end of a process that ended while records were lost: a snapshot did not find it, or its pid is another's.

        ``process.end`` is when that snapshot, or that other process, began. When and how it ended nobody knows: no
        duration, no exit code.
        """
        time_ns, pid = process.end_ns, process.pid
        assert time_ns is not None  # who found it gone has set it
        if "loss" not in process.doubt:
            process = process._replace(doubt=tuple(sorted((*process.doubt, "loss"))))
        name = event_id(self.tables.host.boot_id, EXIT, pid, process.tid, time_ns, 0, 0, CLOSED)
        said = self._say(process)
        del self._said[process.entity_id]
        start, end = self.tables.stamp(process.start_ns), self.tables.instant(time_ns)
        sentence = b" had ended unseen when all that runs was looked at again"
        head = GONE % (end, said.name, pid, sentence, b"", b"", name, time_ns, start, end)
        return self._put_together(name, head, process, said, b',"end":"%b",' % end, b"}", said.rare)

    def describe_version(self, process: ProcessVersion) -> bytes:
        """A version without an event: the objects process, user, related, lineage, container, as documents have them.

        JSON. Nothing is kept for it, so that questions about the past do not slow what happens. Raises RecordingError
        as ``describe`` does.
        """
        said = self._make_said(process)
        outcome, how = b",", b""
        if process.end_ns is not None:
            outcome = b',"end":"%b",' % self.tables.instant(process.end_ns)
        if process.exit_status is not None:
            signal = process.exit_status & 0x7F
            outcome += b'"exit_code":%d,' % (128 + signal if signal else process.exit_status >> 8 & 0xFF)
            how = b',"exit":{"signal":%d}' % signal if signal else b""
        container = process.container
        end = b"}}" if container is None else self._contained(container)
        pieces = (said.identity, outcome, *said.image, said.new, *said.rest, how, said.rare_new, end)
        return b"".join((b'{"process":{', *pieces))

    def host(self) -> dict[str, Any]:
        """The object ``host`` of all documents of the stream. Raises RecordingError as ``describe`` does."""
        host = self.tables.host
        return {
            **host.facts.get("host", {}),
            "boot": {"id": str(UUID(bytes=host.boot_id))},
            "pid_ns_ino": str(host.pid_ns),
        }

    def shown(self, text: str) -> str:
        """Text of a process as a document has it: at most one term of it."""
        return self._parts.cut(text)

    def describe_relative(self, ancestor: Ancestor) -> bytes:
        """An ancestor as the document of its child has it: the object ``process.parent``, JSON."""
        return self._parts.parent(ancestor).json

    def describe_credentials(self, credentials: Credentials, *, of_host: bool) -> bytes:
        """Users and groups as the object ``process`` has them, JSON. ``of_host``: names of this host's accounts fit."""
        return b"{%b}" % self._parts.accounts(credentials, of_host).members

    def describe_capabilities(self, credentials: Credentials) -> bytes:
        """The object ``process.thread.capabilities``, JSON."""
        return self._parts.accounts(credentials, False).capabilities

    def beside(self, process: ProcessVersion) -> dict[str, Any]:
        """What versions tell and no document has: namespaces, the cgroup's number, ids that files are opened with.

        Numbers as documents write those of namespaces, and only those that were told.
        """
        spaces = {"pid": process.pid_ns, "user": process.credentials.user_ns, **process.namespaces._asdict()}
        spaces["pid_for_children"] = spaces.pop("children_pid")
        of_host = process.pid_ns == process.boot_pid_ns
        uid, gid = process.credentials.fsuid, process.credentials.fsgid
        users = {"user": (uid, self.tables.user_name(uid)), "group": (gid, self.tables.group_name(gid))}
        told: dict[str, Any] = {
            "filesystem": {
                kind: {"id": str(number)} | ({"name": name} if name and of_host else {})
                for kind, (number, name) in users.items()
            },
            "namespaces": {name: str(inode) for name, inode in spaces.items() if inode},
        }
        if process.cgroup_id:
            told["cgroup"] = {"id": str(process.cgroup_id)}
        return told

    def _born(self, event: Fork | Exec, process: ProcessVersion, head: bytes, did: bytes) -> Document:
        (time_ns, cpu, sequence, kind), task = event[:2]
        pid = process[2]
        name = event_id(self.tables.host.boot_id, kind, pid, task[1], time_ns, cpu, sequence)
        said = self._say(process)
        instant = self.tables.instant(time_ns)
        new, rare = (b"}", said.rare) if head is FORK else (said.new, said.rare_new)
        filled = head % (instant, said[0], pid, said[1], did, said[2], name, time_ns)
        return self._put_together(name, filled, process, said, b",", new, rare)

    def _end(self, event: Exit, process: ProcessVersion) -> Document:
        (time_ns, cpu, sequence, kind), task, status, core_dumped, _, _, _, cpu_ns, memory_peak_bytes, _ = event
        pid, start_ns = process.pid, process.start_ns
        name = event_id(self.tables.host.boot_id, kind, pid, task[1], time_ns, cpu, sequence)
        signal = status & 0x7F
        if signal:
            exit_code, killed = 128 + signal, b'"signal":%d,' % signal
            sentence = b" was killed by %b" % signal_name(signal).encode()
        else:
            exit_code, killed = status >> 8 & 0xFF, b""
            sentence = b" ended with exit code %d" % exit_code
        how = HOW % (
            killed,
            b"true" if core_dumped else b"false",
            b',"cpu_ns":%d' % cpu_ns if cpu_ns else b"",
            b',"memory_peak_bytes":%d' % memory_peak_bytes if memory_peak_bytes else b"",
        )
        said = self._say(process)
        self._said.pop(process.entity_id, None)  # nothing comes after its end
        start, end = self.tables.stamp(start_ns), self.tables.instant(time_ns)
        dumped = b", core dumped" if core_dumped else b""
        duration_ns = max(time_ns - start_ns, 0)
        head = END % (end, said.name, pid, sentence, dumped, b"", name, time_ns, start, end, duration_ns)
        outcome = b',"end":"%b","exit_code":%d,' % (end, exit_code)
        return self._put_together(name, head, process, said, outcome, b"}", how + said.rare)

    def _put_together(
        self, name: bytes, head: bytes, process: ProcessVersion, said: Said, outcome: bytes, new: bytes, rare: bytes
    ) -> Document:
        """``outcome``: of the process object, with commas around it; ``rare``: of the lineage object."""
        container = process.container
        end = b"}}" if container is None else self._contained(container)
        body = b"".join((head, self._constant, said.identity, outcome, *said.image, new, *said.rest, rare, end))
        return _new(Document, (name.decode(), STREAM, body))

    def _make_contained(self, container: Container) -> bytes:
        return end_of_document(container, self.tables.container_facts(container.id))

    def _say(self, process: ProcessVersion) -> Said:
        """Found again where the process is still in all that documents say as it was last: 0.6 us instead of 4."""
        state = _state(process)
        kept = self._said.get(process[0])
        if kept is not None and kept[0] == state:
            return kept[1]
        said = self._make_said(process)
        if len(process.image.args) > ARGUMENTS_KEPT_MAX:
            return said
        if kept is None and len(self._said) >= SAID_MAX:
            del self._said[next(iter(self._said))]
        self._said[process[0]] = state, said
        return said

    def _make_said(self, process: ProcessVersion) -> Said:
        parts = self._parts
        # One unpacking instead of twenty attributes of a tuple, 0.04 us each.
        (
            entity_id, _, pid, ns_pid, pid_ns, start_ns, ran, earlier, beside, path, credentials, session, thread_name,
            tid, _, _, _, sockets, _, _, _, _, _, _, doubt, reaper, _, _, _, _, boot_pid_ns, _, _,
        ) = process  # fmt: skip
        image, terminal = parts.image(ran), session.tty
        relatives = self._relatives.of(process)
        accounts = parts.accounts(credentials, pid_ns == boot_pid_ns)
        directory, comm, previous = parts.directory(path), parts.text(thread_name), parts.previous(earlier)
        pair, whole, lineage_cut = self._lineage(process, relatives, image)
        is_cut = image.own_cut or relatives.cut or directory.cut or comm.cut or previous.cut or lineage_cut
        is_cut = is_cut or beside != ()
        now = NOW % (
            directory.json,
            b"true" if terminal else b"false",
            parts.tty(terminal),
            pair,
            tid,
            comm.json,
        )
        rest = (
            b",",
            accounts.members,
            previous.json,
            relatives.blocks,
            b"},",
            accounts.top,
            LINEAGE % (whole, b',"pid_ns_ino":"%d"' % pid_ns if pid_ns else b"", relatives.lineage),
        )
        rare = self._rare(is_cut, doubt, sockets, reaper) if is_cut or doubt or reaper or sockets else b""
        identity = parts.identity(entity_id, pid, ns_pid, start_ns)
        until_thread = (image.members, now)
        new = b',"capabilities":%b}%b' % (accounts.capabilities, image.environment)
        rare_new = rare + image.own + accounts.unusual
        return _new(
            Said, (image.name, relatives.child_of, image.command, identity, until_thread, new, rest, rare, rare_new)
        )

    def _lineage(
        self, process: ProcessVersion, relatives: RelativesPart, image: ImagePart
    ) -> tuple[bytes, bytes, bool]:
        """``process.lineage`` and ``lineage.chain`` as JSON without quotes, and whether either had to be cut."""
        pair = relatives.parent + image.link
        whole = relatives.beginning + image.link
        if len(whole) <= TERM_MAX_BYTES and len(pair) <= TERM_MAX_BYTES:  # JSON is never shorter than the text
            return pair, whole, False
        pair_text, chain_text = lineage(process), chain(process)
        pair, whole = inner(pair_text), inner(chain_text)
        kept = len(pair) + len(whole)
        is_cut = kept < len(relatives.parent) + len(relatives.beginning) + 2 * len(image.link)
        self._counters.strings_cut += is_cut
        return pair, whole, is_cut

    def _make_rare(self, is_cut: bool, doubt: tuple[str, ...], sockets: int, reaper: Ancestor | None) -> bytes:
        """Members of the lineage object that not every document has, each with the comma before it."""
        described: dict[str, Any] = {}
        if is_cut and "cut" not in doubt:
            doubt = (*doubt, "cut")
        if doubt:
            described["doubt"] = doubt
        if reaper is not None:
            described["reaper"] = {"entity_id": reaper.entity_id, "pid": reaper.pid}
            if reaper.image.name:
                described["reaper"]["name"] = self._parts.cut(reaper.image.name)
        if sockets:
            described["sockets"] = [name for bit, name in enumerate(STANDARD_STREAMS) if sockets >> bit & 1]
        return b"," + members(described)
