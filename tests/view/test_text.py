from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from pipeline.view.text import fit_chain, printable


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


CHAIN = "systemd → sshd → sshd → bash → make → sh → curl"


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (80, CHAIN),
        (len(CHAIN), CHAIN),
        (len(CHAIN) - 1, "systemd → … → sshd → bash → make → sh → curl"),
        (40, "systemd → … → bash → make → sh → curl"),
        (36, "systemd → … → make → sh → curl"),
        (29, "systemd → … → sh → curl"),
        (22, "systemd → … → curl"),
        (17, "… → curl"),
        (7, "curl"),
        (3, "cu…"),
        (1, "…"),
        (0, ""),
    ],
)
def test_a_chain_is_cut_in_the_middle_and_only_as_much_as_needed(width: int, shown: str) -> None:
    assert fit_chain(CHAIN, width) == shown


def test_a_wide_character_takes_two_cells() -> None:
    assert fit_chain("東京 → sh → 東京", 11) == "… → 東京"
    assert fit_chain("東京 → sh → 東京", 4) == "東京"
    assert cell_len(fit_chain("東京", 3)) == 3


@given(st.lists(st.text("ab東é-", min_size=1), min_size=1), st.integers(0, 60))
def test_a_fitted_chain_is_never_wider_and_keeps_its_names_whole(names: list[str], width: int) -> None:
    shown = fit_chain(" → ".join(names), width)
    assert cell_len(shown) <= width
    if cell_len(names[-1]) <= width:
        assert shown.split(" → ")[-1] == names[-1]
        assert set(shown.split(" → ")) <= {*names, "…"}
