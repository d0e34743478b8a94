"""`lineage replay`: a recording through the same decode, tree and enrichment; the same bytes each time, on any host."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import anyio
from rich.console import Console

from pipeline.commands.engine import Engine, open_delivery
from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.sources.recording import RecordingSource
from pipeline.view import progress

REFRESH_S = 0.2


def replay(config: Config, file: Path, *, sink: str) -> int:
    """Raises RecordingError for a foreign or broken file, after delivering what is whole in it. Never drops."""
    counters = Counters()
    source = RecordingSource(file)
    delivery = open_delivery(config, sink, counters, block=True)
    engine = Engine(config, source, delivery, counters, feed=False, shutdown_s=math.inf)
    bar = progress.of_bytes(Console(stderr=True))
    task = bar.add_task(file.name, total=source.size_bytes, note="")

    async def show() -> None:
        while True:
            bar.update(task, completed=source.position_bytes, note=f"{counters.documents:,} documents", refresh=True)
            await anyio.sleep(REFRESH_S)

    with bar:
        return engine.run(f"replaying {file}", background=show if sys.stderr.isatty() else None)
