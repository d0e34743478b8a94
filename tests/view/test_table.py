from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from pipeline.view.table import Row, lines, outcome, row, show
from tests.elasticsearch.samples import process


def terminal(width: int = 160) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=True, color_system=None, width=width, highlight=False), out


def test_a_row_has_what_a_person_asks_first() -> None:
    document = process("systemd", "nginx", "bash", action="end", exit_code=1, args=["bash", "-c", "id"])
    document["process"]["start"] = "2026-01-31T12:00:00.123Z"
    assert row(document) == Row(
        "2026-01-31T12:00:00.123Z", "web1", "1002", "www-data", "systemd → nginx → bash", "bash -c id", "1"
    )


def test_a_row_of_a_bare_document_is_empty_but_there() -> None:
    assert row({}) == Row("", "", "", "", "", "", "-")
    assert row(process("bash")).exit == "alive"
    assert row({"process": {"exit_code": 0}}).exit == "0"


def test_what_a_process_chose_cannot_break_a_line() -> None:
    document = process("systemd", "x\ny", args=["x", "a\tb\x1b[31m"])
    (line, rest) = lines([row(document)]).split("\n")
    assert rest == ""
    assert line.split("\t")[4:6] == ["systemd → x\\ny", "x a\\tb\\x1b[31m"]


def test_a_pipe_gets_seven_columns_and_a_terminal_a_table() -> None:
    rows = [row(process("systemd", "nginx", "bash", args=["bash", "[bold]not markup[/bold]"]))]
    out = io.StringIO()
    show(Console(file=out, width=20), rows)
    assert out.getvalue() == lines(rows)
    assert out.getvalue().count("\t") == 6
    console, out = terminal()
    show(console, rows)
    heading, *drawn = out.getvalue().splitlines()
    assert heading.split() == ["time", "host", "pid", "user", "lineage", "command", "line", "exit"]
    assert "systemd → nginx → bash" in drawn[0]
    assert "[bold]not markup[/bold]" in drawn[0]


LONG = ["systemd", *(f"supervisor{number}" for number in range(8)), "make", "sh", "curl"]


def test_on_80_columns_a_chain_has_a_line_with_its_root_and_last_three_and_nothing_is_folded() -> None:
    console, out = terminal(80)
    found = [process(*LONG, action="end", exit_code=code, args=["curl", "x" * 200, "日本" * 50]) for code in (0, 200)]
    found.append(process("systemd", "bash", args=["bash"]))
    for document in found:
        document["process"]["start"] = "2026-01-31T12:00:00.123Z"
        document["process"]["pid"] = 1234567
        document["host"]["name"] = "a-host-with-a-long-name"
        document["process"]["user"]["name"] = "somebody-with-a-long-name"
    show(console, [row(document) for document in found])
    drawn = out.getvalue().splitlines()
    assert len(drawn) == 9
    assert all(cell_len(line) <= 80 for line in drawn)
    for number, end in enumerate(("exit 0", "exit 200", "alive")):
        head = drawn[3 * number].split("  ")
        assert head[1:] == ["a-host-with-a-l…", "1234567", "somebody-wi…", end]
    for number in (0, 1):
        chain, command = drawn[3 * number + 1 : 3 * number + 3]
        assert chain.startswith("  systemd → … → supervisor")
        assert chain.endswith(" → make → sh → curl")
        assert command.startswith("    curl xxx")
        assert command.endswith("…")
    assert drawn[7:] == ["  systemd → bash", "    bash"]


def test_a_table_has_every_chain_whole_and_shortens_command_lines_alone() -> None:
    rows = [row(process(*LONG, args=["curl", "x" * 500])), row(process("systemd", "bash", args=["bash"]))]
    for width in (260, 400):
        console, out = terminal(width)
        show(console, rows)
        heading, first, second = out.getvalue().splitlines()
        assert " → ".join(LONG) in first
        assert "xxx…" in first
        assert first.index("curl xxx") == second.index("bash", second.index("bash") + 1) == heading.index("command")
        assert cell_len(first) == width


@pytest.mark.parametrize("width", [1, 20, 80, 120, 400])
def test_no_width_changes_what_a_pipe_gets(width: int) -> None:
    rows = [row(process(*LONG, args=["curl", "x" * 500]))]
    out = io.StringIO()
    show(Console(file=out, width=width), rows)
    assert out.getvalue() == "\t".join(rows[0]) + "\n"
    assert " → ".join(LONG) in out.getvalue()


def test_a_process_that_nobody_saw_end_is_not_called_alive() -> None:
    assert outcome(process("bash")) == "alive"
    assert outcome(process("bash"), missed=True) == "-"
    assert outcome(process("bash", action="end")) == "-"
    assert outcome(process("bash", action="end", exit_code=0)) == "0"
