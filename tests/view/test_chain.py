"""One process, and those it descends from, as a person reads them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from pipeline.view import chain
from tests.view.test_timeline import BEGAN, ENDED, LATER, version


def process(name: str, pid: int) -> dict[str, Any]:
    return {"process": {"name": name, "pid": pid, "args": [f"/bin/{name}"], "user": {"name": "root"}}}


def answer(*, depth: int = 2, complete: bool = True) -> dict[str, Any]:
    told = version(BEGAN) | {"ancestors": [process("sshd", 5), process("systemd", 1)]}
    return told | {"lineage": {"depth": depth, "complete": complete}}


def shown(described: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    chain.show_ancestors(Console(file=out), described)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("described", "above"),
    [
        (answer(), []),
        (answer(depth=7), ["… 5 more"]),
        (answer(complete=False), ["unknown"]),
    ],
)
def test_each_stands_below_who_gave_birth_to_it_and_what_is_missing_is_told(
    described: dict[str, Any], above: list[str]
) -> None:
    chained = [*above, "systemd 1  root  /bin/systemd", "sshd 5  root  /bin/sshd", "bash 7  root  bash"]
    assert shown(described) == ["  " * depth + line for depth, line in enumerate(chained)]


def test_no_control_character_of_a_process_gets_out() -> None:
    evil = answer() | {"ancestors": [process("a\x1b[31m\nb", 5)]}
    assert "a\\x1b[31m\\nb 5" in "\n".join(shown(evil))
    assert all(line.isprintable() for line in shown(evil))
    on_terminal = io.StringIO()
    console = Console(file=on_terminal, force_terminal=True, width=200, color_system=None)
    chain.show_ancestors(console, evil)
    assert "\x1b" not in on_terminal.getvalue()


def test_a_version_is_a_name_and_a_value_a_line_and_what_is_not_known_is_not_there() -> None:
    told = version(BEGAN, end=ENDED, parent={"name": "sshd", "pid": 5}) | {"until": LATER, "versions_dropped": 2}
    out = io.StringIO()
    chain.show_process(Console(file=out), told)
    values = dict(line.split("\t") for line in out.getvalue().splitlines())
    assert values["parent"] == "sshd 5"
    assert values["ended"].endswith(", nobody saw how")
    assert values["missing"] == "2 versions before"
    assert {"container", "doubt", "directory"}.isdisjoint(values)
    out = io.StringIO()
    chain.show_process(Console(file=out), version(BEGAN, name="x\nname\tforged"))
    assert out.getvalue().splitlines()[0] == "name\tx\\nname\\tforged"
