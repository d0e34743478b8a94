"""The seam of sinks: where finished documents go.

A sink sends one batch and says what became of each document. It keeps nothing and retries nothing: that is the
outbox's work (later the durable spool's), the same for every sink.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pipeline.document import Document


class Dead(NamedTuple):
    """A document that will never be taken, and the sink's reason in a few words."""

    document: Document
    reason: str


class Delivery(NamedTuple):
    """What became of one batch: every document is in exactly one of the four."""

    done: int
    duplicates: int = 0  # were there already; as good as done
    again: Sequence[Document] = ()  # to be sent again, after a pause
    dead: Sequence[Dead] = ()


class Sink(Protocol):
    batch_max_documents: int
    batch_max_bytes: int
    in_flight_max: int  # batches at the same time

    def open(self) -> None:
        """Open what only the starting user may: files. Called once, before privileges are dropped. Raises SinkError."""
        ...

    async def connect(self) -> None:
        """First contact. Raises SinkUnavailable while nobody answers, SinkError when waiting will not help."""
        ...

    async def send(self, batch: Sequence[Document]) -> Delivery:
        """Send one batch. Raises SinkUnavailable when the whole batch is to be sent again, SinkError for good."""
        ...

    async def aclose(self) -> None:
        """Flush to disk, close. Safe to call twice."""
        ...
