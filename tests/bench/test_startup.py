"""Which exec is the first that was seen."""

from __future__ import annotations

import pytest

from pipeline.bench.base import CannotRun
from pipeline.bench.startup import first_and_missed


def test_the_first_exec_that_was_told_is_the_first_event() -> None:
    assert first_and_missed({7, 8, 9}, 10) == (7, 0)


def test_none_after_it_may_be_missing() -> None:
    assert first_and_missed({3, 5, 6}, 10) == (3, 4)


def test_an_agent_that_told_none_has_no_figure() -> None:
    with pytest.raises(CannotRun, match="none of 10 execs"):
        first_and_missed(set(), 10)
