"""Docker's Engine API, over HTTP on its socket. Podman's service speaks it too.

Rules of this file:
- the list with one id in its filter is asked, not the container's own page: that one has the environment, and with it
  other people's passwords;
- the path has no version, so that any engine answers with the one it has;
- an answer is read up to ANSWER_MAX_BYTES, and believed only where the id is exactly the one asked for: a filter takes
  beginnings of ids.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from cachetools import LRUCache

from pipeline.errors import ContainerRuntimeError
from pipeline.sources.containers.base import Facts
from pipeline.sources.containers.facts import Pod, facts

ANSWER_MAX_BYTES = 4 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
IMAGES_MAX = 256
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")


class Docker:
    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None
        self._digests: LRUCache[str, list[str]] = LRUCache(IMAGES_MAX)  # by image id, which is made of the content

    def __repr__(self) -> str:
        return f"<Docker {self._socket}>"

    async def describe(self, container_id: str) -> Facts | None:
        filters = orjson.dumps({"id": [container_id]}).decode()
        listed = await self._get("/containers/json", {"all": "1", "filters": filters})
        if not isinstance(listed, list):
            raise ContainerRuntimeError("garbage", "the container engine's list is none")
        for found in listed:
            if isinstance(found, dict) and found.get("Id") == container_id:
                return await self._described(container_id, found)
        return None

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _described(self, container_id: str, found: dict[str, Any]) -> Facts:
        image_id = _text(found.get("ImageID"))
        name = min(_texts(found.get("Names")), key=lambda name: (name.count("/"), name), default="").lstrip("/")
        container, pod = _kubernetes(name)
        return facts(
            container_id,
            "docker",
            name=container,
            image=_text(found.get("Image")),
            digests=[image_id, *await self._repository_digests(image_id)],
            pod=pod,
        )

    async def _repository_digests(self, image_id: str) -> list[str]:
        """What the image is called by in registries; nothing for one that was made here."""
        if not _IMAGE_ID.fullmatch(image_id):
            return []
        if image_id not in self._digests:
            image = await self._get(f"/images/{image_id}/json", {})
            self._digests[image_id] = _texts(image.get("RepoDigests")) if isinstance(image, dict) else []
        return self._digests[image_id]

    async def _get(self, path: str, query: dict[str, str]) -> Any:
        """The answer, parsed; None where there is no such thing."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(self._socket), limit=1),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the caller's
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        try:
            address = f"http://docker{path}"
            async with self._session.get(address, params=query, allow_redirects=False) as answer:
                status, body = answer.status, await _read(answer)
        except aiohttp.ClientConnectorError as error:
            raise ContainerRuntimeError("unreachable", f"{self._socket}: {error.strerror}") from error
        except (aiohttp.ServerDisconnectedError, OSError) as error:
            raise ContainerRuntimeError("closed", f"{self._socket} hung up") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise ContainerRuntimeError("garbage", f"{self._socket} does not speak HTTP") from error
        if status == 404:
            return None
        if status != 200:
            raise ContainerRuntimeError("refused", f"{self._socket} answers {status}")
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ContainerRuntimeError("garbage", f"{self._socket} answers no JSON") from error


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
        body += chunk
        if len(body) > ANSWER_MAX_BYTES:
            answer.close()  # the rest is not read
            raise ContainerRuntimeError("garbage", f"an answer of more than {ANSWER_MAX_BYTES:,} bytes")
    return bytes(body)


def _kubernetes(name: str) -> tuple[str, Pod | None]:
    """Container and pod in cri-dockerd's names: k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT. No other name has a pod.

    Its labels say the same, but images bring labels too, and could name any pod.
    """
    parts = name.split("_")
    if len(parts) < 6 or parts[0] != "k8s":
        return name, None
    return parts[1], Pod(parts[2], parts[3], parts[4])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
