"""What a figure says of itself, and that table, lines and JSON say the same."""

from __future__ import annotations

import io

import orjson
import pytest
from rich.console import Console

from pipeline.view.figures import Figure, as_json, lines, number, show

FIGURES = (
    Figure("storm", "time with the agent / without", 1.0131, "ratio", 1.03, note="10 pairs"),
    Figure("storm", "BPF share of the CPU time", 1.4, "%", 1.0),
    Figure("replay", "to NDJSON", 31_250.4, "documents/s", 30_000, at_least=True),
    Figure("accuracy", "whole right lineage", 99.9, "%", 100.0, at_least=True),
    Figure("latency", "exec to searchable", None, "ms", note="not run: needs root"),
)


def test_a_goal_is_met_from_the_right_side() -> None:
    assert [figure.met for figure in FIGURES] == [True, False, True, False, None]


def test_a_figure_without_a_value_meets_no_goal() -> None:
    assert Figure("a", "b", None, "us", 3.0).met is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (3.0, "3"), (1.0131, "1.013"), (23.456, "23.46"), (523.46, "523.5"), (31250.4, "31,250")],
)
def test_a_number_has_as_many_digits_as_mean_something(value: float, text: str) -> None:
    assert number(value) == text


def test_a_pipe_gets_one_aligned_line_a_figure() -> None:
    heading, *rows = lines(FIGURES)
    assert len(rows) == len(FIGURES)
    assert len({row.index(figure.unit) for row, figure in zip(rows, FIGURES, strict=True)}) == 1
    assert [" ".join(row.split()) for row in rows[:2]] == [
        "storm time with the agent / without 1.013 ratio ≤ 1.03 yes 10 pairs",
        "storm BPF share of the CPU time 1.400 % ≤ 1 no",
    ]
    assert heading.split() == ["benchmark", "figure", "value", "unit", "goal", "met", "note"]


@pytest.mark.parametrize("terminal", [True, False])
def test_every_figure_is_printed_with_its_host(terminal: bool) -> None:
    file = io.StringIO()
    show(Console(file=file, force_terminal=terminal, width=200), {"kernel": "6.1.0"}, FIGURES)
    printed = file.getvalue()
    assert "kernel 6.1.0" in printed
    assert ("\x1b[" in printed) is terminal
    for figure in FIGURES:
        assert figure.figure in printed


def test_json_has_the_same_figures() -> None:
    told = orjson.loads(as_json({"cores": 2}, FIGURES))
    assert told["host"] == {"cores": 2}
    assert told["figures"][0] == {
        "benchmark": "storm",
        "figure": "time with the agent / without",
        "value": 1.0131,
        "unit": "ratio",
        "goal": 1.03,
        "met": True,
        "note": "10 pairs",
    }
    assert told["figures"][4]["value"] is None
    assert [figure["met"] for figure in told["figures"]] == [figure.met for figure in FIGURES]
