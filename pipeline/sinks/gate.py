"""When to try again: one gate before a sink, closed by a try that found nobody, opened by one that got through.

Pauses have full jitter: anything between nothing and a bound that doubles with each failure in a row, so that many
agents do not come back at the same instant. Random numbers and time are brought in.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.errors import SinkUnavailable
from pipeline.sinks.base import SinkDenied

FIRST_PAUSE_S = 0.25
LAST_PAUSE_S = 1.0
"""Longest pause while draining: the end is near."""


class Gate:
    def __init__(self, pause_max_s: float, jitter: Callable[[], float]) -> None:
        self.failures = 0  # in a row
        self.opens_at = 0.0
        self.trouble = ""  # what the sink said last; "" while it is open
        self._pause_max_s = pause_max_s
        self._jitter = jitter
        self._hurried = False

    def __repr__(self) -> str:
        return f"<Gate closed after {self.failures} failures>" if self.failures else "<Gate open>"

    def pause_s(self, tries: int) -> float:
        """How long to wait after that many tries."""
        return self._jitter() * min(self._pause_max_s, FIRST_PAUSE_S * 2.0 ** min(tries, 30))

    def close(self, error: SinkUnavailable, now: float) -> None:
        """Nobody there, or nobody who would take anything. Who denies us is asked at the longest pause."""
        self.failures += 1
        denied = isinstance(error, SinkDenied) and not self._hurried
        self.opens_at = now + (self._pause_max_s if denied else self.pause_s(self.failures))
        self.trouble = str(error)

    def open(self) -> None:
        self.failures = 0
        self.opens_at = 0.0
        self.trouble = ""

    def hurry(self, now: float) -> None:
        """The end is near: try now, and pause no longer than LAST_PAUSE_S from here on."""
        self._hurried = True
        self._pause_max_s = min(self._pause_max_s, LAST_PAUSE_S)
        self.opens_at = min(self.opens_at, now)
