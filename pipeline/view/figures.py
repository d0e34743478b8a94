"""Results of measurements: a table on a terminal, aligned lines in a pipe, JSON for other programs.

A figure says what it is of, its unit, and where there is one its goal; whether that was met is worked out here and
nowhere else. What could not be measured is a figure without a value, with the reason in its note.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

HEADINGS = ("benchmark", "figure", "value", "unit", "goal", "met", "note")
_RIGHT = ("value", "goal")


class Figure(NamedTuple):
    """One number. ``at_least``: the goal is reached from above; else it is a bound."""

    benchmark: str
    figure: str
    value: float | None
    unit: str
    goal: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """None without a goal or without a value."""
        if self.goal is None or self.value is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def row(self) -> tuple[str, ...]:
        goal = "" if self.goal is None else f"{'≥' if self.at_least else '≤'} {_bare(self.goal)}"
        met = {None: "", True: "yes", False: "no"}[self.met]
        value = "-" if self.value is None else number(self.value)
        return (self.benchmark, self.figure, value, self.unit, goal, met, self.note)

    def as_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.benchmark,
            "figure": self.figure,
            "value": self.value,
            "unit": self.unit,
            "goal": self.goal,
            "met": self.met,
            "note": self.note,
        }


def number(value: float) -> str:
    """Whole numbers whole, large ones with separators, others with three to four digits that mean something."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def _bare(value: float) -> str:
    return f"{value:,g}" if abs(value) < 1000 else f"{value:,.0f}"


def table(figures: Sequence[Figure]) -> Table:
    """The figures for a terminal; a goal that was missed is red, one that was met green."""
    drawn = Table(header_style="bold", pad_edge=False)
    for heading in HEADINGS:
        right = heading in _RIGHT
        drawn.add_column(heading, justify="right" if right else "left", no_wrap=heading not in ("figure", "note"))
    before = ""
    for figure in figures:
        cells = [Text(cell) for cell in figure.row()]
        cells[2].stylize({None: "", True: "green", False: "bold red"}[figure.met])
        cells[-1].stylize("dim")
        if figure.benchmark == before:
            cells[0] = Text("")
        elif before:
            drawn.add_section()
        before = figure.benchmark
        drawn.add_row(*cells)
    return drawn


def lines(figures: Sequence[Figure]) -> list[str]:
    """The same for a pipe: one line a figure, columns aligned, nothing wrapped or left out."""
    rows = [HEADINGS, *(figure.row() for figure in figures)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEADINGS))]
    return [
        "  ".join(
            cell.rjust(width) if heading in _RIGHT else cell.ljust(width)
            for heading, cell, width in zip(HEADINGS, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def show(console: Console, host: Mapping[str, Any], figures: Sequence[Figure]) -> None:
    """Print host and figures in the form that fits where ``console`` writes."""
    about = ", ".join(f"{name} {value}" for name, value in host.items())
    if console.is_terminal:
        console.print(Text(about, style="dim"))
        console.print(table(figures))
        return
    console.file.write("\n".join([about, *lines(figures), ""]))
    console.file.flush()


def as_json(host: Mapping[str, Any], figures: Sequence[Figure]) -> bytes:
    """``{"host": {...}, "figures": [{benchmark, figure, value, unit, goal, met, note}, ...]}``."""
    document = {"host": dict(host), "figures": [figure.as_json() for figure in figures]}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
