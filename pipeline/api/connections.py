"""One connection of the API: how long it may last, and what becomes of what is no question.

Rules of this file:
- There are few connections, so nobody keeps one that he does not use. One that sends no whole question within IDLE_S
  is broken off, also when it sends one byte after the other; so is one that does not read an answer in its time.
- The library's own refusals, in plain text, are ours as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from pipeline.api.problems import Problem
from pipeline.counters import Counters

CONNECTION_S = 300.0  # a connection that is older ends with its answer, or at once where it has none
IDLE_S = 15.0
LINE_MAX = 8190  # the library's own bound


class Connection(web.RequestHandler):
    """``refuse`` makes the answer that is none, and counts it; ``answer_s``: an answer must have been read by then."""

    __slots__ = ("_answer_s", "_answering", "_counters", "_half", "_idle", "_oldest", "_refuse", "_wire")

    def __init__(
        self,
        handlers: web.Server,
        *,
        refuse: Callable[[Problem], web.Response],
        counters: Counters,
        answer_s: float,
        complaints: logging.Logger,
    ) -> None:
        loop = asyncio.get_running_loop()
        no_log: Any = None  # which the library takes, and its types do not say
        # The library's own bound on idleness counts nothing, and waits for the rest of an answer that nobody reads.
        super().__init__(handlers, loop=loop, access_log=no_log, logger=complaints, keepalive_timeout=CONNECTION_S)
        self._refuse = refuse
        self._counters = counters
        self._answer_s = answer_s
        self._half = True  # no question has come, or one has begun that is not whole
        self._answering = False
        self._wire: asyncio.Transport | None = None
        self._oldest = loop.call_later(CONNECTION_S, self._end)
        self._idle = loop.call_later(IDLE_S, self._idled)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._wire = transport
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The timers hold the connection and all its buffers: anybody who can connect could have many of those."""
        self._oldest.cancel()
        self._idle.cancel()
        self._wire = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._half = True
        super().data_received(data)

    def asked(self) -> None:
        """A whole question has come: from now on its answer has the time."""
        self._idle.cancel()
        self._half, self._answering = False, True

    def _idled(self) -> None:
        if self._half:
            self._counters.api_refused["no_request"] += 1
        self._break_off()

    def _break_off(self) -> None:
        """The rest of an answer that nobody has read is not waited for, as it is in ``close``."""
        if self._wire is not None:
            self._wire.abort()

    def _end(self) -> None:
        if self._answering:
            self.close()  # with the answer
        else:
            self._break_off()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What never came as far as a question. The library's message has the bytes that were sent."""
        self.asked()
        if request.writer.output_size > 0:
            raise ConnectionError("half an answer is sent already")
        if status == HTTPStatus.BAD_REQUEST:
            problem = Problem("bad_request", f"no HTTP/1.1, or more of it than is read: {LINE_MAX:,} bytes a line")
        else:
            problem = Problem("internal", f"{type(exc).__name__}: a bug")
        refused = self._refuse(problem)
        refused.force_close()
        return refused

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """An ``HTTPException`` here was raised before the question was: a header that expects something, say."""
        if isinstance(resp, web.HTTPException):
            self.asked()
            resp = self._refuse(Problem("bad_request", resp.reason))
            resp.force_close()
        try:
            async with asyncio.timeout(self._answer_s):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError as error:
            self._counters.api_refused["slow"] += 1
            self._break_off()
            raise ConnectionError("nobody reads the answer") from error
        finally:
            self._answering = False
            if self._wire is not None:
                self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._idled)


class Closed(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class Counted(logging.Handler):
    """What the library would log, with as many lines as a sender likes."""

    def __init__(self, counters: Counters) -> None:
        super().__init__()
        self._counters = counters

    def emit(self, record: logging.LogRecord) -> None:
        self._counters.api_refused["bad_request"] += 1
