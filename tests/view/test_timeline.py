"""What a process has been, as a person reads it."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from rich.console import Console

from pipeline.enrich.kernel_names import ALL_CAPABILITIES, capabilities
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


def whats(*versions: dict[str, Any], verbose: bool = False) -> list[str]:
    return [moment.what for moment in timeline.moments(versions, verbose=verbose)]


def changed(first: dict[str, Any], **then: Any) -> str:
    """What one change is told as."""
    told = then.pop("told", ["credentials"])
    lineage = then.pop("lineage", {})
    later = version(LATER, **{**first["process"], **then}) | {"told": told, "lineage": lineage}
    (line,) = whats(first, later)[1:]
    return line


def test_the_first_is_what_it_began_as_and_each_after_it_what_became_what() -> None:
    later = version(LATER, working_directory="/tmp") | {"told": ["working_directory"]}
    assert list(timeline.moments([version(BEGAN), later])) == [
        Moment(BEGAN, "kernel", "known as: bash; user root"),
        Moment(LATER, "kernel", "directory none → /tmp"),
    ]
    born = version(BEGAN, parent={"name": "sshd", "pid": 5}) | {"told": ["birth", "credentials"]}
    assert whats(born) == ["born of sshd 5: bash; user root"]
    assert whats(born | {"how": "snapshot", "told": ["image"]}) == ["found running: bash; user root"]


def test_a_process_without_a_command_line_is_told_by_its_name() -> None:
    assert whats(version(BEGAN, args=[], executable=None)) == ["known as: bash; user root"]


def test_an_exec_is_told_by_what_was_executed_and_not_by_the_names_that_follow() -> None:
    first = version(BEGAN, thread={"name": "bash"})
    python = {"name": "python3", "executable": "/usr/bin/python3.11", "args": ["python3", "x.py"]}
    told = {"told": ["image"]}
    assert changed(first, **python, thread={"name": "python3"}, **told) == "exec /usr/bin/python3.11: python3 x.py"
    assert changed(first, **python, thread={"name": "python3.11"}, **told) == "exec /usr/bin/python3.11: python3 x.py"
    renamed = changed(first, **python, thread={"name": "other"}, **told)
    assert renamed == "exec /usr/bin/python3.11: python3 x.py; thread name bash → other"


def test_an_exec_of_the_very_same_is_told_and_what_a_later_look_found_again_is_not() -> None:
    again = version(LATER)
    assert whats(version(BEGAN), again)[1:] == ["exec /usr/bin/bash: bash"]
    assert whats(version(BEGAN), again | {"how": "repair"})[1:] == []


def test_what_told_nothing_new_is_no_line_unless_it_is_asked_for() -> None:
    again = version(LATER) | {"told": ["credentials", "supplemental_groups", "reaper"]}
    assert whats(version(BEGAN), again)[1:] == []
    assert whats(version(BEGAN), again, verbose=True)[1:] == [
        "nothing new: user and capabilities, groups, present parent"
    ]


def test_users_are_told_by_name_and_those_that_changed_alike_once() -> None:
    ids = {"user": {"id": "0", "name": "root"}, "real_user": {"id": "0", "name": "root"}}
    first = version(BEGAN, **ids, saved_user={"id": "0", "name": "root"})
    games = {"id": "5", "name": "games"}
    assert changed(first, user=games, real_user=games, saved_user=games) == "user root → games"
    assert changed(first, user=games, saved_user=games) == "effective and saved user root → games"
    assert changed(first, user={"id": "70000"}) == "effective user root → 70000"


def test_capabilities_are_told_by_what_was_lost_and_gained() -> None:
    every = capabilities(ALL_CAPABILITIES)

    def having(*names: str) -> dict[str, Any]:
        return {"thread": {"name": "bash", "capabilities": {"effective": list(names)} if names else {}}}

    first = version(BEGAN, **having(*every))
    assert changed(first, **having()) == "capabilities all → none"
    assert changed(first, **having(*every[1:])) == "capabilities -CAP_CHOWN"
    few = version(BEGAN, **having("CAP_CHOWN", "CAP_KILL"))
    assert changed(few, **having("CAP_KILL", "CAP_BPF")) == "capabilities +CAP_BPF -CAP_CHOWN"
    assert changed(few, **having(*every)) == "capabilities CAP_CHOWN CAP_KILL → all"
    assert changed(first, **having("CAP_KILL")) == "capabilities all → CAP_KILL"
    assert changed(first, **having(*every[:20])) == "capabilities all → 20 of 41"


def test_who_lost_its_parent_was_adopted_and_who_is_told_by_name() -> None:
    first = version(BEGAN, parent={"name": "sshd", "pid": 5})
    adopted = {"reaper": {"name": "systemd", "pid": 1}}
    assert changed(first, lineage=adopted) == "lost its parent sshd 5: adopted by systemd 1"
    again = version(BEGAN, parent={"name": "sshd", "pid": 5}) | {"lineage": adopted}
    nobody_told = {"reaper": {"pid": 9, "entity_id": "x"}}
    assert changed(again, lineage=nobody_told) == "lost its parent systemd 1: adopted by unknown 9"


def test_a_session_of_its_own_is_one_change() -> None:
    first = version(BEGAN, session_leader={"pid": 5}, group_leader={"pid": 5})
    assert changed(first, session_leader={"pid": 7}, group_leader={"pid": 7}) == (
        "began a session of its own (before: 5)"
    )
    assert changed(first, group_leader={"pid": 7}) == "process group 5 → 7"


def test_other_namespaces_are_told_though_documents_do_not_name_them() -> None:
    assert changed(version(BEGAN), told=["namespaces"]) == "entered other namespaces"


def test_reasons_for_doubt_that_came_or_went_are_told() -> None:
    doubtful = version(BEGAN) | {"lineage": {"doubt": ["loss", "snapshot"]}}
    assert changed(doubtful, lineage={"doubt": ["cut", "snapshot"]}) == "doubt +cut -loss"


def test_what_is_not_known_any_more_is_a_line_and_so_is_what_is_unsure() -> None:
    missing = version(LATER, name="id", executable="/usr/bin/id", args=["id"]) | {"versions_dropped": 3}
    assert whats(version(BEGAN), missing)[1:] == ["… 3 versions not known any more", "by then: exec /usr/bin/id: id"]
    one = missing | {"versions_dropped": 1, "unsure": ["credentials", "thread_name"]}
    assert whats(version(BEGAN), one)[1:] == [
        "… 1 version not known any more",
        "by then: exec /usr/bin/id: id; unsure: user and capabilities, thread name",
    ]


def test_an_end_is_the_last_line() -> None:
    def last(**more: Any) -> Moment:
        exited = {"lineage": more.pop("lineage", {}), "end_how": more.pop("end_how", "kernel")}
        return list(timeline.moments([version(BEGAN, end=ENDED, **more) | exited]))[-1]

    assert last(exit_code=3) == Moment(ENDED, "kernel", "ended, exit code 3")
    assert last(exit_code=139, lineage={"exit": {"signal": 11}}).what == "killed by SIGSEGV"
    assert last().what == "ended, nobody saw how"
    assert last(end_how="repair") == Moment(ENDED, "repair", "ended by then, nobody saw when or how")


def test_in_a_pipe_it_is_three_columns_and_no_control_character_of_a_process() -> None:
    out = io.StringIO()
    evil = version(LATER, name="\x1b[2J\nforged\tline", working_directory="/\u202e", env_vars=["A=\x07"])
    timeline.show(Console(file=out), [version(BEGAN), evil])
    lines = out.getvalue().splitlines()
    assert [len(line.split("\t")) for line in lines] == [3, 3]
    assert all(line.replace("\t", "").isprintable() for line in lines)
    assert lines[1].endswith("environment none → A=\\x07")


def on_a_terminal(*versions: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200, color_system=None)
    timeline.show(console, versions)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_on_a_terminal_each_day_is_a_heading_with_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        later = version("2026-03-02T15:00:00.000000000Z", name="[bold]x\x1b") | {"told": ["image"], "how": "repair"}
        assert on_a_terminal(version(BEGAN), later) == [
            "2026-03-02 (UTC+09:00)",
            "21:00:00.000  known as: bash; user root",
            "2026-03-03 (UTC+09:00)",
            "00:00:00.000  exec /usr/bin/bash: bash (found by a later look)",
        ]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_on_a_terminal_there_is_no_markup_and_no_control_character_of_a_process() -> None:
    lines = on_a_terminal(version(BEGAN), version(LATER, working_directory="[bold]x\x1b"))
    assert lines[-1].endswith("directory none → [bold]x\\x1b")
    assert not any("\x1b" in line for line in lines)
