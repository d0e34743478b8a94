"""A clock that tests turn themselves, and how they know that everything has happened."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel


async def settled() -> None:
    """Return when every other task waits for something, five looks in a row: a cancellation is on its way for some.

    Like anyio.wait_all_tasks_blocked, which naps for 0.1 s between two looks.
    """
    quiet = 0
    while quiet < 5:
        await anyio.lowlevel.checkpoint()
        waiters = [getattr(task, "_fut_waiter", None) for task in asyncio.all_tasks() - {asyncio.current_task()}]
        quiet = quiet + 1 if all(waiter is not None and not waiter.done() for waiter in waiters) else 0


class FakeTimer:
    """A clock that only ``advance`` moves."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._sleepers: list[tuple[float, anyio.Event]] = []

    def now(self) -> float:
        return self._now

    async def wait(self, event: anyio.Event, seconds: float | None) -> None:
        over = anyio.Event()
        if seconds is not None:
            if seconds <= 0:
                await anyio.lowlevel.checkpoint()
                return
            self._sleepers.append((self._now + seconds, over))

        async with anyio.create_task_group() as tasks:

            async def first(one: anyio.Event) -> None:
                await one.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(first, event)
            tasks.start_soon(first, over)

    async def advance(self, seconds: float) -> None:
        """Let that much time pass, and everything happen that was to happen by then."""
        await settled()
        end = self._now + seconds
        while True:
            due = sorted((at, order) for order, (at, _) in enumerate(self._sleepers) if at <= end)
            if not due:
                break
            self._now, order = due[0]
            self._sleepers.pop(order)[1].set()
            await settled()
        self._now = end
        await settled()
