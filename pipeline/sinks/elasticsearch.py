"""The sink that sends to an Elasticsearch data stream, in _bulk requests made of bytes that are ready.

What belongs to one document is judged in ``judge.py``; here is what belongs to a whole request or to the connection.

| what happens                          | at first contact          | later                                        |
|---------------------------------------|---------------------------|----------------------------------------------|
| refused, reset, no answer in time     | SinkUnavailable           | SinkUnavailable                              |
| 429, 5xx                              | SinkUnavailable           | SinkUnavailable                              |
| 401, 403; TLS not trusted             | SinkError                 | SinkDenied: kept, tried slowly               |
| not Elasticsearch, or before 8.16     | SinkError                 |                                              |
| 413                                   |                           | in halves; one document alone is dead        |
| other 4xx                             | SinkError                 | SinkDenied: never the documents' fault       |
"""

from __future__ import annotations

import gzip
import io
import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import Any, cast

import anyio
import anyio.to_thread
import orjson
from elastic_transport import Serializer, TlsError, TransportError
from elasticsearch import ApiError, UnsupportedProductError

from pipeline.config import Config, shown
from pipeline.document import Document
from pipeline.errors import SinkError, SinkUnavailable
from pipeline.sinks.base import Dead, Delivery, SinkDenied
from pipeline.sinks.bulk import TARGET, BulkEncoder, data_stream
from pipeline.sinks.client import new_client, tls_error, why
from pipeline.sinks.judge import error_of, judge, reason

OLDEST = (8, 16)
"""First version with ``require_data_stream``, failure stores that say so, and all that the templates use."""

_JSON = {"accept": "application/json", "content-type": "application/json"}
_NDJSON = {"accept": "application/json", "content-type": "application/x-ndjson"}
_GZIP = {**_NDJSON, "content-encoding": "gzip"}
_CREDENTIALS = "set ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD"
_BATCH_MIN_BYTES = 64 * 1024


class _Body(io.BytesIO):
    """aiohttp sends one of these in pieces, but bytes all at once, which holds up the event loop for a large one."""

    def decode(self, *encoding: str) -> str:
        """What elastic_transport's request log asks of a body; only with that log on."""
        return self.getvalue().decode(*encoding)


class _Untouched(Serializer):
    """Bodies go out and answers come in as they are."""

    def __init__(self, mimetype: str) -> None:
        self.mimetype = mimetype  # type: ignore[misc]  # a class variable there, one class a type

    def dumps(self, data: Any) -> bytes:
        return cast(bytes, _Body(data))

    def loads(self, data: bytes) -> Any:
        return data


_TYPES = (
    "application/json",
    "application/x-ndjson",
    "application/vnd.elasticsearch+json",
    "application/vnd.elasticsearch+x-ndjson",
    "text/*",  # a proxy's own words
)


class ElasticsearchSink:
    may_refuse = True

    def __init__(self, config: Config) -> None:
        settings = config.elasticsearch
        self.batch_max_documents = settings.bulk_max_documents
        self.batch_max_bytes = settings.bulk_max_bytes
        self.in_flight_max = settings.in_flight_max
        self._namespace = config.namespace
        self._url = settings.url
        self._name = f"Elasticsearch at {shown(settings.url)}"
        self._compress = settings.compress
        self._encoder = BulkEncoder(config.namespace)
        self._client = new_client(settings, {kind: _Untouched(kind) for kind in _TYPES})

    def __repr__(self) -> str:
        return f"<ElasticsearchSink {self._name}>"

    def open(self) -> None:
        """Nothing more: certificates were read when the client was made."""

    async def connect(self) -> None:
        try:
            answer = await self._greet()
        except SinkDenied as error:
            raise SinkError(error.message, error.mend) from error
        if answer is not None:
            self._check_version(answer)
        if self._compress is None:
            self._compress = not await _is_near(self._url)

    async def _greet(self) -> bytes | None:
        """The answer to GET /; None when our key may only write, which is all that sending needs."""
        try:
            return cast(bytes, (await self._client.perform_request("GET", "/", headers=_JSON)).body)
        except UnsupportedProductError as error:
            raise self._foreign() from error
        except ApiError as error:
            if error.meta.status == 403 and await self._may_write():
                return None
            raise self._translated(error) from error
        except TlsError as error:
            raise tls_error(self._url, error) from error
        except TransportError as error:
            raise SinkUnavailable(f"{self._name} does not answer ({why(error)})") from error

    async def _may_write(self) -> bool:
        """Whether these credentials may create documents. Anybody may ask that about himself."""
        privileges = {"index": [{"names": [data_stream("process", self._namespace)], "privileges": ["create_doc"]}]}
        try:
            answer = await self._client.perform_request(
                "POST", "/_security/user/_has_privileges", headers=_JSON, body=orjson.dumps(privileges)
            )
            return bool(orjson.loads(answer.body).get("has_all_requested"))
        except (ApiError, TransportError, ValueError, AttributeError):
            return False

    def _check_version(self, answer: bytes) -> None:
        try:
            version = orjson.loads(answer)["version"]
            number = str(version["number"])
            found = re.match(r"(\d+)\.(\d+)", number)
            foreign = "distribution" in version or found is None
            serverless = version.get("build_flavor") == "serverless"
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._foreign() from error
        if foreign or found is None:
            raise self._foreign()
        if (int(found[1]), int(found[2])) < OLDEST and not serverless:
            raise SinkError(f"{self._name} is version {number}", f"{OLDEST[0]}.{OLDEST[1]} or later is needed")

    def _foreign(self) -> SinkError:
        return SinkError(f"what answers at {shown(self._url)} is not Elasticsearch", "mend ELASTICSEARCH_URL")

    def _translated(self, error: ApiError) -> SinkUnavailable:
        """A request that was refused as a whole."""
        status = error.meta.status
        words = reason(error_of(error.body), status)
        if status in (408, 429) or status >= 500:
            return SinkUnavailable(f"{self._name} cannot take it now ({words})")
        if status in (401, 403):
            return SinkDenied(f"{self._name} refuses these credentials ({words})", _CREDENTIALS)
        return SinkDenied(f"{self._name} refuses the request ({words})", "mend ELASTICSEARCH_URL or its version")

    async def send(self, batch: Sequence[Document]) -> Delivery:
        body = self._encoder.body(batch)
        headers = _NDJSON
        size = len(body)
        if self._compress:
            headers = _GZIP
            # 26 us a document: zlib lets go of the interpreter, so the event loop goes on.
            body = await anyio.to_thread.run_sync(gzip.compress, body, 1)
        try:
            answer = await self._client.perform_request("POST", TARGET, headers=headers, body=body)
        except UnsupportedProductError as error:
            raise SinkDenied(f"what answers at {shown(self._url)} is not Elasticsearch") from error
        except ApiError as error:
            if error.meta.status == 413:
                return await self._send_halves(batch, size)
            raise self._translated(error) from error
        except TlsError as error:
            failure = tls_error(self._url, error)
            raise SinkDenied(failure.message, failure.mend) from error
        except TransportError as error:
            raise SinkUnavailable(f"{self._name} does not answer ({why(error)})") from error
        return judge(cast(bytes, answer.body), batch, self._name)

    async def _send_halves(self, batch: Sequence[Document], size: int) -> Delivery:
        """A batch that is too large for the server, or for a proxy before it. Later batches begin smaller."""
        if len(batch) == 1:
            return Delivery(0, dead=[Dead(batch[0], f"413 too large: {size} bytes")])
        self.batch_max_bytes = max(_BATCH_MIN_BYTES, min(self.batch_max_bytes, size // 2))
        middle = len(batch) // 2
        first = await self.send(batch[:middle])
        try:
            second = await self.send(batch[middle:])
        except SinkUnavailable as error:
            second = Delivery(0, again=batch[middle:], trouble=str(error))
        return Delivery(
            first.done + second.done,
            first.duplicates + second.duplicates,
            [*first.again, *second.again],
            [*first.dead, *second.dead],
            first.trouble or second.trouble,
        )

    async def aclose(self) -> None:
        await self._client.close()


async def _is_near(url: str | None) -> bool:
    """Whether every address of the host is here or on a private network: there gzip costs more than bytes."""
    match = re.match(r"https?://(?:[^/@]*@)?(\[[^\]]+\]|[^:/]+)", url or "")
    if match is None:
        return False
    try:
        found = await anyio.getaddrinfo(match[1].strip("[]"), None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    addresses = [ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found]
    return all(address.is_loopback or address.is_private or address.is_link_local for address in addresses)
