"""What sinks accept: a finished ECS document, serialised once, that nobody looks into again."""

from __future__ import annotations

from typing import NamedTuple


class Document(NamedTuple):
    """``body`` is one JSON object without newline; ``id`` is its ``event.id`` and makes every delivery idempotent."""

    id: str
    stream: str  # "process" (later "file", "network", "alert"): data stream logs-lineage.<stream>-<namespace>
    body: bytes
