"""`lineage run`: trace this host, or read a recording as if it were live, into a sink."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pipeline.api.listeners import open_listeners
from pipeline.api.questions import Questions
from pipeline.api.server import Server
from pipeline.clock import SystemClock, duration_s
from pipeline.commands.engine import Engine, open_delivery
from pipeline.config import Config, shown
from pipeline.counters import Counters
from pipeline.errors import UsageError
from pipeline.sources.base import Source
from pipeline.sources.ebpf import launch


def print_config(config: Config) -> int:
    """The configuration in force, as JSON, secrets hidden."""
    described = config.model_dump(mode="json")
    if config.elasticsearch.url:
        described["elasticsearch"]["url"] = shown(config.elasticsearch.url)
    sys.stdout.write(json.dumps(described, indent=2) + "\n")
    return 0


def run(config: Config, *, source: str, sink: str | None, duration: str | None, quiet: bool, debug: bool) -> int:
    """Put the parts together as the starting user, drop every privilege, then let events flow until the end.

    The order matters: what needs root (files, sockets, eBPF) is opened first, imports included; nothing is read from
    the kernel before the privileges are gone.
    """
    ends_after_s = None if duration is None else duration_s(duration, "--for")
    if source == "ebpf":
        launch.require_root()  # before a store of root's refuses, which would tell of the wrong thing
    counters = Counters()
    delivery = open_delivery(config, sink, counters)
    origin = open_source(config, source, counters, debug=debug)
    engine = Engine(config, origin, delivery, counters, feed=not quiet and not delivery.uses_stdout)
    clock = SystemClock()
    # A recording has its own time: now is its latest event.
    now_ns = clock.boot_ns if source == "ebpf" else lambda: engine.flow.last_ns
    remembers = config.tree_source != "none"
    questions = Questions(engine.tree, engine.describer, engine.flow, counters, now_ns, remembers=remembers)
    listeners = open_listeners(config)
    try:
        server = Server(config, listeners, questions, counters)
        return engine.run(f"tracing {source}", ends_after_s=ends_after_s, background=server.run)
    finally:
        listeners.close()


def open_source(config: Config, spec: str, counters: Counters, *, debug: bool) -> Source:
    """The source that ``spec`` names. Raises UsageError, HostError or RecordingError."""
    kind, _, target = spec.partition(":")
    if kind == "ebpf" and not target:
        from pipeline.sources.ebpf import EbpfSource

        return EbpfSource.prepare(config, counters, SystemClock(), debug=debug)
    if kind == "recording" and target:
        from pipeline.sources.recording import RecordingSource

        return RecordingSource(Path(target))
    raise UsageError(f"there is no source {spec!r}", "use ebpf or recording:FILE")
