"""What a process has been, as a person reads it."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from pipeline.view import timeline
from pipeline.view.timeline import Moment

BEGAN, LATER, ENDED = (f"2026-03-02T12:00:0{second}.000000001Z" for second in range(3))


def version(since: str, **process: Any) -> dict[str, Any]:
    fields = {"name": "bash", "pid": 7, "executable": "/usr/bin/bash", "args": ["bash"], "user": {"name": "root"}}
    return {
        "process": fields | process,
        "lineage": {},
        "since": since,
        "until": None,
        "how": "kernel",
        "told": ["image"],
        "versions_dropped": 0,
        "alive": True,
    }


def test_the_first_is_what_it_began_as_and_each_after_it_what_became_what() -> None:
    versions = [version(BEGAN), version(LATER, name="id", user={"name": "games"}, working_directory="/tmp")]
    assert list(timeline.moments(versions)) == [
        Moment(BEGAN, "kernel", "bash 7, user root: bash"),
        Moment(LATER, "kernel", "name bash → id; directory nothing → /tmp; user root → games"),
    ]


def test_what_was_told_again_and_changed_nothing_says_so() -> None:
    assert [moment.what for moment in timeline.moments([version(BEGAN), version(LATER)])][1] == "told again: image"


def test_what_is_not_known_any_more_is_a_line() -> None:
    missing = version(LATER, name="id") | {"versions_dropped": 3}
    whats = [moment.what for moment in timeline.moments([version(BEGAN), missing])]
    assert whats == ["bash 7, user root: bash", "… 3 versions that are not known any more", "name bash → id"]


def test_an_end_is_the_last_line() -> None:
    (*_, last) = timeline.moments([version(BEGAN, end=ENDED, exit_code=3)])
    assert last == Moment(ENDED, "", "ended, exit code 3")
    (*_, last) = timeline.moments([version(BEGAN, end=ENDED)])
    assert last.what == "ended, nobody saw how"


def test_in_a_pipe_it_is_three_columns_and_no_control_character_of_a_process() -> None:
    out = io.StringIO()
    evil = version(LATER, name="\x1b[2J\nforged\tline", working_directory="/\u202e", env_vars=["A=\x07"])
    timeline.show(Console(file=out), [version(BEGAN), evil])
    lines = out.getvalue().splitlines()
    assert [len(line.split("\t")) for line in lines] == [3, 3]
    assert all(line.replace("\t", "").isprintable() for line in lines)
    assert "name bash → \\x1b[2J\\nforged\\tline" in lines[1]


def test_on_a_terminal_it_is_a_table_without_markup_of_a_process() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200, color_system=None)
    timeline.show(console, [version(BEGAN), version(LATER, name="[bold]x\x1b")])
    assert "name bash → [bold]x\\x1b" in out.getvalue()
    assert "\x1b" not in out.getvalue()
