"""Options and arguments that several verbs have, and what those of all verbs come to wherever they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.errors import UsageError

SOURCE = "ebpf (this host, needs root) or recording:FILE."
SINK = "elasticsearch, store[:FILE] or ndjson[:FILE|-] (- is standard output)."

SourceOption = Annotated[str, typer.Option("--source", metavar="SOURCE", help=SOURCE)]
SinkOption = Annotated[
    str | None,
    typer.Option(
        "--sink", metavar="SINK", help=SINK + " Default: elasticsearch where a URL is configured, else the store."
    ),
]
DurationOption = Annotated[
    str | None, typer.Option("--for", metavar="DURATION", help="End by itself after this long: 30s, 5m, 2h, 1d.")
]
ProctreeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--proctree",
        metavar="SWITCHES",
        help="Switches of the process tree: source=none|events|signals|both, process-cache=N, thread-cache=N;"
        " help tells of them. May be repeated.",
    ),
]
RecordingArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The recording; a name, not -.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No live feed; the summary and warnings only.")]
SinceOption = Annotated[
    str, typer.Option("--since", metavar="TIME", help="How far back: 90s, 24h, 7d, or an RFC 3339 time.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the documents' own fields as JSON, one a line.")]
AtOption = Annotated[
    str | None, typer.Option("--at", metavar="TIME", help="As it was then: 90s, 2h (ago), or RFC 3339.")
]
ProcessArgument = Annotated[str, typer.Argument(metavar="PID|ID", help="A process id, or a process.entity_id.")]
TaskArgument = Annotated[
    str, typer.Argument(metavar="PID|TID|ID", help="A process id, a thread id, or the entity id of either.")
]


def nested(settings: list[str]) -> dict[str, Any]:
    """``KEY=VALUE`` of --set as configuration keys. Raises UsageError."""
    flags: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting!r} has no value", "write --set KEY=VALUE")
        *outer, last = key.split(".")
        at = flags
        for part in outer:
            at = at.setdefault(part, {})
        at[last] = value
    return flags


_ENTITY_ID = re.compile(r"-[A-Za-z0-9_-]{21}")
"""One that begins as an option does: one in 64 is such an id, and no option has 22 characters (tested)."""


def hoisted(arguments: list[str]) -> list[str]:
    """The same command line, with the options of all verbs before the verb, and entity ids that look like an option
    behind ``--``. What follows that is no option."""
    front: list[str] = []
    rest: list[str] = []
    ids: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            ids += words
        elif _ENTITY_ID.fullmatch(word):
            ids.append(word)
        elif word in ("--config", "--set"):
            value = next(words, None)
            if value is None:
                raise UsageError(f"{word} has no value", "lineage --help")
            front += [word, value]
        elif word == "--debug" or word.startswith(("--config=", "--set=")):
            front.append(word)
        else:
            rest.append(word)
    return front + rest + (["--", *ids] if ids else [])
