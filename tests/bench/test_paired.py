"""Medians of pairs, and how sure they are."""

from __future__ import annotations

import random
import statistics

import pytest

from pipeline.bench.paired import PAIRS_MIN, Ratio, left_out_at_each_end, ratio, shuffled


def test_the_figure_is_the_median_of_the_pairs_ratios_not_the_ratio_of_medians() -> None:
    assert ratio([1.0, 4.0, 9.0], [1.0, 2.0, 9.0]).median == 1.0
    assert ratio([2.0, 6.0], [1.0, 2.0]).median == 2.5


def test_a_pair_has_two_sides() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0, 2.0], [1.0])


@pytest.mark.parametrize(("count", "left_out"), [(6, 0), (8, 0), (9, 1), (10, 1), (20, 5), (40, 13), (100, 39)])
def test_the_interval_leaves_out_as_many_at_each_end_as_the_tables_of_the_sign_test_do(
    count: int, left_out: int
) -> None:
    assert left_out_at_each_end(count) == left_out


def test_the_interval_is_between_two_of_the_ratios() -> None:
    ratios = [1.0 + step / 100 for step in range(20)]
    found = ratio(ratios, [1.0] * 20)
    assert (found.low, found.high) == (ratios[5], ratios[14])


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    source, trials, held = random.Random(4), 2_000, 0
    for _ in range(trials):
        found = ratio([source.expovariate(1.0) for _ in range(15)], [1.0] * 15)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.6931 <= found.high  # ln 2
    assert held / trials > 0.95


@pytest.mark.parametrize("pairs", range(1, PAIRS_MIN))
def test_few_pairs_say_that_they_cannot_say(pairs: int) -> None:
    found = ratio([1.1] * pairs, [1.0] * pairs)
    assert found.low is None
    assert found.high is None
    assert str(found) == f"{pairs} pairs are too few to say how sure"


def test_one_slow_pair_changes_the_figure_by_less_than_the_others_differ() -> None:
    quiet = [1.0 + step / 1000 for step in range(11)]
    disturbed = [*quiet[:-1], 9.0]
    assert ratio(disturbed, [1.0] * 11) == ratio(quiet, [1.0] * 11)._replace(high=disturbed[9])
    assert statistics.fmean(disturbed) > 1.5


def test_a_ratio_says_how_sure_it_is() -> None:
    assert str(Ratio(1.02, 1.0111, 1.0249, 40)) == "95 % sure within 1.011 to 1.025, 40 pairs"


def test_a_random_order_has_each_way_once() -> None:
    orders = {tuple(shuffled((1, 2, 3))) for _ in range(500)}
    assert len(orders) == 6
    assert all(sorted(order) == [1, 2, 3] for order in orders)
