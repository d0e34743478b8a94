"""Verbs that do something to this host or with a recording: run, setup, check, record, replay, bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.base import configuration, state
from pipeline.errors import UsageError
from pipeline.options import (
    SINK,
    DurationOption,
    ProctreeOption,
    QuietOption,
    RecordingArgument,
    SinkOption,
    SourceOption,
)

BENCHMARKS = (
    *("stages", "tree", "replay", "deliver", "startup", "storm", "beside"),
    *("accuracy", "burst", "loss", "memory", "latency"),
)
"""Their names, for the help: `bench` alone imports them."""


def _asks_for_help(proctree: list[str] | None) -> bool:
    """``--proctree help``: prints what the switches are."""
    from pipeline.commands.proctree import HELP, TEXT

    if HELP not in (proctree or []):
        return False
    typer.echo(TEXT, nl=False)
    return True


def run(
    source: SourceOption = "ebpf",
    sink: SinkOption = None,
    duration: DurationOption = None,
    quiet: QuietOption = False,
    proctree: ProctreeOption = None,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Print the configuration as it is in force, secrets hidden, and exit."),
    ] = False,
) -> int:
    """Trace this host: each fork, exec and end a document."""
    from pipeline.commands import run as command

    if _asks_for_help(proctree):
        return 0
    config = configuration(proctree)
    if print_config:
        return command.print_config(config)
    return command.run(config, source=source, sink=sink, duration=duration, quiet=quiet, debug=state.debug)


def setup(
    retention_days: Annotated[
        int | None,
        typer.Option(
            "--retention-days",
            metavar="N",
            help="Documents are deleted after so many days; under 30 only with --force. Default: what is installed"
            " already, else 90.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Allow a retention under 30 days.")] = False,
    runtime_for: Annotated[
        list[str] | None,
        typer.Option(
            "--runtime-for",
            metavar="PATTERN",
            help="Give existing ECS indices the process.lineage runtime field. May be repeated for more patterns.",
        ),
    ] = None,
    print_only: Annotated[
        bool, typer.Option("--print", help="Show what would be installed, as JSON, without a server.")
    ] = False,
    kibana: Annotated[
        str | None, typer.Option("--kibana", metavar="URL", help="Make the data view in this Kibana too.")
    ] = None,
) -> int:
    """Install mappings and retention in Elasticsearch.

    Component templates, index template, ingest pipeline, lifecycle and alias. Safe to repeat.
    """
    import anyio

    from pipeline.commands import setup as command

    config = configuration()
    return anyio.run(
        lambda: command.setup(
            config,
            retention_days=retention_days,
            force=force,
            runtime_for=runtime_for or [],
            print_only=print_only,
            kibana=kibana,
        )
    )


def check() -> int:
    """Say what this host lacks, and what mends it.

    One line for each thing. Exits 1 where `run` could not work.
    """
    from pipeline.commands import check as command

    return command.check(configuration())


def record(
    file: RecordingArgument,
    duration: DurationOption = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No line that moves; the summary and warnings only.")
    ] = False,
) -> int:
    """Write raw records to FILE, to be replayed anywhere."""
    from pipeline.commands import record as command

    _refuse_a_stream(file)
    return command.record(configuration(), file, duration=duration, quiet=quiet, debug=state.debug)


def replay(
    file: RecordingArgument,
    sink: Annotated[str, typer.Option("--sink", metavar="SINK", help=SINK)] = "ndjson:-",
    proctree: ProctreeOption = None,
) -> int:
    """Make documents of a recording, the same each time."""
    from pipeline.commands import replay as command

    if _asks_for_help(proctree):
        return 0
    _refuse_a_stream(file)
    return command.replay(configuration(proctree), file, sink=sink)


def _refuse_a_stream(file: Path) -> None:
    if str(file) == "-":
        raise UsageError("a recording is a file, not a stream: - is none", "name a file")


def bench(
    only: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help=f"Any of {', '.join(BENCHMARKS)}. None: all that this host can run."),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Write the figures to this file as well; -: to standard output, instead of the table.",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds: to see that it works, not to quote.")] = False,
) -> int:
    """Measure this machine: figures as a table and as JSON."""
    from pipeline.commands import bench as command

    return command.bench(configuration(), only or [], json_file=json, quick=quick)
