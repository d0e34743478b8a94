"""Ratios of blocks of a storm, and when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.bench import blocks
from pipeline.bench.base import cores, pinned
from pipeline.bench.blocks import Block, block, idle, ratio_of
from pipeline.bench.programs import storm_program
from pipeline.view.figures import Figure

FIGURE = Figure("storm", "time with the agent / without", None, "ratio", 1.03, note="blocks of 25 rounds")
QUIET = [Block(500.0, 490.0, 480.0, 0.01)] * 10
SLOWER = [Block(515.0, 500.0, 490.0, 0.02)] * 10


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "cores", lambda: (0, 1))


@pytest.mark.usefixtures("two_cores")
def test_the_ratio_says_how_sure_it_is() -> None:
    told = ratio_of(FIGURE, "wall_us", SLOWER, QUIET)
    assert told.value == pytest.approx(1.03)
    assert told.note == "95 % sure within 1.030 to 1.030, 10 pairs; blocks of 25 rounds"
    assert told.goal == 1.03


@pytest.mark.usefixtures("two_cores")
def test_beside_others_there_is_no_ratio_and_no_goal_is_met() -> None:
    disturbed = [each._replace(others=0.62) for each in QUIET]
    for on, off, said in ((SLOWER, disturbed, "2 % and 62 %"), (disturbed, QUIET, "62 % and 1 %")):
        told = ratio_of(FIGURE, "wall_us", on, off)
        assert told.met is told.value is None
        assert told.note == f"no measure: others had {said} of the storm's core, with and without"


@pytest.mark.usefixtures("two_cores")
def test_others_that_have_as_much_of_the_core_with_and_without_are_borne() -> None:
    on, off = ([each._replace(others=0.15) for each in side] for side in (SLOWER, QUIET))
    assert ratio_of(FIGURE, "wall_us", on, off).value == pytest.approx(1.03)
    assert ratio_of(FIGURE, "wall_us", on, QUIET).value is None


@pytest.mark.usefixtures("two_cores")
def test_a_few_disturbed_blocks_are_what_a_median_is_for() -> None:
    some = [QUIET[0]._replace(others=0.5, wall_us=900.0)] * 3 + QUIET[3:]
    assert ratio_of(FIGURE, "wall_us", SLOWER, some).value == pytest.approx(1.03)


def test_where_there_is_one_core_the_agent_has_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "cores", lambda: (0, 0))
    sharing = [each._replace(others=0.2) for each in SLOWER]
    assert ratio_of(FIGURE, "cpu_us", sharing, QUIET).value is not None


def test_idle_is_what_the_kernel_says_of_that_core(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  9 9 9 9 9\ncpu1 1 2 3 400 50 6\ncpu10 1 2 3 700 0 6\n")
    assert idle(1, stat) == pytest.approx(4.5)
    assert idle(10, stat) == pytest.approx(7.0)
    with pytest.raises(ValueError, match="no core 2"):
        idle(2, stat)


def test_another_process_on_the_core_is_seen() -> None:
    core, _ = cores()
    with storm_program(core) as storm, pinned(core), storm_program() as other:
        other.tell("storm 400")
        disturbed = block(storm, core, 5)
        other.answer()
    assert disturbed.others > 0.1
    assert 0 < disturbed.fastest_us <= disturbed.wall_us
