from __future__ import annotations

import io
from datetime import UTC, datetime
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
        "  sshd 1001  (known from its descendants alone)  /usr/bin/sshd",
        "    su 1002  www-data  su [red]x[/red]\\x1b[2J",
        "  nginx 1001  www-data  nginx: master",
        "    bash 1002  www-data  (ended, exit code 1)  bash -c id",
    ]
    assert list(lines(grow(DOCUMENTS))) == expected
    assert shown(DOCUMENTS, terminal=False) == expected


def test_a_terminal_gets_a_drawn_tree() -> None:
    assert shown(DOCUMENTS, terminal=True) == [
        "systemd 1 www-data  /sbin/init",
        "├── sshd 1001 (known from its descendants alone)  /usr/bin/sshd",
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


def siblings() -> list[dict[str, Any]]:
    """Of one shell: three that ended well, one that did not, one that had a child, one that lives."""
    shell = ["systemd", "sh"]
    ended = [(4, 0), (5, 0), (6, 1), (7, 0)]
    made = [process("systemd", seconds_ago=99.0), process(*shell, args=["sh"], seconds_ago=90.0)]
    for number, code in ended:
        ids = [f"web1-{'/'.join(shell[:1])}", f"web1-{'/'.join(shell)}", f"true{number}"]
        made.append(
            process(
                *shell,
                "true",
                ids=ids,
                pid=number,
                args=["true"],
                action="end",
                exit_code=code,
                seconds_ago=50.0 - number,
            )
        )
    made.append(process(*shell, "true", ids=[*ids[:2], "lives"], pid=8, args=["true"], seconds_ago=9.0))
    parent = process(*shell, "true", ids=[*ids[:2], "parent"], pid=9, args=["true"], action="end", exit_code=0)
    return [*made, parent, process(*shell, "true", "ls", ids=[*ids[:2], "parent", "ls"], args=["ls"], seconds_ago=1.0)]


def test_ended_siblings_with_one_name_and_one_outcome_are_one_line() -> None:
    assert list(lines(grow(siblings())))[2:] == [
        "    true ×3  (ended, exit code 0)",
        "    true 6  www-data  (ended, exit code 1)  true",
        "    true 8  www-data  true",
        "    true 9  www-data  (ended, exit code 0)  true",
        "      ls 1003  www-data  ls",
    ]
    assert shown(siblings(), terminal=True)[2] == "    ├── true ×3 (ended, exit code 0)"
    assert len(list(lines(grow(siblings()), everything=True))) == len(siblings())


def test_a_process_that_a_later_snapshot_did_not_find_is_said_to_have_ended() -> None:
    document = process("bash", args=["bash"])
    document["host"] |= {"id": "h", "boot": {"id": "b"}, "pid_ns_ino": "1"}
    later = {("h", "b", "1"): datetime.now(UTC)}
    assert list(lines(grow([document], later))) == ["bash 1  www-data  (ended while no agent ran)  bash"]
    assert list(lines(grow([document], {("h", "another", "1"): datetime.now(UTC)}))) == ["bash 1  www-data  bash"]


def test_who_was_killed_is_said_to_have_been_by_which_signal() -> None:
    killed = process("bash", args=["bash"], action="end", exit_code=137)
    killed["lineage"]["exit"] = {"signal": 9}
    assert list(lines(grow([killed]))) == ["bash 1  www-data  (killed by SIGKILL)  bash"]


def test_what_nobody_knows_of_the_moment_is_said_beside_the_process() -> None:
    documents = [process("systemd"), process("systemd", "nginx", args=["nginx"]) | {"unsure": ["image", "thread_name"]}]
    for terminal in (True, False):
        assert "(not sure then: program, thread name)  nginx" in shown(documents, terminal=terminal)[-1]
