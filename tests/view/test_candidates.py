from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from pipeline.view import candidates

ID = "e1Zk3J5bq0WmYv8nT2xLcA"


def process(**more: Any) -> dict[str, Any]:
    parent = {"name": "bash", "pid": 712}
    about = {"entity_id": ID, "name": "sleep", "start": "2026-03-02T12:00:00.100000000Z", "parent": parent}
    return {"process": about | more, "until": None}


def thread() -> dict[str, Any]:
    about = {"entity_id": ID, "name": "worker", "start": "2026-03-02T12:00:00.100000000Z", "end": None}
    return {"process": {"entity_id": "p", "pid": 712, "thread": about}, "until": "2026-03-02T12:00:00.300000000Z"}


def shown(*versions: dict[str, Any], width: int = 80, terminal: bool = True) -> list[str]:
    out = io.StringIO()
    candidates.show(Console(file=out, force_terminal=terminal, color_system=None, width=width), versions)
    return out.getvalue().splitlines()


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


@pytest.mark.parametrize("width", [80, 60])
def test_two_lines_are_enough_and_none_is_wider_than_the_terminal(width: int) -> None:
    long = process(command_line="sleep " + "9" * 200, end="2026-03-02T12:00:00.300000000Z")
    first, *rest = shown(long, width=width)
    assert first.startswith(f"{ID}  bash 712 → sleep 999")
    assert (len(first), first[-1]) == (width, "…")
    assert " ".join(line.strip() for line in rest) == (
        "started 2026-03-02 12:00:00.100+00:00, ended 12:00:00.300+00:00"
    )
    assert all(len(line) <= width for line in rest)
    assert width < 80 or len(rest) == 1


def test_an_end_on_another_day_has_its_day() -> None:
    _, times = shown(process(end="2026-03-03T12:00:00.300000000Z"))
    assert times == "  started 2026-03-02 12:00:00.100+00:00, ended 2026-03-03 12:00:00.300+00:00"
    assert len(times) <= 80


def test_a_thread_has_its_process_in_the_parents_place() -> None:
    assert shown(thread()) == [
        f"{ID}  process 712 → worker",
        "  started 2026-03-02 12:00:00.100+00:00, ended 12:00:00.300+00:00",
    ]
    assert candidates.identity(thread()) == candidates.identity(process()) == ID


def test_a_pipe_gets_a_line_each_below_a_heading() -> None:
    assert [line.split("\t") for line in shown(process(), thread(), terminal=False)] == [
        ["id", "started", "ended", "command", "parent"],
        [ID, "2026-03-02T12:00:00.100000000Z", "", "sleep", "bash 712"],
        [ID, "2026-03-02T12:00:00.100000000Z", "2026-03-02T12:00:00.300000000Z", "worker", "process 712"],
    ]
