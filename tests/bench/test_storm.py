"""What the kernel's statistics come to, and how far blocks differ."""

from __future__ import annotations

import pytest

from pipeline.bench import statistics
from pipeline.bench.statistics import Runs
from pipeline.bench.storm import Cost, Portion, costs, spread


def _portion(**did: tuple[float, int]) -> Portion:
    """Microseconds a run, and runs."""
    return Portion({name: Runs(name, int(us * 1000 * runs), runs) for name, (us, runs) in did.items()}, 600.0)


def test_a_program_costs_what_it_takes_times_how_often_it_runs() -> None:
    portions = [_portion(on_exec=(4.0, 100), on_rename=(0.5, 203))] * 3
    assert costs(portions, 100) == {"on_exec": Cost(4.0, 1), "on_rename": Cost(0.5, 2)}


def test_what_others_on_the_host_make_run_is_left_out() -> None:
    portions = [_portion(on_exec=(4.0, 104), on_thread=(1.0, 7)), _portion(on_exec=(4.0, 100))]
    assert costs(portions, 100).keys() == {"on_exec"}


def test_one_disturbed_portion_changes_nothing() -> None:
    portions = [_portion(on_exec=(4.0, 100)), _portion(on_exec=(4.1, 100)), _portion(on_exec=(40.0, 190))]
    assert costs(portions, 100) == {"on_exec": Cost(4.1, 1)}


def test_programs_of_one_name_are_told_together() -> None:
    before = {1: Runs("on_sys_enter_se", 10, 1), 2: Runs("on_sys_enter_se", 20, 2), 3: Runs("on_exit", 5, 5)}
    after = {1: Runs("on_sys_enter_se", 110, 3), 2: Runs("on_sys_enter_se", 220, 4), 3: Runs("on_exit", 5, 5)}
    assert statistics.spent(before, after) == {"on_sys_enter_se": Runs("on_sys_enter_se", 300, 4)}


def test_the_spread_is_that_of_the_middle_half() -> None:
    assert spread([1.0]) == 0.0
    assert spread([1.0, 2.0, 3.0, 4.0, 500.0]) == pytest.approx(2.0)
