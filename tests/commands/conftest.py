from __future__ import annotations

from tests.commands.stored import store

__all__ = ["store"]
