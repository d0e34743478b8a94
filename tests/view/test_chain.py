"""One process, and those it descends from, as a person reads them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from pipeline.enrich.kernel_names import ALL_CAPABILITIES, capabilities
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
        (answer(depth=7), ["… 5 more: --depth"]),
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


def told(described: dict[str, Any], **more: Any) -> dict[str, str]:
    out = io.StringIO()
    chain.show_process(Console(file=out), described, **more)
    return dict(line.split("\t") for line in out.getvalue().splitlines())


def test_a_version_is_a_name_and_a_value_a_line_and_what_is_not_known_is_not_there() -> None:
    values = told(version(BEGAN, end=ENDED, parent={"name": "sshd", "pid": 5}) | {"until": LATER})
    assert values["parent"] == "sshd 5"
    assert (values["ended"], values["outcome"]) == (ENDED, "nobody saw how")
    assert (values["since"], values["until"]) == (BEGAN, LATER)  # as documents have them: in a pipe alike everywhere
    assert {"container", "doubt", "directory", "parent now", "missing", "unsure", "learnt"}.isdisjoint(values)
    out = io.StringIO()
    chain.show_process(Console(file=out), version(BEGAN, name="x\nname\tforged"))
    assert out.getvalue().splitlines()[0] == "name\tx\\nname\\tforged"


def test_what_a_process_may_do_and_belongs_to_is_told() -> None:
    thread = {"name": "worker", "capabilities": {"effective": capabilities(ALL_CAPABILITIES)[1:]}}
    users = {"user": {"id": "0", "name": "root"}, "real_user": {"id": "5", "name": "games"}, "saved_user": {"id": "0"}}
    process = version(
        BEGAN,
        thread=thread,
        **users,
        supplemental_groups=[{"id": "4", "name": "adm"}, {"id": "70000"}],
        session_leader={"name": "login", "pid": 5},
        tty={"char_device": {"major": 136, "minor": 3}},
    )
    lineage = {"reaper": {"name": "systemd", "pid": 1}, "script": {"path": "/x"}, "loader": {"path": "/lib/ld.so"}}
    values = told(process | {"lineage": lineage}, change="exec /bin/x")
    assert values["user"] == "root (real games, saved 0)"
    assert values["groups"] == "adm 70000"
    assert values["capabilities"] == "all but CAP_CHOWN"
    assert values["thread name"] == "worker"
    assert values["session"] == "login 5"
    assert values["terminal"] == "pts/3"
    assert values["parent now"] == "systemd 1"
    assert (values["script"], values["loader"]) == ("/x", "/lib/ld.so")
    assert values["change"] == "exec /bin/x"
    assert "thread name" not in told(version(BEGAN, thread={"name": "bash"}))


def test_what_is_unsure_of_the_moment_and_missing_around_it_is_told() -> None:
    unsure = {"unsure": ["thread_name", "reaper"], "versions_dropped": 1, "versions_dropped_after": 35}
    values = told(version(BEGAN) | unsure | {"how": "repair"})
    assert values["unsure"].startswith("thread name, present parent: ")
    assert values["missing"] == "1 version before, 35 versions after"
    assert values["learnt"] == "found by a later look"


def test_who_was_killed_is_said_to_have_been_by_which_signal() -> None:
    killed = version(BEGAN, end=ENDED, exit_code=139) | {"lineage": {"exit": {"signal": 11}}}
    assert told(killed)["outcome"] == "killed by SIGSEGV"
    assert told(version(BEGAN, end=ENDED, exit_code=139))["outcome"] == "exit code 139"
    assert told(version(BEGAN, end=ENDED) | {"end_how": "repair"})["outcome"].startswith("ended by then")


def thread(tid: int, *, alive: bool = True, **more: Any) -> dict[str, Any]:
    about = {"id": tid, "name": f"t{tid}", "entity_id": f"e{tid}", "start": BEGAN, "end": None, "birth_id": None}
    return {"process": {"entity_id": "p", "thread": about | more}, "since": BEGAN, "until": None, "alive": alive}


def threads(*some: dict[str, Any], forgotten: int = 0, missing: int = 0) -> dict[str, Any]:
    return {"threads": list(some), "forgotten": forgotten, "missing": missing}


def test_threads_are_counted_and_named_within_reason() -> None:
    assert told(version(BEGAN), threads=threads(thread(7)))["threads"] == "1"
    some = (thread(7, alive=False), thread(8))
    assert told(version(BEGAN), threads=threads(*some))["threads"] == "1 alive, 1 ended: 7 t7 (ended), 8 t8"
    less = told(version(BEGAN), threads=threads(*some, forgotten=3))["threads"]
    assert less == "1 alive, 1 ended, 3 not known any more: 7 t7 (ended), 8 t8"
    assert told(version(BEGAN), threads=threads(thread(7), forgotten=3))["threads"] == "1, 3 not known any more"
    cut = told(version(BEGAN), threads=threads(*some, missing=2_000))["threads"]
    assert cut == "at least 1 alive, 1 ended: 7 t7 (ended), 8 t8, … 2,000 more"
    many = told(version(BEGAN), threads=threads(*(thread(tid) for tid in range(1, 21))))["threads"]
    assert many.startswith("20 alive: 1 t1, ")
    assert many.endswith(" 8 t8, … 12 more")


def test_a_thread_says_whose_it_is() -> None:
    out = io.StringIO()
    one = thread(8, name="a\tb", birth_id=7, end=ENDED) | {"how": "repair", "versions_dropped": 2}
    one["process"] |= {"name": "bash", "pid": 7, "user": {"id": "0", "name": "root"}}
    chain.show_thread(Console(file=out), one)
    values = dict(line.split("\t") for line in out.getvalue().splitlines())
    assert values == {
        "thread name": "a\\tb",
        "tid": "8",
        "id": "e8",
        "process": "bash 7",
        "process id": "p",
        "begun by": "thread 7",
        "user": "root",
        "capabilities": "none",
        "started": BEGAN,
        "ended": ENDED,
        "since": BEGAN,
        "learnt": "found by a later look",
        "missing": "2 versions before",
    }


def test_on_a_terminal_a_long_lineage_is_shortened_and_in_a_pipe_it_is_not() -> None:
    names = " → ".join(f"name-{number}" for number in range(100))
    long = version(BEGAN) | {"lineage": {"chain": names}}
    assert told(long)["lineage"] == names
    out = io.StringIO()
    chain.show_process(Console(file=out, force_terminal=True, color_system=None, width=80), long)
    (line,) = [line for line in out.getvalue().splitlines() if line.startswith("lineage")]
    assert line.rstrip().endswith("… → name-95 → name-96 → name-97 → name-98 → name-99")
