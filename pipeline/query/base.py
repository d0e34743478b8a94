"""The seam of questions: who can be asked about documents that were kept."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple, Protocol

from pipeline.query.lineage_query import LineageQuery

Fields = dict[str, Any]
"""An ECS document, parsed."""


class Found(NamedTuple):
    documents: list[Fields]
    more: bool  # there were more than asked for


class Archive(Protocol):
    name: str  # for messages: where the answers come from

    async def find(self, query: LineageQuery, since: datetime, limit: int) -> Found:
        """Newest matching document of each process, newest first."""
        ...

    async def processes(self, since: datetime, until: datetime, pid: int | None) -> Found:
        """Newest document, not after ``until``, of each process that has one in that time.

        With ``pid`` only what a tree below processes of that pid needs, and what they descend from.
        """
        ...

    async def aclose(self) -> None:
        """Safe to call twice."""
        ...
