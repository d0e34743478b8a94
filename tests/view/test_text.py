from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.view.text import printable


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain words → 東京 é", "plain words → 東京 é"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("one\nline\tonly\r", "one\\nline\\tonly\\r"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("\x9b31m", "\\x9b31m"),
        ("a\ud800b", "a\\ud800b"),
        ("[red]not markup[/red]", "[red]not markup[/red]"),
    ],
)
def test_what_could_steer_a_terminal_is_escaped(raw: str, shown: str) -> None:
    assert printable(raw) == shown


@given(st.text())
def test_nothing_unprintable_is_left(text: str) -> None:
    assert printable(text).isprintable()


@given(st.text().filter(str.isprintable))
def test_printable_text_is_left_alone(text: str) -> None:
    assert printable(text) == text
