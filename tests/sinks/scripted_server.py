"""An Elasticsearch of a few lines on loopback: it keeps what _bulk creates, and first does what its script says."""

from __future__ import annotations

import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import orjson
from aiohttp import web

PRODUCT = {"X-Elastic-Product": "Elasticsearch"}
INFO: dict[str, Any] = {"version": {"number": "9.4.3", "build_flavor": "default"}, "tagline": "You Know, for Search"}

Step = Callable[["ScriptedServer", web.Request, bytes], Awaitable[web.StreamResponse]]


class ScriptedServer:
    def __init__(self) -> None:
        self.url = ""
        self.script: list[Step] = []
        self.greeting = json_response(200, INFO)
        self.documents: dict[str, dict[str, Any]] = {}
        self.bodies: dict[str, bytes] = {}
        self.streams: dict[str, str] = {}
        self.requests: list[list[str]] = []
        self.headers: list[dict[str, str]] = []
        self.body_max = 10**9
        self.may_write = False
        self.released = anyio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if request.path == "/":
            status, body, headers = self.greeting
            return web.Response(status=status, body=body, headers=headers)
        if request.path == "/_security/user/_has_privileges":
            return respond(json_response(200, {"has_all_requested": self.may_write}))
        assert request.path == "/_bulk"
        body = await request.read()
        self.requests.append([action["_id"] for action, _ in lines(body)])
        if len(body) > self.body_max:
            return web.Response(status=413, text="Request Entity Too Large")
        if self.script:
            return await self.script.pop(0)(self, request, body)
        return respond(json_response(200, self.apply(body)))

    def apply(self, body: bytes, verdicts: Sequence[dict[str, Any] | None] = ()) -> dict[str, Any]:
        """Create each document that ``verdicts`` has nothing against."""
        items = []
        for number, (action, source) in enumerate(lines(body)):
            verdict = verdicts[number] if number < len(verdicts) else None
            if verdict is None and action["_id"] in self.documents:
                verdict = {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "exists"}}
            if verdict is None:
                self.documents[action["_id"]] = orjson.loads(source)
                self.bodies[action["_id"]] = source
                self.streams[action["_id"]] = action["_index"]
            items.append({"create": verdict or {"status": 201}})
        return {"errors": any("error" in item["create"] for item in items), "items": items}


Answer = tuple[int, bytes, dict[str, str]]


def json_response(status: int, value: Any) -> Answer:
    return status, orjson.dumps(value), {"Content-Type": "application/json", **PRODUCT}


def respond(answer: Answer) -> web.Response:
    status, body, headers = answer
    return web.Response(status=status, body=body, headers=headers)


def lines(body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Action and source of each document, as the server sees them."""
    if body.startswith(b"\x1f\x8b"):
        body = gzip.decompress(body)
    assert body.endswith(b"\n")
    parts = body.split(b"\n")[:-1]
    return [(orjson.loads(parts[at])["create"], parts[at + 1]) for at in range(0, len(parts), 2)]


# Steps of a script.


def refuses(status: int, text: bytes = b"", kind: str = "application/json") -> Step:
    async def step(server: ScriptedServer, request: web.Request, body: bytes) -> web.StreamResponse:
        return web.Response(status=status, body=text, headers={"Content-Type": kind, **PRODUCT})

    return step


def items(*verdicts: dict[str, Any] | None) -> Step:
    async def step(server: ScriptedServer, request: web.Request, body: bytes) -> web.StreamResponse:
        return respond(json_response(200, server.apply(body, verdicts)))

    return step


def all_items(verdict: dict[str, Any]) -> Step:
    async def step(server: ScriptedServer, request: web.Request, body: bytes) -> web.StreamResponse:
        return respond(json_response(200, server.apply(body, [verdict] * len(lines(body)))))

    return step


async def resets_before(server: ScriptedServer, request: web.Request, body: bytes) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def resets_after(server: ScriptedServer, request: web.Request, body: bytes) -> web.StreamResponse:
    server.apply(body)
    return await resets_before(server, request, body)


async def applies_and_never_answers(server: ScriptedServer, request: web.Request, body: bytes) -> web.StreamResponse:
    server.apply(body)
    await server.released.wait()
    return web.Response()


def mangles(change: Callable[[bytes], bytes]) -> Step:
    """Apply, and spoil the answer."""

    async def step(server: ScriptedServer, request: web.Request, body: bytes) -> web.StreamResponse:
        status, answer, headers = json_response(200, server.apply(body))
        return web.Response(status=status, body=change(answer), headers=headers)

    return step


async def cuts_the_answer(server: ScriptedServer, request: web.Request, body: bytes) -> web.StreamResponse:
    """Promise more than is sent, then hang up."""
    _, answer, headers = json_response(200, server.apply(body))
    response = web.StreamResponse(headers={**headers, "Content-Length": str(len(answer))})
    await response.prepare(request)
    await response.write(answer[: len(answer) // 2])
    assert request.transport is not None
    request.transport.close()
    return response


@asynccontextmanager
async def scripted_server(context: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    app = web.Application(client_max_size=10**9)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, auto_decompress=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"{'https' if context else 'http'}://{host}:{port}"
    try:
        yield server
    finally:
        server.released.set()
        await runner.cleanup()
