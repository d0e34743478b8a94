"""The benchmarks of a live agent on the real kernel, in their quick form."""

from __future__ import annotations

import os

import pytest

from pipeline.bench import memory, statistics
from pipeline.bench.base import CannotRun
from pipeline.bench.collectors import collectors
from pipeline.bench.programs import storm_program
from pipeline.view.figures import Figure
from tests.bench.conftest import Measure, Measured

pytestmark = pytest.mark.kernel


def _values(figures: Measured) -> dict[str, float]:
    return {name: figure.value for name, figure in figures.items() if figure.value is not None}


def test_storm_tells_time_in_the_kernel_and_beside_it(measure: Measure) -> None:
    figures = measure("storm")
    values = _values(figures)
    programs = [name for name in figures if name.startswith("BPF program")]
    assert len(programs) >= 3  # fork, exec, exit
    assert values["BPF time"] >= sum(values[name] for name in programs) - 1e-6  # some may run twice
    assert figures["BPF time"].goal == 12
    assert 0 < values["BPF share of the CPU time"] < 100
    assert values["one true(1) without the agent"] > 10
    for name in ("time with the agent / without", "CPU time with the agent / without"):
        assert figures[name].goal == 1.03
        if _is_measured(figures[name]):
            assert 0.1 < values[name] < 10
            assert "too few" in figures[name].note  # to say how sure


def _is_measured(figure: Figure) -> bool:
    """A ratio is not where others have the storm's core, as they may in a test; it says so then."""
    assert (figure.value is None) is figure.note.startswith("no measure: others had")
    return figure.value is not None


def test_beside_measures_every_collector_that_works_here_and_says_why_others_do_not(measure: Measure) -> None:
    figures = measure("beside")
    values = _values(figures)
    for collector in collectors():
        name = collector.name
        if name in figures:  # not installed, or what it needs of the host is not there: tracefs, for one
            assert figures[name].note.startswith(
                f"not run: not installed: {collector.missing}"
                if collector.missing
                else f"not run: {name} tells no exec: "
            )
            assert not name.startswith("lineage")
            continue
        for ratio in (f"storm with / without: {name}", f"storm's CPU time with / without: {name}"):
            assert not _is_measured(figures[ratio]) or values[ratio] > 0
        assert values[f"CPU for 1,000 execs: {name}"] > 0
        assert 0 < values[f"exec to line, p50: {name}"] <= values[f"exec to line, p99: {name}"]
        assert values[f"RSS: {name}"] > 1


def test_burst_finds_every_right_parent_and_a_tree_equal_to_proc(measure: Measure) -> None:
    """Figures that are no speed: anything else is wrong, as long as nothing was lost."""
    figures = measure("burst")
    values = _values(figures)
    assert values["lost records"] == values["execs that were not told"] == 0
    assert values["right birth parent"] == values["right birth parent, where it ended at once"] == 100
    assert values["processes unlike /proc"] == 0, figures["processes unlike /proc"].note
    assert values["the agent's CPU meanwhile"] > 1


def test_every_chain_has_its_right_parent_and_its_whole_right_lineage(measure: Measure) -> None:
    """The one figure that is no speed: anything below 100 % is wrong."""
    figures = measure("accuracy")
    assert _values(figures) == {"right birth parent": 100.0, "whole right lineage": 100.0}
    assert all(figure.unit == "%" for figure in figures.values())


def test_loss_counts_what_the_kernel_lost_and_what_has_no_document(measure: Measure) -> None:
    figures = measure("loss")
    assert figures["lost records"].unit == "records"
    values = _values(figures)
    assert values["execs without a document"] <= values["lost records"]


def test_memory_is_the_sum_of_its_parts_and_the_ring_is_one(measure: Measure) -> None:
    figures = measure("memory")
    assert {figure.unit for figure in figures.values()} == {"MiB"}
    values = _values(figures)
    parts = {name: value for name, value in values.items() if name.startswith("RSS, to NDJSON, later: ")}
    assert values["RSS, to NDJSON, later"] == pytest.approx(sum(parts.values()))
    assert parts[f"RSS, to NDJSON, later: {memory.RING}"] > 0
    assert values["PSS, to NDJSON, later"] <= values["RSS, to NDJSON, later"]


def test_startup_sees_the_first_event_and_the_loader_come_and_go(measure: Measure) -> None:
    values = _values(measure("startup"))
    assert values["start to first event"] > 0
    assert values["execs missed after that"] == 0
    assert 0 < values["loader: compile, attach, hand over"] < values["start to ready"]
    assert values["loader: peak memory, gone with it"] > 10


@pytest.mark.elasticsearch
def test_latency_finds_every_exec(measure: Measure, elasticsearch_url: str) -> None:
    values = _values(measure("latency", elasticsearch_url))
    assert 0 < values["exec to searchable, p50"] <= values["exec to searchable, p99"]


def test_the_kernel_tells_how_often_a_program_ran() -> None:
    with statistics.enabled():
        programs = statistics.programs()
    assert all(runs.time_ns >= 0 and runs.runs >= 0 for runs in programs.values())
    assert statistics.spent(programs, programs) == {}


def test_a_machine_whose_bpf_number_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "SYSCALL", {})
    with pytest.raises(CannotRun, match="no number here"):
        statistics.programs()


def test_what_a_load_maker_holds_ends_with_it() -> None:
    with storm_program() as load:
        assert load.ask("hold 3") == {"held": 3}
        with open(f"/proc/{load.pid}/task/{load.pid}/children") as children:
            held = [int(pid) for pid in children.read().split()]
        assert len(held) == 3
    assert not [pid for pid in held if os.path.exists(f"/proc/{pid}")]


def test_a_load_maker_that_fails_says_why() -> None:
    with storm_program() as load, pytest.raises(CannotRun, match="no such command: dance"):
        load.ask("dance")
