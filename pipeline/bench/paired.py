"""Ratios of two ways that were measured beside each other, again and again, on a machine that others use as well.

What disturbs a round comes from outside and only ever makes it longer. So: short rounds, a block's figure is the median
of its rounds; a block of the one way and one of the other, next to each other in random order, make a pair; told is the
median of the pairs' ratios, and how sure that is.

The interval is that of order statistics (David and Nagaraja, Order Statistics, 7.1): whatever the ratios' distribution,
as many lie below the true median as heads fall in that many tosses of a coin.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

CONFIDENCE = 0.95
PAIRS_MIN = 6  # of fewer, not even the smallest and the largest are 95 % sure to hold the median between them

T = TypeVar("T")


class Ratio(NamedTuple):
    """The median of the pairs' ratios; ``low`` and ``high`` are 95 % sure to hold the true one between them.

    They are None where the pairs are too few to say.
    """

    median: float
    low: float | None
    high: float | None
    pairs: int

    def __str__(self) -> str:
        """``95 % sure within 1.021 to 1.031, 40 pairs``"""
        if self.low is None or self.high is None:
            return f"{self.pairs} pairs are too few to say how sure"
        return f"{CONFIDENCE:.0%} sure within {self.low:.3f} to {self.high:.3f}, {self.pairs} pairs".replace("%", " %")


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
    """Of pairs that stand at the same place in both. Raises ValueError where their numbers differ."""
    ratios = sorted(above / below for above, below in zip(numerators, denominators, strict=True))
    pairs = len(ratios)
    if pairs < PAIRS_MIN:
        return Ratio(statistics.median(ratios), None, None, pairs)
    left_out = left_out_at_each_end(pairs)
    return Ratio(statistics.median(ratios), ratios[left_out], ratios[pairs - 1 - left_out], pairs)


def left_out_at_each_end(count: int) -> int:
    """How many of so many sorted values may be left out at each end, so that the median is among the rest."""
    tail, left_out = 0.5**count, 0
    while True:
        tail += math.comb(count, left_out + 1) * 0.5**count
        if tail > (1 - CONFIDENCE) / 2:
            return left_out
        left_out += 1


def shuffled(ways: Sequence[T]) -> list[T]:
    """In random order, so that nothing which comes and goes in a rhythm favours one of them."""
    return random.SystemRandom().sample(list(ways), len(ways))
