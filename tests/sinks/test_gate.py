from __future__ import annotations

import random

from pipeline.errors import SinkUnavailable
from pipeline.sinks.base import SinkDenied
from pipeline.sinks.gate import LAST_PAUSE_S, Gate


def test_the_bound_doubles_until_its_limit() -> None:
    gate = Gate(8.0, jitter=lambda: 1.0)
    assert [gate.pause_s(tries) for tries in (1, 2, 3, 4, 5, 6, 5000)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_jitter_spreads_pauses_over_the_whole_range() -> None:
    generator = random.Random(1)
    gate = Gate(8.0, generator.random)
    pauses = [gate.pause_s(5) for _ in range(1000)]
    assert 0 <= min(pauses) < 0.5
    assert 7.5 < max(pauses) <= 8.0


def test_a_failure_closes_and_a_success_opens() -> None:
    gate = Gate(8.0, jitter=lambda: 1.0)
    gate.close(SinkUnavailable("away"), now=100.0)
    assert (repr(gate), gate.opens_at, gate.trouble) == ("<Gate closed after 1 failures>", 100.5, "away")
    gate.open()
    assert (repr(gate), gate.opens_at, gate.trouble) == ("<Gate open>", 0.0, "")


def test_who_denies_us_is_left_alone_for_the_longest_pause() -> None:
    gate = Gate(30.0, jitter=lambda: 0.0)
    gate.close(SinkDenied("no"), now=100.0)
    assert gate.opens_at == 130.0


def test_near_the_end_no_pause_is_long() -> None:
    gate = Gate(30.0, jitter=lambda: 1.0)
    gate.close(SinkDenied("no"), now=100.0)
    gate.hurry(now=101.0)
    assert gate.opens_at == 101.0
    gate.close(SinkDenied("no"), now=101.0)
    gate.failures = 20
    gate.close(SinkUnavailable("away"), now=102.0)
    assert gate.opens_at == 102.0 + LAST_PAUSE_S
