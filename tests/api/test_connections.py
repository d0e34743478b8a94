"""There are few connections: nobody keeps one that he does not use."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from itertools import chain, repeat
from typing import Any

import pytest

from pipeline.api import connections
from pipeline.api.connections import Connection
from pipeline.api.server import CONNECTIONS_MAX
from tests.api.serving import Host, free_port, rest, serving, until

TOKEN = "0123456789abcdef-token"
SHORT_S = 2.0  # longer than a busy machine takes to read a question
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n"
WHOLE = HEALTH + b"Authorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"


async def test_connections_are_bounded_and_the_next_is_served_when_one_has_gone() -> None:
    host = Host()
    async with serving(host) as client:
        idle = [await asyncio.open_unix_connection(client.path) for _ in range(CONNECTIONS_MAX + 50)]
        await until(lambda: host.counters.api_refused["connections"] == 50)
        for _, writer in idle[:10]:
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0)
        assert (await client.ok("/health"))["ok"]
        for reader, writer in idle:
            writer.close()
            await rest(reader)


async def test_nothing_is_kept_of_a_connection_that_has_gone() -> None:
    host = Host()
    async with serving(host) as client:
        gone = [await asyncio.open_unix_connection(client.path) for _ in range(20)]
        await until(lambda: _connections() == 20)
        for _, writer in gone:
            writer.close()
            await writer.wait_closed()
        await until(lambda: _connections() == 0)


def _connections() -> int:
    gc.collect()
    return sum(isinstance(one, Connection) for one in gc.get_objects())


def _tcp() -> dict[str, Any]:
    return {"api_address": f"127.0.0.1:{free_port()}", "api_token": TOKEN}


async def _connect(keys: dict[str, Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = keys["api_address"].split(":")
    return await asyncio.open_connection(host, int(port))


async def test_who_sends_no_whole_question_makes_room_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_S", SHORT_S)
    host, keys = Host(), _tcp()
    async with serving(host, **keys) as client:
        begun = [await _connect(keys) for _ in range(CONNECTIONS_MAX)]
        for _, writer in begun[CONNECTIONS_MAX // 2 :]:
            writer.write(HEALTH)  # and not the blank line
        for reader, writer in begun:
            assert await rest(reader) == b""
            writer.close()
        assert host.counters.api_refused == {"no_request": CONNECTIONS_MAX}
        reader, writer = await _connect(keys)
        writer.write(WHOLE)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        assert client.base.endswith(keys["api_address"])


async def test_who_sends_one_byte_after_the_other_is_ended_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_S", SHORT_S)
    host, keys = Host(), _tcp()
    async with serving(host, **keys):
        for before in (b"", WHOLE):
            reader, writer = await _connect(keys)
            writer.write(before)

            async def trickle(writer: asyncio.StreamWriter) -> None:
                with suppress(ConnectionError):
                    for byte in chain(b"GET /", repeat(ord("x"))):
                        writer.write(bytes([byte]))
                        await writer.drain()
                        await asyncio.sleep(0.02)

            sending = asyncio.create_task(trickle(writer))
            received = await rest(reader)
            assert received.count(b"HTTP/1.1 ") == (1 if before else 0)
            sending.cancel()
            writer.close()
        assert host.counters.api_refused == {"no_request": 2}


async def test_a_connection_that_has_asked_and_has_no_more_questions_ends_and_is_no_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "IDLE_S", SHORT_S)
    host, keys = Host(), _tcp()
    async with serving(host, **keys):
        reader, writer = await _connect(keys)
        writer.write(WHOLE)
        assert (await rest(reader)).startswith(b"HTTP/1.1 200")
        writer.close()
    assert host.counters.api_refused == {}


@pytest.mark.parametrize("questions", [1, 10_000])
async def test_an_old_connection_ends_whether_it_asks_or_not(monkeypatch: pytest.MonkeyPatch, questions: int) -> None:
    monkeypatch.setattr(connections, "CONNECTION_S", SHORT_S)
    monkeypatch.setattr(connections, "IDLE_S", 3600.0)  # which would end it as well
    host, keys = Host(), _tcp()
    async with serving(host, **keys):
        reader, writer = await _connect(keys)

        async def ask() -> None:
            with suppress(ConnectionError):
                for _ in range(questions):
                    writer.write(WHOLE)
                    await writer.drain()
                    await asyncio.sleep(0.01)

        asking = asyncio.create_task(ask())
        assert (await rest(reader)).startswith(b"HTTP/1.1 200")
        asking.cancel()
        writer.close()
        await until(lambda: _connections() == 0)


async def test_answers_that_nobody_reads_do_not_keep_a_connection() -> None:
    host, keys = Host(), _tcp()
    async with serving(host, api_timeout_s=0.5, **keys):
        reader, writer = await _connect(keys)
        transport = writer.transport
        assert isinstance(transport, asyncio.ReadTransport)
        transport.pause_reading()
        with suppress(ConnectionError):
            while not host.counters.api_refused["slow"]:
                writer.write((HEALTH + b"\r\n") * 100)  # without the token: anybody can
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await writer.drain()
        await until(lambda: _connections() == 0)
        assert host.counters.api_refused["slow"] == 1
        transport.resume_reading()
        await rest(reader)
        writer.close()
