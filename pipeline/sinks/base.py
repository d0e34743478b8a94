"""The seam of sinks: where finished documents go.

A sink sends one batch and says what became of each document. It keeps nothing and retries nothing: that is the
outbox's work (later the durable spool's), the same for every sink.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pipeline.document import Document
from pipeline.errors import SinkError, SinkUnavailable


class SinkDenied(SinkUnavailable):
    """A sink that answers and refuses everything: only a person can mend it. Tried again at the longest pause."""


class SinkClosed(SinkError):  # noqa: N818 - like SinkUnavailable, it says what is, not that it is bad
    """Whoever read our output went away. No fault of anybody: the command ends without a word and with 0."""

    exit_code = 0


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
    trouble: str = ""  # why those in ``again`` were not taken


class Sink(Protocol):
    batch_max_documents: int
    batch_max_bytes: int  # may shrink when the other side takes less
    in_flight_max: int  # batches at the same time
    may_refuse: bool  # whether single documents can be refused for good: then a dead letter file is kept ready

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
