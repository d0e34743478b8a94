"""Questions about what was kept: search and tree, over Elasticsearch or the local store."""

from __future__ import annotations

from pipeline.config import Config
from pipeline.query.base import Archive


def open_archive(config: Config) -> Archive:
    """Elasticsearch where a URL is configured, else the local store. Raises SinkError.

    What is not asked is not imported: the Elasticsearch client takes a third of a second.
    """
    if config.elasticsearch.url:
        from pipeline.query.elasticsearch import ElasticsearchArchive

        return ElasticsearchArchive(config)
    from pipeline.query.store import StoreArchive
    from pipeline.sinks.store import store_path

    return StoreArchive(store_path(config))
