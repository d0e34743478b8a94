"""`lineage bench`: measure, and print the figures as a table and as JSON.

Exit codes: 0 when all that this host can run has run, goals met or not; 1 when a benchmark failed, or one that was
asked for by name cannot run here. Nothing else on the host is changed; what is started is ended.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog
from rich.console import Console
from rich.progress import Progress

from pipeline.bench import host, registry
from pipeline.bench.base import Benchmark, CannotRun, Setting, not_run
from pipeline.config import Config
from pipeline.errors import LineageError, UsageError
from pipeline.view import figures as view
from pipeline.view import progress
from pipeline.view.figures import Figure

STDOUT = Path("-")

log = structlog.get_logger()


def bench(config: Config, only: list[str], *, json_file: Path | None, quick: bool) -> int:
    """Run the benchmarks named in ``only``, or all. ``json_file`` ``-``: JSON on standard output instead of the table.

    Raises UsageError for an unknown name or a file that cannot be written.
    """
    chosen = _chosen(only)
    _writable(json_file)
    about = host.facts()
    if quick:
        about["quick"] = "short rounds, not to be quoted"
    figures: list[Figure] = []
    missing: list[str] = []
    bar = progress.of_steps(Console(stderr=True))
    bar.live.auto_refresh = False  # no thread of ours beside what is measured
    with _ending_all(), bar:
        for benchmark in chosen:
            told, ran = _run(benchmark, config, bar, quick=quick)
            figures += told
            if not ran:
                missing.append(benchmark.name)
    if json_file == STDOUT:
        sys.stdout.write(view.as_json(about, figures).decode())
    else:
        view.show(Console(highlight=False), about, figures)
        if json_file is not None:
            json_file.write_bytes(view.as_json(about, figures))
    failed = [figure for figure in figures if figure.note.startswith(FAILED)]
    return 1 if failed or (only and missing) else 0


FAILED = "failed: "


@contextmanager
def _ending_all() -> Iterator[None]:
    """SIGTERM is like Ctrl-C inside: whatever was started is ended on the way out."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _chosen(only: Sequence[str]) -> list[Benchmark]:
    known = {benchmark.name: benchmark for benchmark in registry.BENCHMARKS}
    for name in only:
        if name not in known:
            raise UsageError(f"there is no benchmark {name!r}", f"name some of {', '.join(known)}")
    return [benchmark for benchmark in registry.BENCHMARKS if not only or benchmark.name in only]


def _writable(json_file: Path | None) -> None:
    """Say so before minutes of measuring, not after."""
    if json_file is None or json_file == STDOUT:
        return
    try:
        json_file.open("ab").close()
    except OSError as error:
        raise UsageError(f"cannot write {json_file}: {error.strerror}", "name a file in a writable folder") from error


def _run(benchmark: Benchmark, config: Config, bar: Progress, *, quick: bool) -> tuple[list[Figure], bool]:
    """Its figures, and whether it could run here. One that fails does not take the others with it."""
    task = bar.add_task(benchmark.name, total=benchmark.steps(quick))
    bar.refresh()

    def step() -> None:
        bar.advance(task)
        bar.refresh()

    with tempfile.TemporaryDirectory(prefix="lineage-bench-") as folder:
        try:
            return list(benchmark.run(Setting(config, Path(folder), quick, step))), True
        except CannotRun as reason:
            return [not_run(benchmark.name, benchmark.about, "", reason)], False
        except LineageError as error:
            return [Figure(benchmark.name, benchmark.about, None, "", note=f"{FAILED}{error}")], True
