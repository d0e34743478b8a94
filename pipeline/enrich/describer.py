"""A process at one moment, as one ECS document. Puts the parts together; what they say is in ``ecs`` and ``relatives``.

Rules: a pure function of the stream and the configuration, to the byte; a fork, an exec and an end make one document
each, other events none; a field that is not known is not there (``args`` always is). ``mappings/fields.yml`` lists
every field.

Speed: whatever is shared between documents is JSON already, so that one document is a few look-ups, four small formats
and one ``join``. Measured in the flow, 5.5 kB a document: 13 us when all parts are found again, 26 with a command line
not seen before, 55 for the first child of a new parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from pipeline.counters import Counters
from pipeline.document import Document
from pipeline.enrich.ecs import ImagePart, Parts, inner, members
from pipeline.enrich.ids import event_id
from pipeline.enrich.kernel_names import signal_name
from pipeline.enrich.lineage import chain, lineage
from pipeline.enrich.masking import Masker
from pipeline.enrich.relatives import Relatives, RelativesPart
from pipeline.enrich.tables import Tables
from pipeline.enrich.text import TERM_MAX_BYTES
from pipeline.events import Exec, Exit, Fact, Fork, ProcessEvent
from pipeline.process import Ancestor, ProcessVersion
from pipeline.wire import RUNNING

ECS_VERSION = "9.4.0"
STREAM = "process"
DATASET = "lineage.process"
RARE_MAX = 512
STANDARD_STREAMS = ("stdin", "stdout", "stderr")

# The small pieces between the big shared ones; `%` over the whole would copy the big ones again and again as it grows.
HEAD = b'{"@timestamp":"%b","message":"%b (pid %d)%b","event":{%b,"id":"%b","sequence":%d%b},'
PROCESS = b',"process":{"entity_id":"%b","pid":%d,"vpid":%d,"start":"%b"%b,'
NOW = b'%b,"interactive":%b%b,"lineage":"%b","thread":{"id":%d,"name":"%b","capabilities":'
LINEAGE = b',"lineage":{"chain":"%b",%b%b}}'


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


FORK = _kind("event", "start", "fork")
EXEC = _kind("event", "start", "exec")
END = _kind("event", "end", "end")
SNAPSHOT = _kind("state", "info", "snapshot")


class Describer:
    """``namespace`` is the last part of the data stream's name. Raises ConfigError for a pattern that is none."""

    def __init__(self, namespace: str, mask_patterns: Sequence[str], counters: Counters) -> None:
        self.tables = Tables()
        self._data_stream = {"type": "logs", "dataset": DATASET, "namespace": namespace}
        self._counters = counters
        self._parts = Parts(self.tables, Masker(mask_patterns), counters)
        self._relatives = Relatives(self._parts)
        self._rare = lru_cache(RARE_MAX)(self._make_rare)
        self._constant = b""  # ecs, data_stream, agent, host: the same in every document of a stream

    def learn(self, fact: Fact) -> None:
        """Take in what later documents need: host facts, an account's name, a step of the wall clock."""
        self.tables.learn(fact)
        self._parts.clear()
        self._relatives.clear()
        host = self.tables.host
        described: dict[str, Any] = {"ecs": {"version": ECS_VERSION}, "data_stream": self._data_stream}
        if host.facts.get("agent"):
            described["agent"] = host.facts["agent"]
        described["host"] = {
            **host.facts.get("host", {}),
            "boot": {"id": str(UUID(bytes=host.boot_id))},
            "pid_ns_ino": str(host.pid_ns),
        }
        self._constant = members(described)

    def describe(self, event: ProcessEvent, process: ProcessVersion) -> Document | None:
        """The document of a fork, an exec or an end; None for what makes none.

        Raises RecordingError when the stream has not told of its host.
        """
        if isinstance(event, Exec):
            return self._born(event, process, EXEC, b" executed")
        if isinstance(event, Fork):
            return self._born(event, process, FORK, b" was forked")
        if isinstance(event, Exit):
            return self._end(event, process)
        return None

    def describe_running(self, process: ProcessVersion) -> Document:
        """The state document of a process that the snapshot found. Raises RecordingError as ``describe`` does."""
        name = event_id(self.tables.host.boot_id, RUNNING, process.pid, process.tid, process.since_ns, 0, 0)
        relatives = self._relatives.of(process)
        sentence = relatives.child_of + b" was running" + self._parts.image(process.image).command
        return self._fill(process, relatives, SNAPSHOT, name, process.since_ns, sentence)

    def _born(self, event: Fork | Exec, process: ProcessVersion, kind: bytes, did: bytes) -> Document:
        stamp = event.stamp
        name = event_id(
            self.tables.host.boot_id, stamp.kind, process.pid, event.task.tid, stamp.time_ns, stamp.cpu, stamp.sequence
        )
        relatives = self._relatives.of(process)
        sentence = relatives.child_of + did + self._parts.image(process.image).command
        return self._fill(process, relatives, kind, name, stamp.time_ns, sentence)

    def _end(self, event: Exit, process: ProcessVersion) -> Document:
        stamp = event.stamp
        name = event_id(
            self.tables.host.boot_id, stamp.kind, process.pid, event.task.tid, stamp.time_ns, stamp.cpu, stamp.sequence
        )
        signal = event.status & 0x7F
        if signal:
            exit_code = 128 + signal
            sentence = b" was killed by %b" % signal_name(signal).encode()
            how = b',"exit":{"signal":%d,"core":%b}' % (signal, b"true" if event.core_dumped else b"false")
        else:
            exit_code = event.status >> 8 & 0xFF
            sentence = b" ended with exit code %d" % exit_code
            how = b',"exit":{"core":false}'
        if event.core_dumped:
            sentence += b", core dumped"
        start, end = self.tables.stamp(process.start_ns), self.tables.stamp(stamp.time_ns)
        return self._fill(
            process,
            self._relatives.of(process),
            END,
            name,
            stamp.time_ns,
            sentence,
            more_event=b',"start":"%b","end":"%b","duration":%d'
            % (start, end, max(stamp.time_ns - process.start_ns, 0)),
            more_process=b',"end":"%b","exit_code":%d' % (end, exit_code),
            more_lineage=how,
        )

    def _fill(
        self,
        process: ProcessVersion,
        relatives: RelativesPart,
        kind: bytes,
        name: bytes,
        time_ns: int,
        sentence: bytes,  # what happened, as JSON: the process's name and pid are put before it
        *,
        more_event: bytes = b"",
        more_process: bytes = b"",
        more_lineage: bytes = b"",
    ) -> Document:
        parts = self._parts
        image = parts.image(process.image)
        accounts = parts.accounts(process.credentials, process.pid_ns == process.boot_pid_ns)
        directory = parts.directory(process.working_directory)
        comm = parts.text(process.thread_name)
        pair, whole, lineage_cut = self._lineage(process, relatives, image)
        is_cut = image.cut or relatives.cut or directory.cut or comm.cut or lineage_cut
        previous = parts.previous(process.previous)
        is_cut = is_cut or previous.cut
        if is_cut or process.doubt or process.reaper or process.sockets:
            more_lineage += self._rare(is_cut, process.doubt, process.sockets, process.reaper)
        pid = process.pid
        stamp = self.tables.stamp
        body = b"".join(
            (
                HEAD % (stamp(time_ns), image.name, pid, sentence, kind, name, time_ns, more_event),
                self._constant,
                PROCESS % (process.entity_id.encode(), pid, process.ns_pid, stamp(process.start_ns), more_process),
                image.members,
                NOW
                % (
                    directory.json,
                    b"true" if process.interactive else b"false",
                    parts.tty(process.tty),
                    pair,
                    process.tid,
                    comm.json,
                ),
                accounts.capabilities,
                b"},",
                accounts.members,
                previous.json,
                relatives.blocks,
                b"},",
                accounts.top,
                LINEAGE % (whole, relatives.lineage, more_lineage),
            )
        )
        return Document(name.decode(), STREAM, body)

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
