"""A local store with documents in it, and the configuration that makes the command line look there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from pipeline.config import MIB
from pipeline.counters import Counters
from pipeline.document import Document
from pipeline.sinks.store import StoreSink


def fill(path: Path, *documents: dict[str, Any]) -> None:
    async def write() -> None:
        sink = StoreSink(path, 16 * MIB, Counters())
        sink.open()
        await sink.send([Document(str(each["event"]["id"]), "process", orjson.dumps(each)) for each in documents])
        await sink.aclose()

    anyio.run(write)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the store is looked for; not made yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ELASTICSEARCH_URL", raising=False)
    monkeypatch.setenv("LINEAGE_STORE", str(tmp_path / "events.db"))
    return tmp_path / "events.db"
