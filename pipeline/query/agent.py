"""Questions to a running agent, over its socket.

Rules of this file: an answer is parsed JSON as the agent gave it; no agent, and an answer that is none, are errors of
one line each.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson

from pipeline import moments
from pipeline.config import Config
from pipeline.errors import LineageError, UsageError
from pipeline.query.base import Fields

TIMEOUT_S = 60.0
PID_DIGITS_MAX = 7
UNKNOWN = ("never_known", "forgotten", "not_yet_born", "before_memory", "no_such_pid")
"""Reasons why there is nothing to tell of a process then."""

MEND = "start `lineage run` as root, or name its socket with --set api_socket=PATH"


class NoAgentError(LineageError):
    """Nobody answers on the socket, or not us."""


class Refused(LineageError):  # noqa: N818 - an answer as well
    """``reason`` is the API's word for it; ``answer`` all that it said; ``mend`` what to type next."""

    def __init__(self, reason: str, answer: Fields, message: str, mend: str = "") -> None:
        super().__init__(message, mend)
        self.reason = reason
        self.answer = answer
        if reason.startswith("bad_"):
            self.exit_code = UsageError.exit_code

    @property
    def candidates(self) -> list[Fields]:
        """The processes that an ambiguous question may mean, youngest first."""
        return self.answer.get("candidates") or []


class Agent:
    def __init__(self, config: Config) -> None:
        self.path = config.api_socket
        self.name = f"the agent on {self.path}"

    async def find_all(self, entity_ids: Iterable[str], at: str) -> list[Fields]:
        """Each of these as it was then, as far as the agent still knows it. Raises NoAgentError."""
        found = []
        for entity_id in entity_ids:
            try:
                found.append(await self.ask(f"/processes/{entity_id}", {"at": at}))
            except Refused as refused:
                if refused.reason not in UNKNOWN:
                    raise
        return found

    async def ask(self, path: str, parameters: Mapping[str, str | int | None]) -> Fields:
        """The answer; parameters that are None are left out. Raises NoAgentError, Refused."""
        if not self.path:
            raise NoAgentError("no agent can be asked, api_socket is empty", "set it to the agent's socket")
        given = {name: str(value) for name, value in parameters.items() if value is not None}
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.UnixConnector(self.path), timeout=aiohttp.ClientTimeout(TIMEOUT_S)
                ) as session,
                session.get(f"http://lineage{path}", params=given, allow_redirects=False) as response,
            ):
                status, body = response.status, await response.read()
        except aiohttp.ClientConnectorError as error:
            raise refused_by(self.path, error.os_error) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAgentError(f"{self.name} broke off: {error or type(error).__name__}", "ask again") from error
        answer = _parsed(body, self.name)
        if status != HTTPStatus.OK:
            message = str(answer.get("message") or f"HTTP {status}")
            raise Refused(str(answer.get("reason")), answer, message)
        return answer


def who(text: str) -> tuple[str, dict[str, str]]:
    """The end of a path and the parameter that name a process: a pid, or an entity id. Raises UsageError."""
    if text.isdecimal() and len(text) <= PID_DIGITS_MAX:
        return "", {"pid": text}
    if re.fullmatch(r"[A-Za-z0-9_-]{22}", text, re.ASCII) is None:
        raise UsageError(f"{text!r} is no process", "give a pid, or a process.entity_id of 22 characters")
    return f"/{text}", {}


def moment(text: str | None) -> str | None:
    """A time as the user wrote it, as the API takes it: a local one in UTC. Raises UsageError for what is no time."""
    if text is None or moments.ago_ns(text) is not None:
        return text
    from_ns, until_ns = moments.span(text, time.time_ns(), local=True)
    second, ns = divmod(from_ns, moments.SECOND_NS)
    whole = moments.utc(second * moments.SECOND_NS).replace(tzinfo=None).isoformat()
    return f"{whole}Z" if until_ns > from_ns else f"{whole}.{ns:09d}Z"


def _parsed(body: bytes, name: str) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NoAgentError(f"{name} broke off, or is none", "ask again") from error
    if not isinstance(answer, dict):
        raise NoAgentError(f"{name} is none", MEND)
    return answer


def refused_by(path: str, error: OSError) -> NoAgentError:
    """What to tell who could not connect to the socket there."""
    if isinstance(error, PermissionError):
        mend = "use sudo, or be in the group that the agent's api_socket_group names"
        return NoAgentError(f"you may not ask the agent on {path}", mend)
    return NoAgentError(f"no agent answers on {path} ({error.strerror})", MEND)
