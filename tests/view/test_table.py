from __future__ import annotations

import io

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


def test_a_narrow_terminal_leaves_out_the_middle_of_a_chain() -> None:
    console, out = terminal(120)
    chain = ["systemd", *(f"supervisor{number}" for number in range(8)), "make", "sh", "curl"]
    show(console, [row(process(*chain, args=["curl", "x" * 60]))])
    assert " systemd → … → make → sh → curl " in out.getvalue() or " systemd → … → sh → curl " in out.getvalue()
    console, out = terminal(400)
    show(console, [row(process(*chain))])
    assert " → ".join(chain) in out.getvalue()


def test_a_process_that_nobody_saw_end_is_not_called_alive() -> None:
    assert outcome(process("bash")) == "alive"
    assert outcome(process("bash"), missed=True) == "-"
    assert outcome(process("bash", action="end")) == "-"
    assert outcome(process("bash", action="end", exit_code=0)) == "0"
