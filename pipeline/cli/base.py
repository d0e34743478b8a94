"""The command itself: what the options of all verbs said, and the configuration that comes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline import __version__
from pipeline.config import Config, load
from pipeline.options import nested

app = typer.Typer(
    name="lineage",
    help="Where every process on a Linux host came from, as searchable ECS documents.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class State:
    """What the options of all verbs said."""

    config_file: Path | None = None
    settings: list[str]
    debug = False


state = State()


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
    state.config_file, state.settings, state.debug = config, settings or [], debug
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def configuration(proctree: list[str] | None = None) -> Config:
    from pipeline.view import notices

    notices.configure(state.debug)
    flags = nested(state.settings)
    if proctree:
        from pipeline.commands.proctree import settings

        flags |= settings(proctree)
    return load(flags, state.config_file)
