"""The seam of container runtimes."""

from __future__ import annotations

from typing import Any, Protocol

Facts = dict[str, Any]
"""What is known of one container, nested as in ECS: {"container": {...}, "orchestrator": {...}}."""


class Runtime(Protocol):
    async def describe(self, container_id: str) -> Facts | None:
        """What it knows of the container of exactly this id; None: it has none. Waits as long as it takes: cancel it.

        Raises ContainerRuntimeError: ``unreachable`` (nobody there, or no right to ask), ``closed`` (hung up),
        ``refused`` (an error of its own), ``garbage`` (no answer that could be understood, or too long a one).
        """
        ...

    async def aclose(self) -> None:
        """Hang up. Safe to call twice, and before the first question."""
        ...
