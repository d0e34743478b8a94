"""Where documents go. A sink's file is imported only when that sink is asked for: the Elasticsearch client is heavy."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.errors import UsageError
from pipeline.sinks.base import Sink


def sink_name(spec: str | None, config: Config) -> str:
    """What ``spec`` means here: the default where there is none, and ``ndjson:-`` for a bare ``ndjson``."""
    if spec is None:
        return "elasticsearch" if config.elasticsearch.url else "store"
    return "ndjson:-" if spec == "ndjson" else spec


def open_sink(spec: str | None, config: Config, counters: Counters) -> Sink:
    """The sink that ``spec`` names, opened: elasticsearch, store[:FILE], ndjson[:FILE|-].

    None means elasticsearch where a URL is configured, else the store. Call it before privileges are dropped: it
    imports and opens all that the sink needs. Raises UsageError for an unknown spec, SinkError from opening.
    """
    spec = sink_name(spec, config)
    kind, colon, target = spec.partition(":")
    if colon and not target:
        raise UsageError(f"--sink {spec} names no file", f"write {kind}:FILE, or {kind} alone")
    sink = _make(kind, target, spec, config, counters)
    sink.open()
    return sink


def _make(kind: str, target: str, spec: str, config: Config, counters: Counters) -> Sink:
    if kind == "elasticsearch" and not target:
        from pipeline.sinks.elasticsearch import ElasticsearchSink

        return ElasticsearchSink(config)
    if kind == "store":
        from pipeline.sinks.store import StoreSink, store_path

        path = Path(target) if target else store_path(config)
        return StoreSink(path, config.store_max_bytes, counters, makes_folder=not target)
    if kind == "ndjson":
        from pipeline.sinks.ndjson import NdjsonSink

        return NdjsonSink(target)
    raise UsageError(f"there is no sink {spec!r}", "use elasticsearch, store[:FILE], ndjson:FILE or ndjson:-")
