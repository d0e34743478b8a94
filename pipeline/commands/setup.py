"""`lineage setup`: install what Elasticsearch needs, or show it. It never waits for a server.

Prints one line for each thing and what became of it. Exits 1 when an index was refused the runtime field.
"""

from __future__ import annotations

import json

import anyio.to_thread
from rich.console import Console
from rich.text import Text

from pipeline.config import Config
from pipeline.sinks import mappings
from pipeline.sinks.client import new_client
from pipeline.sinks.install import Step, install, printed
from pipeline.sinks.kibana import install_data_view
from pipeline.view.text import printable

_STYLES = {"created": "green", "updated": "green", "rolled over": "green", "unchanged": "dim", "refused": "bold red"}


async def setup(
    config: Config,
    *,
    retention_days: int | None = None,
    force: bool = False,
    runtime_for: list[str],
    print_only: bool = False,
    kibana: str | None = None,
) -> int:
    """Install everything; ``retention_days`` None keeps what is installed, 90 where nothing is. The exit code."""
    console = Console(highlight=False, soft_wrap=True)
    if retention_days is not None:
        mappings.check_retention(retention_days, force)
    if print_only:
        print(_pretty(printed(retention_days, runtime_for, kibana=kibana is not None)))  # noqa: T201 - the answer itself
        return 0
    refused = False
    async with new_client(config.elasticsearch) as client:
        for step in await install(client, config, retention_days, force, runtime_for):
            refused = refused or step.outcome == "refused"
            console.print(_line(step))
    if kibana is not None:
        name = await anyio.to_thread.run_sync(install_data_view, kibana, config.elasticsearch)
        console.print(_line(Step(f"data view {name}", "created")))
    if runtime_for:
        console.print(
            "Indices made from now on lack the computed field, those of a rollover too. For them install this and\n"
            "name it in their template's composed_of, or put its mappings into the integration's own @custom:\n"
        )
        console.print("PUT _component_template/lineage@runtime", markup=False)
        print(_pretty(mappings.runtime_component_template()))  # noqa: T201 - to be copied as it is
    return 1 if refused else 0


def _line(step: Step) -> Text:
    text = Text(f"{printable(step.thing)}: ")
    text.append(step.outcome, style=_STYLES.get(step.outcome, "yellow"))
    if step.note:
        text.append(f" ({printable(step.note)})", style="dim")
    return text


def _pretty(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2)
