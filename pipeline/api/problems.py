"""A question that gets no answer: which HTTP status, one word for why, one sentence for people."""

from __future__ import annotations

from typing import Any

from pipeline.tree import NoAnswer

STATUS: dict[str, int] = {
    "never_known": 404,
    "forgotten": 404,
    "not_yet_born": 404,
    "before_memory": 404,
    "no_such_pid": 404,
    "no_such_tid": 404,
    "no_source": 404,
    "no_such_path": 404,
    "no_tree": 404,
    "ambiguous": 300,
    "bad_depth": 400,
    "bad_time": 400,
    "bad_parameter": 400,
    "bad_request": 400,
    "no_token": 401,
    "bad_method": 405,
    "internal": 500,
    "busy": 503,
    "not_ready": 503,
    "slow": 503,
}
"""Of each reason; the description lists them (tested)."""


class Problem(Exception):  # noqa: N818 - an answer as well
    """``more``: further members of the answer."""

    def __init__(self, reason: str, message: str, more: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.more = more or {}

    @property
    def status(self) -> int:
        return STATUS[self.reason]

    def body(self) -> dict[str, Any]:
        return {"status": self.status, "reason": self.reason, "message": self.message, **self.more}


def of_no_answer(error: NoAnswer) -> Problem:
    return Problem(error.reason, str(error))
