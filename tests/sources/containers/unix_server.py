"""Servers on a socket of a test's own, that do what no real runtime does when it is well."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def socket_path() -> Iterator[Path]:
    """A short one, as sockets' have to be."""
    with tempfile.TemporaryDirectory(prefix="lineage-runtime-") as folder:
        yield Path(folder) / "runtime.sock"


@asynccontextmanager
async def raw_server(serve: Serve, path: Path) -> AsyncIterator[None]:
    """One that does with each connection as it is told, byte by byte."""
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(ConnectionError):  # the client had enough
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_unix_server(handle, str(path))
    try:
        yield
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        _remove(path)


def _remove(path: Path) -> None:
    path.unlink()


async def connections_ended() -> None:
    """Both ends of closed connections have heard of it, in the few turns of the loop that this takes."""
    for _ in range(20):
        await asyncio.sleep(0)


def says(*parts: bytes) -> Serve:
    """Wait for a question, then this, whatever was asked, and hang up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        for part in parts:
            writer.write(part)
            await writer.drain()

    return serve


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(4096):
        pass
