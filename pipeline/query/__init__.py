"""Questions about what was kept: search and tree, over Elasticsearch or the local store."""

from __future__ import annotations

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.query.base import Archive


def open_archive(config: Config, origin: str | None = None) -> Archive:
    """Elasticsearch where a URL is configured, else the local store. Raises SinkError, UsageError.

    ``origin``: elasticsearch or store, whatever is configured.
    What is not asked is not imported: the Elasticsearch client takes a third of a second.
    """
    if origin == "elasticsearch" and not config.elasticsearch.url:
        raise UsageError("no Elasticsearch is configured", "set elasticsearch.url, or ELASTICSEARCH_URL")
    if config.elasticsearch.url and origin != "store":
        from pipeline.query.elasticsearch import ElasticsearchArchive

        return ElasticsearchArchive(config)
    from pipeline.query.store import StoreArchive
    from pipeline.sinks.store import store_path

    return StoreArchive(store_path(config))
