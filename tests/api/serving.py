"""A real server on a real socket, over a tree and documents that a made-up stream has fed as `lineage run` would."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from pipeline.api.listeners import open_listeners
from pipeline.api.questions import Questions
from pipeline.api.server import Server
from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.enrich import Describer
from pipeline.flow import Flow
from pipeline.sources.decode import decode_batch
from pipeline.sources.synthetic import Process, Synthetic
from pipeline.tree import ProcessTree

SECOND_NS = 1_000_000_000


class Host:
    """A stream, and all that `lineage run` makes of it. Its clock stands at the latest event."""

    def __init__(
        self, *, processes_max: int = 1000, threads_max: int = 1000, remembers: bool = True, begin: bool = True
    ) -> None:
        self.counters = Counters()
        self.stream = Synthetic()
        self.describer = Describer("default", [r"(?<=--password=).+"], self.counters)
        self.tree = ProcessTree(processes_max, threads_max, self.counters)
        nothing: Any = None  # neither source nor outbox is touched
        self.flow = Flow(nothing, self.tree, self.describer, nothing, self.counters, shutdown_s=0.0)
        self.questions = Questions(
            self.tree, self.describer, self.flow, self.counters, lambda: self.stream.now_ns, remembers=remembers
        )
        self.stream.snapshot_begin()
        self.init = self.stream.running("/usr/lib/systemd/systemd", pid=1)
        self.shell = self.stream.running("/usr/bin/bash", parent=self.init, pid=50)
        if begin:
            self.stream.snapshot_end()
            self.tell()

    def tell(self) -> None:
        """What the stream has since it was last told."""
        events = decode_batch(self.stream.records, self.counters)
        self.stream.events.clear()
        self.flow.work(events)

    def wait(self, seconds: float = 1) -> None:
        self.stream.now_ns += round(seconds * SECOND_NS)

    @property
    def now(self) -> str:
        """RFC 3339, to the nanosecond."""
        return self.describer.tables.date(self.stream.now_ns)

    def id(self, process: Process) -> str:
        version = self.tree.get(process.pid, process.start_ns)
        assert version is not None
        return version.entity_id


class Client:
    def __init__(self, session: aiohttp.ClientSession, base: str, path: str) -> None:
        self.session = session
        self.base = base
        self.path = path  # of the socket

    async def get(self, path: str, **parameters: str | int) -> tuple[int, Any]:
        """Status and parsed body."""
        async with self.session.get(self.base + path, params=parameters or None, allow_redirects=False) as response:
            return response.status, orjson.loads(await response.read())

    async def ok(self, path: str, **parameters: str | int) -> Any:
        status, body = await self.get(path, **parameters)
        assert status == 200, body
        return body

    async def refused(self, path: str, **parameters: str | int) -> tuple[int, str]:
        """Status and reason of what is no answer."""
        status, body = await self.get(path, **parameters)
        assert set(body) >= {"status", "reason", "message"}, body
        assert body["status"] == status
        return status, body["reason"]


@asynccontextmanager
async def serving(host: Host, **keys: Any) -> AsyncIterator[Client]:
    """A client of the unix socket, or of ``api_address`` where that is among the keys."""
    folder = Path(tempfile.mkdtemp(prefix="lineage-"))  # a test's own may be too long for a socket's path
    config = Config(**{"api_socket": str(folder / "s"), **keys})
    listeners = open_listeners(config)
    server = asyncio.create_task(Server(config, listeners, host.questions, host.counters).run())
    connector = aiohttp.TCPConnector() if config.api_address else aiohttp.UnixConnector(config.api_socket)
    try:
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Client(session, f"http://{config.api_address or 'lineage'}", config.api_socket)
    finally:
        server.cancel()
        with suppress(asyncio.CancelledError):
            await server
        shutil.rmtree(folder)


async def until(holds: Callable[[], object]) -> None:
    """Lets the server work until it has come so far."""
    while not holds():  # noqa: ASYNC110 - a counter sets no event
        await asyncio.sleep(0.01)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes, however it does."""
    received = b""
    with suppress(ConnectionError):
        while some := await reader.read(65536):
            received += some
    return received


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
