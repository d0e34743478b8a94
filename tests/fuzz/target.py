"""What is fuzzed: bytes to records, decoded, put into the tree, described; and what must hold whatever they were.

Rules of this file:
- an input is a stream: of each record two bytes of length, then the record, whatever that says of its own length. A
  record of the host goes before, as in every stream;
- no exception is expected: a bad record, and an event that does not fit, are counted;
- what is looked at afterwards are the promises of ``decode``, ``retention``, ``reapers`` and ``process_version``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import orjson

from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.enrich import Describer
from pipeline.flow import Flow
from pipeline.process import ANCESTORS_MAX
from pipeline.sources.decode import decode_batch
from pipeline.sources.synthetic import Synthetic
from pipeline.tree import NoAnswer, ProcessKey, ProcessTree
from pipeline.tree.known import history
from pipeline.tree.known.state import CLOSED

PROCESSES_MAX = 24
THREADS_MAX = 8
_LENGTH = struct.Struct("<H")
_HOST = Synthetic().records[0]
_PATTERNS = Config.model_fields["mask_patterns"].default


def frame(records: Iterable[bytes]) -> bytes:
    """The input that ``records`` are: at most 65,535 bytes of each."""
    return b"".join(_LENGTH.pack(len(record[:65535])) + record[:65535] for record in records)


def unframe(raw: bytes) -> list[bytes]:
    """The last record of an input may be shorter than its length."""
    records: list[bytes] = []
    at = 0
    while at + _LENGTH.size <= len(raw):
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        records.append(raw[at : at + length])
        at += length
    return records


def try_out(records: list[bytes]) -> Counters:
    """Put them through all that is pure. Raises AssertionError where a promise is broken."""
    nothing: Any = None
    counters = Counters()
    tree = ProcessTree(PROCESSES_MAX, THREADS_MAX, counters)
    flow = Flow(nothing, tree, Describer("fuzz", _PATTERNS, counters), nothing, counters, shutdown_s=0)
    records = [_HOST, *records]
    events = decode_batch(records, counters)
    assert len(events) + counters.bad_records.total() == len(records)
    for document in flow.work(events):
        assert isinstance(orjson.loads(document.body), dict)
    _look_at(tree)
    return counters


def _look_at(tree: ProcessTree) -> None:
    state = tree._state
    processes = state.processes
    assert processes.known == len(processes.pinned) + len(processes.idle) == len(tree)
    assert len(tree) <= max(PROCESSES_MAX, len(processes.pinned))
    assert len(processes.evicted) <= PROCESSES_MAX
    assert all(processes.peek(key) is not None or key in processes.evicted for key in processes.beyond)
    assert len(state.threads) <= max(THREADS_MAX, len(state.threads.living))
    assert len(state.threads.evicted) <= THREADS_MAX
    assert sum(map(len, state.early.values())) == state.early_events <= PROCESSES_MAX
    assert set(processes.by_id.values()) == set(processes)
    assert len(state.early_args) <= PROCESSES_MAX
    for process in processes:
        assert process.pins >= 0
        assert not process.alive or process.key in processes.pinned
        for child in (process.children or {}).values():
            assert process.alive or process.phase == CLOSED
            assert child.alive
            assert child.reaper_key == process.key
        for key, thread in (process.threads or {}).items():
            assert (state.threads.by_id[thread.entity_id], thread.process, thread.key) == (thread, process.key, key)
            assert process.alive or thread.end_ns is not None
        for child in (process.offspring or {}).values():
            assert (processes.peek(child.key), child.parent_key) == (child, process.key)
        moments = [one.since_ns for one in history.versions(process)]
        assert moments == sorted(moments)
        assert len(moments) <= max(state.versions_max, 2)
        for moment_ns in moments:
            try:
                answer = tree.process(ProcessKey(process.entity_id, max(moment_ns, process.start_ns)))
            except NoAnswer as none:  # no more than a change was told of it by then
                assert (none.reason, process.birth_told) == ("before_memory", False)  # noqa: PT017
            else:
                assert answer.process.entity_id == process.entity_id
        version = tree.get(*process.key)
        assert version is not None
        assert len(version.ancestors) == min(version.depth, ANCESTORS_MAX)
        assert process.key not in {(ancestor.pid, ancestor.start_ns) for ancestor in version.ancestors}
