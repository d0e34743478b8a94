"""The seam of questions: who can be asked about documents that were kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from pipeline.query.lineage_query import LineageQuery

Fields = dict[str, Any]
"""An ECS document, parsed."""

View = tuple[str, str, str]
"""Host, boot and pid namespace: what one snapshot has looked at."""


class Found(NamedTuple):
    documents: list[Fields]
    more: bool  # there were more than asked for


class Coverage(NamedTuple):
    """How much the documents can tell of the present."""

    snapshots: Mapping[View, datetime]  # when the newest snapshot began, of each view that has one
    last: Mapping[str, datetime]  # host name -> its last event


class Archive(Protocol):
    name: str  # for messages: where the answers come from

    async def find(self, query: LineageQuery, since: datetime, limit: int) -> Found:
        """Newest matching document of each process, what began last first.

        The fork of a process that has executed something matches nothing: it only looked like its parent.
        """
        ...

    async def newest(self, entity_ids: list[str]) -> dict[str, Fields]:
        """Of each of these processes the newest document there is, or as much of it as tells how it ended."""
        ...

    async def processes(self, since: datetime, until: datetime, pid: int | None) -> Found:
        """Newest document, not after ``until``, of each process that has one in that time.

        With ``pid`` only what a tree below processes of that pid needs, and what they descend from.
        """
        ...

    async def coverage(self, since: datetime, until: datetime) -> Coverage:
        """Snapshots and last events in that time."""
        ...

    async def aclose(self) -> None:
        """Safe to call twice."""
        ...


def view(document: Fields) -> View | None:
    """Where a process is; None where the document does not tell the boot."""
    host = document.get("host") or {}
    boot = (host.get("boot") or {}).get("id")
    return (str(host.get("id") or ""), str(boot), str(host.get("pid_ns_ino") or "")) if boot else None


def host_name(document: Fields) -> str:
    host = document.get("host") or {}
    return str(host.get("name") or host.get("hostname") or "")


def told_at(document: Fields) -> datetime:
    """Raises ValueError for a document whose ``@timestamp`` is no time."""
    time = datetime.fromisoformat(str(document.get("@timestamp")))
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def has_ended(document: Fields) -> bool:
    process = document.get("process") or {}
    return (document.get("event") or {}).get("action") == "end" or bool(process.get("end"))


def is_missed(newest: Fields, snapshots: Mapping[View, datetime]) -> bool:
    """Whether a process without an end has ended all the same: a later snapshot of its host did not find it.

    One that was found has a document of the snapshot itself, so its newest is not older than the snapshot's first.
    """
    where = view(newest)
    began = snapshots.get(where) if where else None
    return began is not None and not has_ended(newest) and told_at(newest) < began


def newest_snapshots(runs: Iterable[tuple[View, datetime, datetime]]) -> dict[View, datetime]:
    """When the newest began, from the first and last state document of each run of an agent.

    The first of a run: a snapshot that a run takes later, after loss, tells only what was not known before.
    """
    newest: dict[View, tuple[datetime, datetime]] = {}
    for where, first, last in runs:
        if where not in newest or last > newest[where][0]:
            newest[where] = (last, first)
    return {where: first for where, (_, first) in newest.items()}
