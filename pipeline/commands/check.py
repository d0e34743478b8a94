"""`lineage check`: one line for each thing the host needs, with ok or the command that mends it."""

from __future__ import annotations

import anyio
from rich.console import Console
from rich.text import Text

from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.errors import ContainerRuntimeError, HostError, LineageError, SinkUnavailable
from pipeline.sinks import open_sink, sink_name
from pipeline.sources.containers import open_runtime, socket_of
from pipeline.sources.containers.access import groups_of
from pipeline.sources.ebpf.probes import Finding, findings
from pipeline.view.text import printable

RUNTIME_TIMEOUT_S = 5.0


def check(config: Config) -> int:
    """Print the findings; 1 where `run` could not work."""
    console = Console(highlight=False, soft_wrap=True)
    bad = False
    found = [*findings(config), _container_runtime(config), _sink("store", config), _elasticsearch(config)]
    width = max(len(each.name) for each in found)
    for each in found:
        console.print(_line(each, width))
        bad = bad or (each.needed and not each.ok)
    return 1 if bad else 0


def _line(finding: Finding, width: int) -> Text:
    text = Text()
    if finding.ok:
        text.append("ok    ", style="green")
    elif finding.needed:
        text.append("FAIL  ", style="bold red")
    else:
        text.append("note  ", style="yellow")
    text.append(f"{finding.name:<{width}}  ", style="bold")
    text.append(printable(finding.detail))
    if finding.mend:
        text.append(f"  → {printable(finding.mend)}", style="cyan")
    return text


def _container_runtime(config: Config) -> Finding:
    """Look at the socket, and ask for a container that no runtime has."""
    name, spec = "container runtime", config.container_runtime
    if spec is None:
        return Finding(name, True, "none configured; containers have an id and no name", needed=False)
    try:
        groups = groups_of(socket_of(spec))
        anyio.run(_ask_for_nothing, spec)
    except HostError as error:
        return Finding(name, False, error.message, error.mend, needed=True)
    except (ContainerRuntimeError, TimeoutError) as error:
        mend = "`run` asks again until it answers"
        return Finding(name, False, f"{spec} does not answer: {error}", mend, needed=False)
    kept = f"the agent keeps its group {groups[0]}" if groups else "everybody may use it"
    return Finding(name, True, f"{spec} answers; {kept}", needed=False)


async def _ask_for_nothing(spec: str) -> None:
    runtime = open_runtime(spec)
    try:
        with anyio.fail_after(RUNTIME_TIMEOUT_S):
            await runtime.describe("0" * 64)
    finally:
        await runtime.aclose()


def _elasticsearch(config: Config) -> Finding:
    if config.elasticsearch.url is None:
        detail = "none configured; events go to the local store"
        return Finding("Elasticsearch", True, detail, needed=False)
    return _sink("elasticsearch", config)


def _sink(kind: str, config: Config) -> Finding:
    """Open and ask the sink that `run` would send to."""
    is_default = kind == sink_name(None, config)
    name = "Elasticsearch" if kind == "elasticsearch" else kind

    try:
        sink = open_sink(kind, config, Counters())

        async def contact() -> None:
            try:
                await sink.connect()
            finally:
                await sink.aclose()

        anyio.run(contact)
    except SinkUnavailable as error:
        return Finding(name, False, error.message, "start it; `run` waits until it answers", needed=False)
    except LineageError as error:
        return Finding(name, False, error.message, error.mend, needed=is_default)
    return Finding(name, True, _described(kind, config), needed=is_default)


def _described(kind: str, config: Config) -> str:
    if kind == "elasticsearch":
        return f"{config.elasticsearch.url} answers"
    return str(config.store or config.state_directory / "events.db")
