"""The data view in Kibana, so that a first look at the documents needs no clicking.

Rules: one request, no retries; made again it replaces itself; the credentials are Elasticsearch's, which Kibana takes.
"""

from __future__ import annotations

import base64
import json
import ssl
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from pipeline.config import Elasticsearch, shown
from pipeline.errors import SinkError, SinkUnavailable, UsageError
from pipeline.sinks import mappings

PATH = "/api/data_views/data_view"


def install_data_view(url: str, settings: Elasticsearch) -> str:
    """Make or replace the data view; its name. Blocks. Raises UsageError, SinkError, SinkUnavailable."""
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is no address of a Kibana", "write for example --kibana http://127.0.0.1:5601")
    body = mappings.data_view()
    headers = {"content-type": "application/json", "kbn-xsrf": "lineage", **_authorization(settings)}
    request = Request(url.rstrip("/") + PATH, json.dumps(body).encode(), headers, method="POST")  # noqa: S310 - checked above
    at = f"Kibana at {shown(url)}"
    try:
        context = _trust(settings) if url.startswith("https://") else None
        with urlopen(request, timeout=settings.request_timeout_s, context=context) as answer:  # noqa: S310
            answer.read()
    except HTTPError as error:
        with error:
            raise _refused(at, error.code, error.read(10_000)) from error
    except (URLError, OSError, HTTPException) as error:
        raise SinkUnavailable(
            f"{at} does not answer ({getattr(error, 'reason', error)})", "start it, or mend --kibana"
        ) from error
    name: str = body["data_view"]["name"]
    return name


def _authorization(settings: Elasticsearch) -> dict[str, str]:
    if settings.api_key:
        return {"authorization": f"ApiKey {settings.api_key.get_secret_value()}"}
    if settings.username and settings.password:
        pair = f"{settings.username}:{settings.password.get_secret_value()}"
        return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def _trust(settings: Elasticsearch) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(settings.ca_certs) if settings.ca_certs else None)
    if not settings.verify_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _refused(at: str, status: int, body: bytes) -> SinkError | SinkUnavailable:
    try:
        said = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        said = f"HTTP {status}"
    said = " ".join(said.split())[:300]
    if status in (401, 403):
        return SinkError(
            f"{at} refuses the credentials ({said})", "set ELASTICSEARCH_API_KEY to a key that Kibana takes"
        )
    if status == 429 or status >= 500:
        return SinkUnavailable(f"{at} cannot do it now ({said})", "try again when it has started")
    return SinkError(
        f"{at} refuses the data view ({said})", "mend --kibana, or make a data view for logs-lineage.* by hand"
    )
