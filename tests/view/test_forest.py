from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from pipeline.query.forest import grow
from pipeline.view.forest import lines, show
from tests.elasticsearch.samples import process

DOCUMENTS = [
    process("systemd", args=["/sbin/init"], seconds_ago=90.0),
    process("systemd", "nginx", args=["nginx: master"], seconds_ago=80.0),
    process("systemd", "nginx", "bash", args=["bash", "-c", "id"], action="end", exit_code=1, seconds_ago=5.0),
    process("systemd", "sshd", "su", args=["su", "[red]x[/red]\x1b[2J"], seconds_ago=4.0),
]


def shown(documents: list[dict[str, Any]], *, terminal: bool, width: int = 100) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, color_system=None, width=width, highlight=False)
    show(console, grow(documents))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_pipe_gets_indented_lines() -> None:
    expected = [
        "systemd 1  www-data  /sbin/init",
        "  sshd 1001  (recorded by its descendants)  /usr/bin/sshd",
        "    su 1002  www-data  su [red]x[/red]\\x1b[2J",
        "  nginx 1001  www-data  nginx: master",
        "    bash 1002  www-data  (ended, exit code 1)  bash -c id",
    ]
    assert list(lines(grow(DOCUMENTS))) == expected
    assert shown(DOCUMENTS, terminal=False) == expected


def test_a_terminal_gets_a_drawn_tree() -> None:
    assert shown(DOCUMENTS, terminal=True) == [
        "systemd 1 www-data  /sbin/init",
        "├── sshd 1001 (recorded by its descendants)  /usr/bin/sshd",
        "│   └── su 1002 www-data  su [red]x[/red]\\x1b[2J",
        "└── nginx 1001 www-data  nginx: master",
        "    └── bash 1002 www-data (ended, exit code 1)  bash -c id",
    ]


def test_a_long_command_line_is_cut_at_the_terminals_edge() -> None:
    drawn = shown([process("systemd", args=["x" * 500])], terminal=True, width=40)
    assert len(drawn) == 1
    assert drawn[0].endswith("…")
    assert len(drawn[0]) == 40


def test_several_hosts_have_headings_and_one_has_none() -> None:
    documents = [process("systemd", host="a"), process("systemd", host="b"), process("systemd", "sh", host="a")]
    plain = shown(documents, terminal=False)
    assert [line for line in plain if line.endswith(":")] == ["a:", "b:"]
    assert shown(documents, terminal=True)[0] == "a"
