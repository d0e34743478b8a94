"""What a person calls what documents carry."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from pipeline.tree.questions.answers import LEADERS, TOLD
from pipeline.view import words


@pytest.fixture
def _in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_in_tokyo")
def test_a_time_has_its_zone_on_a_terminal_and_is_a_documents_in_a_pipe() -> None:
    text = "2026-01-31T22:47:12.241999999Z"
    assert words.when(text, terminal=True) == "2026-02-01 07:47:12.241+09:00"
    assert words.when(text, terminal=False) == text


@pytest.mark.parametrize("text", ["", "soon"])
def test_what_is_no_time_is_shown_as_it_is(text: str) -> None:
    assert words.when(text, terminal=True) == text


def test_every_property_that_an_answer_names_has_a_word() -> None:
    assert set(words.TOLD) == {*LEADERS, *(word for _, word in TOLD)}
    assert words.told([word for _, word in TOLD]).count("_") == 0


def test_one_is_not_told_as_several() -> None:
    assert words.counted(1, "version") == "1 version"
    assert words.counted(1200, "version") == "1,200 versions"
    assert words.counted(2, "process", "processes") == "2 processes"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "0 seconds before"), (1, "1 second before"), (119, "1 minute before"), (18_100, "5 hours before")],
)
def test_an_age_is_in_the_largest_unit_that_fits(seconds: int, said: str) -> None:
    assert words.before(timedelta(seconds=seconds)) == said
    assert words.before(timedelta(days=2, seconds=5)) == "2 days before"


def test_an_exit_code_of_a_shell_is_no_signal() -> None:
    assert words.ended({"process": {"exit_code": 139}}) == "ended, exit code 139"
    assert words.ended({"process": {"exit_code": 139}, "lineage": {"exit": {"signal": 11}}}) == "killed by SIGSEGV"


def test_doubts_are_counted_by_reason() -> None:
    some: list[dict[str, Any]] = [
        {"lineage": {"doubt": ["loss", "snapshot"]}},
        {"lineage": {"doubt": ["loss"]}},
        {"lineage": {}},
        {},
    ]
    assert words.doubts(some) == "2 of these may not be the whole truth (loss 2, snapshot 1): --json says which"
    assert words.doubts([{"lineage": {}}]) == ""


def test_terminals_have_the_names_of_their_files() -> None:
    def named(major: int, minor: int) -> str:
        return words.terminal_name({"tty": {"char_device": {"major": major, "minor": minor}}})

    assert [named(136, 3), named(137, 1), named(4, 1), named(4, 64)] == ["pts/3", "pts/257", "tty1", "4:64"]
    assert words.terminal_name({}) == ""
