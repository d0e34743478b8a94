"""Every number the product counts about itself, in one typed list; each says when to look at it.

Nothing is dropped, cut or tried again without one of these. ``docs/configuration.md`` lists them (tested).
"""

from __future__ import annotations

from collections import Counter as _Counter
from dataclasses import dataclass, field, fields


def _count(when: str) -> int:
    value: int = field(default=0, metadata={"when": when})
    return value


def _by_reason(when: str) -> _Counter[str]:
    value: _Counter[str] = field(default_factory=_Counter, metadata={"when": when})
    return value


@dataclass(slots=True)
class Counters:
    """Plain integers, and ``collections.Counter`` where a reason belongs to the number."""

    records: int = _count("how much the source has handed over; stands still when nothing runs or the source is stuck")
    events: int = _count("records that were decoded; less than records means bad_records")
    bad_records: _Counter[str] = _by_reason("a record could not be decoded: another version, a cut file, or a bug of ours")
    lost_records: _Counter[str] = _by_reason(
        "the kernel had no room in the ring: raise ring_bytes, or give the agent more CPU; by kind of record"
    )
    clock_steps: int = _count("the wall clock was set; documents from then on carry the new time")
    unnamed_processes: int = _count("/proc had no command line any more when the snapshot came to it; its name is comm")

    processes_evicted: int = _count("the tree was full and forgot an ended process: raise processes_max")
    threads_evicted: int = _count("the tree was full and forgot a thread: raise threads_max")
    over_bound: int = _count("more processes are alive than processes_max; all are kept, memory grows")
    bad_transitions: _Counter[str] = _by_reason("an event that does not fit the tree (an end before its start, say) changed nothing")
    unknown_parents: int = _count("a process whose birth parent nobody has told of; its lineage begins with unknown")

    documents: int = _count("documents made")
    strings_cut: int = _count("a string was longer than Elasticsearch takes in one term and was cut, and flagged lineage.doubt: cut")
    secrets_masked: int = _count("arguments that matched mask_patterns and were masked")

    delivered: int = _count("documents the sink has confirmed")
    duplicates: int = _count("documents that were there already: a resend whose first answer was lost")
    retried: int = _count("documents sent again after 429, 5xx or a lost connection; constantly rising: Elasticsearch is too slow")
    refused: _Counter[str] = _by_reason("documents Elasticsearch will never take, kept in the dead letter file; by its reason")
    dropped: _Counter[str] = _by_reason("documents given up, with the reason: the outbox was full, or the end came before the sink")
    dead_letters_dropped: int = _count("refused documents for which the dead letter file had no more room")
    outbox_bytes: int = _count("bytes waiting now; near outbox_max_bytes: the sink does not keep up")
    store_evicted: int = _count("oldest documents removed from the local store to stay under store_max_bytes")

    @classmethod
    def described(cls) -> dict[str, str]:
        """Name of each counter and the sentence that says when to look at it."""
        return {f.name: f.metadata["when"] for f in fields(cls)}

    def lost(self) -> int:
        return sum(self.lost_records.values())
