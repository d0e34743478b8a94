"""The Elasticsearch client, made from the configuration: for the sink, for setup and for queries.

It never retries by itself: its three retries come without a pause, and whoever calls it knows better. Importing it
costs a third of a second and 35 MB, so only those import this file who talk to Elasticsearch, and the agent before it
drops privileges. Certificates are read when the client is made, for the same reason.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from elastic_transport import ConnectionTimeout, Serializer, TlsError, TransportError
from elastic_transport.client_utils import url_to_node_config
from elasticsearch import AsyncElasticsearch

from pipeline.config import Elasticsearch, shown
from pipeline.errors import SinkError, UsageError


def new_client(settings: Elasticsearch, serializers: Mapping[str, Serializer] | None = None) -> AsyncElasticsearch:
    """A client for ``settings.url``; nothing is sent yet. Raises SinkError for an address or file that is no use."""
    if not settings.url:
        raise UsageError("no Elasticsearch is configured", "set ELASTICSEARCH_URL, for example http://127.0.0.1:9200")
    options: dict[str, Any] = {"serializers": serializers} if serializers else {}
    try:
        node = url_to_node_config(settings.url, use_default_ports_for_scheme=True)
        if node.scheme == "https":
            if settings.ca_certs and not settings.ca_certs.exists():
                raise FileNotFoundError("no such file")
            options |= {"verify_certs": settings.verify_certs, "ssl_show_warn": False}
            if settings.ca_certs:
                options["ca_certs"] = str(settings.ca_certs)
        if settings.api_key:
            options["api_key"] = settings.api_key.get_secret_value()
        elif settings.username and settings.password:
            options["basic_auth"] = (settings.username, settings.password.get_secret_value())
        elif settings.username or settings.password:
            raise SinkError(
                "user name and password for Elasticsearch go together",
                "set both ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD",
            )
        if options.get("api_key") or options.get("basic_auth"):
            # Credentials inside the URL would come as a second Authorization header.
            node = node.replace(headers={})
        return AsyncElasticsearch(
            [node],
            max_retries=0,
            retry_on_timeout=False,
            request_timeout=settings.request_timeout_s,
            **options,
        )
    except (ssl.SSLError, OSError) as error:
        raise SinkError(
            f"certificates in {settings.ca_certs} cannot be read ({error})", "mend LINEAGE_ELASTICSEARCH__CA_CERTS"
        ) from error
    except ValueError as error:
        raise SinkError(
            f"{shown(settings.url)} is no address of an Elasticsearch ({error})",
            "mend ELASTICSEARCH_URL, for example http://127.0.0.1:9200",
        ) from error


def why(error: TransportError) -> str:
    """A lost connection in a few words, without Python's names."""
    if isinstance(error, ConnectionTimeout):
        return "no answer in time"
    text = f"{error.message} {' '.join(str(cause) for cause in error.errors)}".lower()
    for sign, words in _WHY.items():
        if sign in text:
            return words
    return error.message.splitlines()[0][:200] if error.message else type(error).__name__


_WHY = {
    "connection refused": "connection refused",
    "connect call failed": "connection refused",
    "name or service not known": "its name is not known",
    "name resolution": "its name cannot be resolved",
    "no address associated": "its name is not known",
    "network is unreachable": "network unreachable",
    "no route to host": "no route to host",
    "connection reset": "connection reset",
    "server disconnected": "it closed the connection",
    "broken pipe": "it closed the connection",
    "cannot write to closing transport": "it closed the connection",
}


def tls_error(url: str | None, error: TlsError) -> SinkError:
    reason = error.message.splitlines()[0][:200] if error.message else "handshake failed"
    return SinkError(
        f"no trusted TLS connection to {shown(url)} ({reason})",
        "name its authority in LINEAGE_ELASTICSEARCH__CA_CERTS, or mend ELASTICSEARCH_URL",
    )
