"""Documents waiting for their batch: cut by count, by bytes and by age. Pure: the caller brings the time.

Documents leave in the order they came in. Costs are counted once, when a document enters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from pipeline.document import Document

CARRIER_BYTES = 256
"""What a waiting document costs besides its body (tuple, id, action line), so that bounds in bytes are true."""


def weight(document: Document) -> int:
    """Bytes a document counts for, in memory and in a batch."""
    return len(document.body) + CARRIER_BYTES


def weight_of(documents: Sequence[Document]) -> int:
    return sum([len(document.body) for document in documents]) + CARRIER_BYTES * len(documents)


class Batcher:
    """Bounded by whoever fills it: ``held_bytes`` says how full it is, ``drop_oldest`` makes room."""

    def __init__(self, flush_age_s: float) -> None:
        self.flush_age_s = flush_age_s
        self.held_bytes = 0
        self._documents: deque[Document] = deque()
        self._arrivals: deque[tuple[float, int]] = deque()  # when, and how many of them are still here

    def __len__(self) -> int:
        return len(self._documents)

    def __repr__(self) -> str:
        return f"<Batcher {len(self._documents)} documents, {self.held_bytes} bytes>"

    def add(self, documents: Sequence[Document], now: float) -> None:
        if documents:
            self._documents.extend(documents)
            self._arrivals.append((now, len(documents)))
            self.held_bytes += weight_of(documents)

    def due_at(self) -> float | None:
        """When the oldest document has waited long enough; None when there is none."""
        return self._arrivals[0][0] + self.flush_age_s if self._arrivals else None

    def full(self, max_documents: int, max_bytes: int) -> bool:
        """Whether one batch can be filled."""
        return len(self._documents) >= max_documents or self.held_bytes >= max_bytes

    def take(self, now: float, max_documents: int, max_bytes: int, flush: bool = False) -> list[Document]:
        """The next batch, empty while it is neither full nor old enough; ``flush`` takes what is there.

        A document heavier than ``max_bytes`` makes a batch of its own.
        """
        due_at = self.due_at()
        if due_at is None or not (flush or now >= due_at or self.full(max_documents, max_bytes)):
            return []
        batch: list[Document] = []
        taken_bytes = 0
        documents = self._documents
        while documents and len(batch) < max_documents:
            with_next_bytes = taken_bytes + weight(documents[0])
            if batch and with_next_bytes > max_bytes:
                break
            taken_bytes = with_next_bytes
            batch.append(documents.popleft())
        self._left(len(batch), taken_bytes)
        return batch

    def drop_oldest(self, room_bytes: int) -> int:
        """Give up oldest documents until ``room_bytes`` are free or none is left; returns how many."""
        dropped = freed = 0
        while self._documents and freed < room_bytes:
            freed += weight(self._documents.popleft())
            dropped += 1
        self._left(dropped, freed)
        return dropped

    def take_all(self) -> list[Document]:
        documents = list(self._documents)
        self._documents.clear()
        self._arrivals.clear()
        self.held_bytes = 0
        return documents

    def _left(self, count: int, freed_bytes: int) -> None:
        self.held_bytes -= freed_bytes
        while count:
            when, here = self._arrivals[0]
            if here > count:
                self._arrivals[0] = (when, here - count)
                return
            self._arrivals.popleft()
            count -= here
