"""Elasticsearch's refusals as errors of one line with the way out: for setup and for queries, which never wait.

Rules: who may try again later gets SinkUnavailable, who must be mended first SinkError; a right that is missing has a
type of its own, since `run` can live without the right to install.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from elastic_transport import TlsError, TransportError
from elasticsearch import ApiError, AsyncElasticsearch, UnsupportedProductError

from pipeline.config import Elasticsearch, shown
from pipeline.errors import SinkError, SinkUnavailable
from pipeline.sinks.client import tls_error, why
from pipeline.sinks.elasticsearch import OLDEST


class ForbiddenError(SinkError):
    """The account is known, and may not do this."""


@contextmanager
def translated(settings: Elasticsearch, doing: str) -> Iterator[None]:
    """``doing`` ends the sentence "Elasticsearch at URL does not let us ...": "install the index template"."""
    at = f"Elasticsearch at {shown(settings.url)}"
    try:
        yield
    except UnsupportedProductError as error:
        raise SinkError(
            f"what answers at {shown(settings.url)} is not Elasticsearch", "mend ELASTICSEARCH_URL"
        ) from error
    except TlsError as error:
        raise tls_error(settings.url, error) from error
    except TransportError as error:
        raise SinkUnavailable(f"{at} does not answer ({why(error)})", "start it, or mend ELASTICSEARCH_URL") from error
    except ApiError as error:
        raise _refusal(at, doing, error) from error


def reason(error: ApiError) -> str:
    """The server's own words, the deepest cause last."""
    cause: Any = error.body.get("error") if isinstance(error.body, dict) else None
    words: list[str] = []
    while isinstance(cause, dict):
        if (said := cause.get("reason")) and said not in words:
            words.append(str(said))
        cause = cause.get("caused_by")
    if isinstance(cause, str):
        words.append(cause)
    return " ".join(": ".join(words).split())[:500] or f"HTTP {error.status_code}"


def is_missing_api(error: ApiError) -> bool:
    """Whether this server does not know the request at all: a smaller distribution than the usual one."""
    return error.status_code in (400, 405) and "no handler found" in reason(error)


async def check_version(client: AsyncElasticsearch, settings: Elasticsearch) -> str:
    """The server's version. Raises SinkError when it is older than OLDEST."""
    with translated(settings, "ask for its version"):
        answer = await client.info()
    version = answer["version"]
    number = str(version.get("number", "0"))
    if version.get("build_flavor") == "serverless":  # its number is that of an interface, not of a release
        return number
    parts = [int(part) if part.isdigit() else 0 for part in number.split(".")[:2]]
    if tuple(parts) < OLDEST:
        raise SinkError(
            f"Elasticsearch at {shown(settings.url)} is version {number}, too old",
            f"{OLDEST[0]}.{OLDEST[1]} is the oldest that works",
        )
    return number


def _refusal(at: str, doing: str, error: ApiError) -> SinkError | SinkUnavailable:
    said = reason(error)
    if error.status_code == 401:
        return SinkError(
            f"{at} refuses the credentials",
            "set ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD",
        )
    if error.status_code == 403:
        return ForbiddenError(f"{at} does not let this account {doing} ({said})", "use an account with that privilege")
    if error.status_code == 429 or error.status_code >= 500:
        return SinkUnavailable(f"{at} cannot {doing} now (HTTP {error.status_code}: {said})", "try again later")
    return SinkError(f"{at} refuses to {doing} ({said})")
