from __future__ import annotations

import pytest

from tests.commands.stored import store

__all__ = ["store"]


@pytest.fixture(autouse=True)
def _no_agent_of_this_host_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_API_SOCKET", "")
