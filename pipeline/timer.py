"""Time as those need it who wait and try again, so that their tests can turn the clock themselves."""

from __future__ import annotations

import time
from typing import Protocol

import anyio


class Timer(Protocol):
    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    async def wait(self, event: anyio.Event, seconds: float | None) -> None:
        """Return when the event is set or after ``seconds``; None waits for the event alone."""
        ...


class SystemTimer:
    def now(self) -> float:
        return time.monotonic()

    async def wait(self, event: anyio.Event, seconds: float | None) -> None:
        with anyio.move_on_after(seconds):
            await event.wait()
