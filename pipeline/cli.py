"""The verbs and their options. No logic: each verb reads the configuration and calls its file in ``commands``.

Commands are imported when they are called: `lineage search` shall not wait for what only `run` needs.
`--config`, `--set` and `--debug` mean the same before and after the verb: ``invoke`` puts them to the front.
Exit codes: 0 done, 1 could not do it (or nothing found), 2 wrong usage, 130 interrupted before it was ready.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from pipeline import __version__
from pipeline.config import Config, load
from pipeline.errors import LineageError, UsageError
from pipeline.options import (
    SINK,
    AtOption,
    DurationOption,
    JsonOption,
    ProcessArgument,
    ProctreeOption,
    QuietOption,
    RecordingArgument,
    SinceOption,
    SinkOption,
    SourceOption,
    hoisted,
    nested,
)

INTERRUPTED = 130

app = typer.Typer(
    name="lineage",
    help="Where every process on a Linux host came from, as searchable ECS documents.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

BENCHMARKS = (
    *("stages", "tree", "replay", "deliver", "startup", "storm", "beside"),
    *("accuracy", "burst", "loss", "memory", "latency"),
)
"""Their names, for the help: `bench` alone imports them."""
EVERYWHERE = "--config, --set and --debug may stand here too: lineage --help tells of them."


class _State:
    """What the options of all verbs said."""

    config_file: Path | None = None
    settings: list[str]
    debug = False


_state = _State()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lineage {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="TOML file; default ./lineage.toml, /etc/lineage/lineage.toml."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any configuration key, e.g. --set ring_bytes=1048576."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="On an error, print the traceback as well.")] = False,
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    _state.config_file, _state.settings, _state.debug = config, settings or [], debug
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def _config(proctree: list[str] | None = None) -> Config:
    from pipeline.view import notices

    notices.configure(_state.debug)
    flags = nested(_state.settings)
    if proctree:
        from pipeline.commands.proctree import settings

        flags |= settings(proctree)
    return load(flags, _state.config_file)


def _asks_for_help(proctree: list[str] | None) -> bool:
    """``--proctree help``: prints what the switches are."""
    from pipeline.commands.proctree import HELP, TEXT

    if HELP not in (proctree or []):
        return False
    typer.echo(TEXT, nl=False)
    return True


@app.command(epilog=EVERYWHERE)
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
    config = _config(proctree)
    if print_config:
        return command.print_config(config)
    return command.run(config, source=source, sink=sink, duration=duration, quiet=quiet, debug=_state.debug)


@app.command(epilog=EVERYWHERE)
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

    config = _config()
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


@app.command(epilog=EVERYWHERE)
def check() -> int:
    """Say what this host lacks, and what mends it.

    One line for each thing. Exits 1 where `run` could not work.
    """
    from pipeline.commands import check as command

    return command.check(_config())


@app.command(epilog=EVERYWHERE)
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
    return command.record(_config(), file, duration=duration, quiet=quiet, debug=_state.debug)


@app.command(epilog=EVERYWHERE)
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
    return command.replay(_config(proctree), file, sink=sink)


def _refuse_a_stream(file: Path) -> None:
    if str(file) == "-":
        raise UsageError("a recording is a file, not a stream: - is none", "name a file")


@app.command(epilog=EVERYWHERE)
def search(
    query: Annotated[
        str,
        typer.Argument(
            metavar="QUERY", help="'nginx → bash' (or 'nginx -> bash'), one name, or a longer run of names."
        ),
    ],
    since: SinceOption = "24h",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="Rows at most, newest first.")
    ] = 100,
    json: JsonOption = False,
) -> int:
    """Find processes by lineage.

    In Elasticsearch where configured, else in the local store. Exits 1 on none.
    """
    import anyio

    from pipeline.commands import search as command

    config = _config()
    return anyio.run(lambda: command.search(config, query, since=since, limit=limit, json=json))


def _pid(text: str) -> int:
    if not text.isdecimal():
        raise typer.BadParameter(f"PID must be a number, not {text!r}")
    return int(text)


@app.command(epilog=EVERYWHERE)
def tree(
    pid: Annotated[
        int | None, typer.Argument(metavar="PID", parser=_pid, help="Only this process and what is below it.")
    ] = None,
    at: AtOption = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="What was kept since then, 24h where nobody says. Asks no agent."),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="WHERE",
            help="agent, elasticsearch or store. Default: the agent if one answers, else what was kept.",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Kernel threads and ended processes too, and a line for each.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Draw the process tree.

    That of the running agent, else the stored one.
    """
    import anyio

    from pipeline.commands import tree as command

    config = _config()
    return anyio.run(
        lambda: command.tree(config, pid, at=at, since=since, origin=origin, everything=everything, json=json)
    )


@app.command(epilog=EVERYWHERE)
def show(
    process: ProcessArgument,
    at: AtOption = None,
    history: Annotated[bool, typer.Option("--history", help="All that it has been, as a timeline.")] = False,
    json: JsonOption = False,
) -> int:
    """Say what a process is, or was.

    Asks the running agent.
    """
    import anyio

    from pipeline.commands import ask as command

    config = _config()
    return anyio.run(lambda: command.show(config, process, at=at, history=history, json=json))


@app.command(epilog=EVERYWHERE)
def ancestors(
    process: ProcessArgument,
    at: AtOption = None,
    depth: Annotated[int, typer.Option("--depth", metavar="N", help="So many ancestors at most.")] = 32,
    json: JsonOption = False,
) -> int:
    """Say what a process descends from.

    Each ancestor as it was when its child was born. Asks the running agent.
    """
    import anyio

    from pipeline.commands import ask as command

    config = _config()
    return anyio.run(lambda: command.ancestors(config, process, at=at, depth=depth, json=json))


@app.command(epilog=EVERYWHERE)
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

    return command.bench(_config(), only or [], json_file=json, quick=quick)


def invoke(arguments: list[str]) -> int:
    """Run one command line. Errors become one line on standard error; a bug says so and asks for --debug."""
    _state.debug = "--debug" in arguments
    try:
        result = app(hoisted(arguments), standalone_mode=False, prog_name="lineage")
    except TyperException as error:
        context = getattr(error, "ctx", None)
        asked = "lineage" if context is None else context.command_path
        return _complain(f"{error.format_message()} ({asked} --help)", 2)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BaseException as error:  # the last line of defence: nobody above it could report what is caught here
        return _report(error)
    return result if isinstance(result, int) else 0


def _report(error: BaseException) -> int:
    cause = _first(error)
    if _state.debug:
        traceback.print_exception(error)
    if isinstance(cause, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(cause, BrokenPipeError):
        return 0  # the reader of our output has seen enough
    if isinstance(cause, LineageError):
        return _complain(str(cause), cause.exit_code)
    if isinstance(cause, Exception):
        return _complain(f"internal error, {type(cause).__name__}: {cause} (a bug; --debug prints where)", 1)
    raise error


def _first(error: BaseException) -> BaseException:
    """The error that a group of tasks ended with; ours before others', since it says what to do."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_first(each) for each in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, LineageError)), leaves[0])


def _complain(message: str, code: int) -> int:
    from pipeline.view.text import printable

    print("lineage: " + printable(" ".join(message.split())), file=sys.stderr)  # noqa: T201 - the one line the user asked for
    return code
