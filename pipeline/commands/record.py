"""`lineage record`: the source's whole output into a file, unprivileged from the first record on."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import anyio
import structlog
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from pipeline.clock import SystemClock, duration_s
from pipeline.commands.engine import become_unprivileged, end_after, end_on_signal
from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.sources.base import Source
from pipeline.sources.ebpf import EbpfSource
from pipeline.sources.recording import Recorder, kind_of
from pipeline.wire import SNAPSHOT_END

FLUSH_EVERY_S = 1.0

log = structlog.get_logger()


def record(config: Config, file: Path, *, duration: str | None, quiet: bool, debug: bool) -> int:
    """Record until Ctrl-C or ``duration``. Raises HostError, RecordingError."""
    ends_after_s = None if duration is None else duration_s(duration, "--for")
    counters = Counters()
    source = EbpfSource.prepare(config, counters, SystemClock(), debug=debug)
    recorder = Recorder(file)
    log.info("recording", file=str(file))
    began_s = time.monotonic()
    try:
        anyio.run(_record, config, source, recorder, counters, ends_after_s, quiet)
    finally:
        recorder.close()
        seconds = time.monotonic() - began_s
        line = (
            f"{recorder.records:,} records, {recorder.bytes:,} bytes, {counters.lost():,} lost, over {seconds:,.1f} s"
        )
        print(line, file=sys.stderr)  # noqa: T201 - the summary, for people
    return 0


async def _record(
    config: Config, source: Source, recorder: Recorder, counters: Counters, ends_after_s: float | None, quiet: bool
) -> None:
    become_unprivileged(config, source.groups)
    columns = (SpinnerColumn(), TextColumn("{task.fields[note]}"))
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)
    task = bar.add_task("recording", total=None, note="")

    async def keep() -> None:
        """What is recorded is on disk a second later, whatever becomes of this process."""
        while True:
            recorder.flush()
            bar.update(
                task,
                note=f"{recorder.records:,} records  {recorder.bytes:,} bytes  {counters.lost():,} lost  Ctrl-C ends",
            )
            await anyio.sleep(FLUSH_EVERY_S)

    with bar:
        try:
            async with anyio.create_task_group() as tasks:
                await tasks.start(end_on_signal, source.finish, tasks.cancel_scope)
                if ends_after_s is not None:
                    tasks.start_soon(end_after, source, ends_after_s)
                tasks.start_soon(keep)
                tasks.start_soon(source.run)
                await _copy(source, recorder, counters)
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await source.aclose()


async def _copy(source: Source, recorder: Recorder, counters: Counters) -> None:
    ready = False
    while True:
        try:
            batch = await source.receive()
        except anyio.EndOfStream:
            return
        counters.records += len(batch)
        recorder.write(batch)
        if not ready and any(kind_of(record) == SNAPSHOT_END for record in batch):
            ready = True
            log.info("ready", records=recorder.records)
