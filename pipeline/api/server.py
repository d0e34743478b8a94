"""HTTP/1.1 with JSON over the questions: routes, bounds, who may ask.

Rules of this file:
- It may never stop the pipeline, which runs in the same thread: what is computed at once is small, an answer about many
  processes or versions goes out in pieces of ROWS_A_PIECE, which end sooner where rows are long or many were looked at
  for few, and whatever goes wrong ends in one answer and one counter. What is done of all that are known at once is a
  sort by their starts.
- Bounded: requests at the same time (``api_requests_max``), connections, how long one lasts (``connections.py``), rows,
  seconds.
- Every answer that is none is a JSON object with ``status``, ``reason`` and ``message``; ``api_refused`` counts it.
- Nothing is imported when something is asked (``log.exception`` would): the privileges to read a module are gone.
- Over TCP nothing is answered without the token, compared in constant time.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import socket
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import orjson
import structlog
from aiohttp import web

from pipeline.api import problems
from pipeline.api.connections import Closed, Connection, Counted
from pipeline.api.listeners import Listeners
from pipeline.api.metrics import CONTENT_TYPE, Metrics
from pipeline.api.openapi import DESCRIPTION
from pipeline.api.parameters import check_names
from pipeline.api.problems import Problem
from pipeline.api.questions import Questions
from pipeline.api.rows import Rows, pieces
from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.tree import NoAnswer

ROWS_A_PIECE = 64  # 5 ms
CONNECTIONS_MAX = 128
FAMILY = ("children", "descendants", "siblings", "session")

Made = TypeVar("Made")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger()


class Server:
    """Answers on the listeners until cancelled."""

    def __init__(self, config: Config, listeners: Listeners, questions: Questions, counters: Counters) -> None:
        self._listeners = listeners
        self._questions = questions
        self._counters = counters
        self._metrics = Metrics(counters, questions.sizes)
        self._token = config.api_token.get_secret_value().encode() if config.api_token else b""
        self._requests_max = config.api_requests_max
        self._rows_max = config.api_rows_max
        self._timeout_s = config.api_timeout_s
        self._description = orjson.dumps(DESCRIPTION)
        self._answering = 0
        self._complaints = logging.Logger("lineage.api")
        self._complaints.addHandler(Counted(counters))

    async def run(self) -> None:
        """A task of its own, which is cancelled at the end. What goes wrong with the listeners is told, no more."""
        try:
            await self._run()
        except Exception:
            log.error("the API has ended; everything else goes on", trace=traceback.format_exc())

    async def _run(self) -> None:
        runners = []
        servers = []
        try:
            for listener, token in ((self._listeners.unix, b""), (self._listeners.tcp, self._token)):
                if listener is not None:
                    runner = web.AppRunner(
                        self._application(token if listener is self._listeners.tcp else None),
                        handle_signals=False,
                        shutdown_timeout=1.0,
                    )
                    await runner.setup()
                    runners.append(runner)
                    servers.append(await self._serve(runner, listener))
            await anyio.sleep_forever()
        finally:
            for server in servers:
                server.close()
            with anyio.CancelScope(shield=True):
                for runner in runners:
                    await runner.cleanup()
            self._listeners.close()

    async def _serve(self, runner: web.AppRunner, listener: socket.socket) -> asyncio.Server:
        handlers = runner.server
        assert handlers is not None  # after setup

        def connected() -> asyncio.Protocol:
            if len(handlers.connections) >= CONNECTIONS_MAX:
                self._counters.api_refused["connections"] += 1
                return Closed()
            return Connection(
                handlers,
                refuse=self._refuse,
                counters=self._counters,
                answer_s=self._timeout_s,
                complaints=self._complaints,
            )

        return await asyncio.get_running_loop().create_server(connected, sock=listener)

    def _application(self, token: bytes | None) -> web.Application:
        """``token``: None where the socket's mode says who may ask."""

        @web.middleware
        async def bounded(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._counters.api_requests += 1
            assert isinstance(request.protocol, Connection)
            request.protocol.asked()
            try:
                if token is not None and not _has_token(request, token):
                    raise Problem("no_token", "send Authorization: Bearer, and the token of the agent's configuration")
                return await self._within_bounds(request, handler)
            except Problem as problem:
                return self._refuse(problem)

        application = web.Application(middlewares=[bounded], client_max_size=1024)
        add = application.router.add_get
        questions = self._questions
        for path, answer in (
            ("/processes", lambda request: questions.process(None, _given(request))),
            ("/processes/{id}", lambda request: questions.process(request.match_info["id"], _given(request))),
            ("/lineage", lambda request: questions.lineage(None, _given(request))),
            ("/lineage/{id}", lambda request: questions.lineage(request.match_info["id"], _given(request))),
            ("/processes/{id}/threads", lambda request: questions.threads(request.match_info["id"], _given(request))),
            ("/processes/{id}/parents", lambda request: questions.parents(request.match_info["id"], _given(request))),
            (
                "/processes/{id}/artifacts",
                lambda request: questions.artifacts(request.match_info["id"], _given(request)),
            ),
            ("/threads", lambda request: questions.thread(None, _given(request))),
            ("/threads/{id}", lambda request: questions.thread(request.match_info["id"], _given(request))),
            ("/tree", lambda request: questions.tree(_given(request))),
            ("/health", lambda request: _without_parameters(request, questions.health)),
        ):
            add(path, self._answer(answer), allow_head=True)
        for which in FAMILY:
            add(f"/processes/{{id}}/{which}", self._answer(_family(questions, which)), allow_head=True)
        add("/metrics", self._text(self._metrics.text, CONTENT_TYPE), allow_head=True)
        add("/openapi.json", self._text(lambda: self._description, "application/json"), allow_head=True)
        return application

    async def _within_bounds(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raises Problem for all that is no answer."""
        if self._answering >= self._requests_max:
            raise Problem("busy", f"{self._requests_max} questions are being answered already: ask again in a second")
        self._answering += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                return await handler(request)
        except NoAnswer as error:
            problem = problems.of_no_answer(error)
            if candidates := self._questions.candidates(error):
                problem.more["candidates"] = candidates
            raise problem from error
        except web.HTTPNotFound as error:
            raise Problem("no_such_path", f"there is no {request.path}: /openapi.json lists what there is") from error
        except web.HTTPMethodNotAllowed as error:
            raise Problem("bad_method", "everything is asked with GET, or with HEAD") from error
        except web.HTTPException as error:
            raise Problem("bad_request", error.reason) from error
        except TimeoutError as error:
            raise Problem("slow", f"no answer within api_timeout_s, {self._timeout_s:g} s") from error
        except (Problem, ConnectionError):
            raise
        except Exception as error:
            log.error("a question to the API has failed: a bug", path=request.path, trace=traceback.format_exc())
            raise Problem("internal", f"{type(error).__name__}: a bug; the agent's log has more") from error
        finally:
            self._answering -= 1

    def _refuse(self, problem: Problem) -> web.Response:
        self._counters.api_refused[problem.reason] += 1
        headers = {"WWW-Authenticate": "Bearer"} if problem.status == 401 else {}
        if problem.reason == "bad_method":
            headers["Allow"] = "GET, HEAD"
        body = orjson.dumps(problem.body())
        return web.Response(body=body, status=problem.status, content_type="application/problem+json", headers=headers)

    def _answer(self, answer: Callable[[web.Request], dict[str, Any] | Rows[Any]]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            answered = answer(request)
            if isinstance(answered, Rows):
                return await self._stream(request, answered)
            return web.Response(body=orjson.dumps(answered), content_type="application/json")

        return handle

    @staticmethod
    def _text(make: Callable[[], bytes], content_type: str) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = _without_parameters(request, make)
            return web.Response(body=body, headers={"Content-Type": content_type})

        return handle

    async def _stream(self, request: web.Request, rows: Rows[Any]) -> web.StreamResponse:
        """Piece by piece, so that neither the pipeline waits nor the whole answer is ever in memory."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        begun = orjson.dumps(rows.head)[:-1] + b',"%b":[' % rows.name.encode()
        count = missing = 0
        try:
            for piece in pieces(rows, self._rows_max, ROWS_A_PIECE):
                lines = b",".join(piece.rows)
                if not response.prepared:
                    await response.prepare(request)
                    if request.method == "HEAD":
                        return response
                    await response.write(begun + lines)
                elif lines:
                    await response.write(b"," + lines if count else lines)
                count += len(piece.rows)
                missing += piece.missing
                await asyncio.sleep(0)
            counted = {"count": count, "truncated": missing > 0, "missing": missing, **rows.tail()}
            await response.write_eof(b"]," + orjson.dumps(counted)[1:])
        except BaseException:  # a timeout is a cancellation here
            if response.prepared and request.transport is not None:
                request.transport.abort()  # half an answer must not look like a whole one
            raise
        return response


def _given(request: web.Request) -> dict[str, str]:
    """Raises Problem for a parameter that comes twice."""
    query = request.query
    for name in query:
        if len(query.getall(name)) > 1:
            raise Problem("bad_parameter", f"the parameter {name} comes more than once")
    return dict(query)


def _without_parameters(request: web.Request, make: Callable[[], Made]) -> Made:
    check_names(request.query, ())
    return make()


def _family(questions: Questions, which: str) -> Callable[[web.Request], Rows[Any]]:
    return lambda request: questions.family(request.match_info["id"], which, _given(request))


def _has_token(request: web.Request, token: bytes) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token) and scheme.lower() == "bearer"
