"""Every number the product counts about itself, in one typed list; each says when to look at it.

Nothing is dropped, cut or tried again without one of these. ``docs/configuration.md`` lists them (tested).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, get_type_hints


def _reasons() -> Counter[str]:
    return Counter()


@dataclass(slots=True)
class Counters:
    """Plain integers, and ``collections.Counter`` where a reason belongs to the number."""

    records: Annotated[
        int,
        "how much the source has handed over; stands still when nothing runs or the source is stuck",
    ] = 0
    events: Annotated[int, "records that were decoded; less than records means bad_records"] = 0
    bad_records: Annotated[
        Counter[str],
        "a record could not be decoded: another version, a cut file, or a bug of ours",
    ] = field(default_factory=_reasons)
    disordered: Annotated[
        Counter[str],
        "a record's time or number is behind that of the record before it on the same processor; it was applied all "
        "the same: a damaged recording, or a bug of ours",
    ] = field(default_factory=_reasons)
    not_utf8: Annotated[
        int,
        "names or arguments held bytes that are no UTF-8, shown as U+FFFD; a path that comes again is counted once",
    ] = 0
    lost_records: Annotated[
        Counter[str],
        "the kernel had no room in the ring: raise ring_bytes, or give the agent more CPU; by kind of record",
    ] = field(default_factory=_reasons)
    repairs: Annotated[int, "after a loss, all that runs was looked at again; rises with lost_records"] = 0
    repairs_given_up: Annotated[
        int, "processes came and went faster than a repair could list them; it is tried again after repair_interval_s"
    ] = 0
    closed_unseen: Annotated[
        int, "a repair found that a process had ended, and nobody had told; its end document says when that was found"
    ] = 0
    clock_steps: Annotated[int, "the wall clock was set; documents from then on carry the new time"] = 0
    unnamed_processes: Annotated[
        int,
        "/proc had no command line any more when the snapshot came to it; its name is comm",
    ] = 0
    cgroups_untold: Annotated[
        int, "a cgroup has a path longer than a page: an older kernel then shows none of those its process is in"
    ] = 0

    containers_described: Annotated[int, "containers whose name and image container_runtime has told"] = 0
    containers_unknown: Annotated[
        int, "containers that container_runtime never knew, asked several times: another runtime started them"
    ] = 0
    container_lookups_failed: Annotated[
        Counter[str],
        "container_runtime did not answer as it should, by reason, and is asked again; unreachable: is it running?",
    ] = field(default_factory=_reasons)
    container_lookups_dropped: Annotated[
        Counter[str],
        "containers that stay without a name: full, too many were waiting; failed, every try went wrong",
    ] = field(default_factory=_reasons)
    container_facts_cut: Annotated[
        int, "a name, tag or digest was longer than is taken of a container, or too many"
    ] = 0

    processes_evicted: Annotated[int, "the tree was full and forgot an ended process: raise processes_max"] = 0
    versions_dropped: Annotated[
        int,
        "a process changed more often than versions_max, or processes were over their bound: answers about then say so",
    ] = 0
    texts_shortened: Annotated[
        int,
        "there was no room in the tree for all arguments of a process, or for a long path: later answers say that they "
        "are cut; raise texts_max_bytes",
    ] = 0
    artifacts_dropped: Annotated[
        int, "a process did more of one kind than artifacts_max, or processes were over their bound"
    ] = 0
    threads_evicted: Annotated[int, "the tree was full and forgot an ended thread: raise threads_max"] = 0
    threads_over_bound: Annotated[
        int, "more threads are alive than threads_max; what each was in between is not kept"
    ] = 0
    over_bound: Annotated[int, "more processes are alive than processes_max; all are kept, memory grows"] = 0
    bad_transitions: Annotated[
        Counter[str],
        "an event that does not fit the tree (an end before its start, say) changed nothing",
    ] = field(default_factory=_reasons)
    unknown_reapers_dropped: Annotated[
        int, "who adopted a process was not known, and there was no room to remember it: its next record will say"
    ] = 0
    unknown_parents: Annotated[
        int,
        "a process whose birth parent nobody has told of; its lineage begins with unknown",
    ] = 0

    documents: Annotated[int, "documents made"] = 0
    filtered: Annotated[int, "documents not made because a filter of the configuration (drop_...) says so"] = 0
    strings_cut: Annotated[
        int,
        "a string was longer than Elasticsearch takes in one term and was cut, and flagged lineage.doubt: cut",
    ] = 0
    secrets_masked: Annotated[int, "arguments and environment variables that matched mask_patterns and were masked"] = 0
    container_facts_dropped: Annotated[
        Counter[str],
        "told of a container, and not in documents: unlisted, of another type, cut; evicted: too many containers",
    ] = field(default_factory=_reasons)

    delivered: Annotated[int, "documents the sink has confirmed"] = 0
    duplicates: Annotated[int, "documents that were there already: a resend whose first answer was lost"] = 0
    retried: Annotated[
        int,
        "documents sent again after 429, 5xx or a lost connection; constantly rising: Elasticsearch is too slow",
    ] = 0
    refused: Annotated[
        Counter[str],
        "documents Elasticsearch will never take, kept in the dead letter file; by its reason",
    ] = field(default_factory=_reasons)
    dropped: Annotated[
        Counter[str],
        "documents given up, with the reason: the outbox was full, or the end came before the sink",
    ] = field(default_factory=_reasons)
    dead_letters_dropped: Annotated[int, "refused documents for which the dead letter file had no more room"] = 0
    outbox_bytes: Annotated[int, "bytes waiting now; near outbox_max_bytes: the sink does not keep up"] = 0
    store_evicted: Annotated[int, "oldest documents removed from the local store to stay under store_max_bytes"] = 0

    feed_lines_skipped: Annotated[
        int, "execs the live feed did not print because nobody could have read them; they are delivered all the same"
    ] = 0

    api_requests: Annotated[int, "questions that came to the API; rising fast: somebody asks in a loop"] = 0
    api_refused: Annotated[
        Counter[str],
        "questions without an answer, by reason; busy: more than api_requests_max at once, connections: too many open, "
        "no_request: none came whole in 15 s, slow: not read within api_timeout_s, internal: a bug of ours",
    ] = field(default_factory=_reasons)

    @classmethod
    def described(cls) -> dict[str, str]:
        """Name of each counter and the sentence that says when to look at it."""
        return {name: hint.__metadata__[0] for name, hint in get_type_hints(cls, include_extras=True).items()}

    def lost(self) -> int:
        return sum(self.lost_records.values())
