"""What documents say where the tree is built from less than everything, against what really happened.

A process that is older than the agent begets a child that ends by itself, and three grandchildren whose parent ends at
once: they execute and end as orphans. Each says who gave birth to it, and who is its parent when it executes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.tree.routes import Source
from tests.end_to_end.agent import DEADLINE_S, Agent, environment

pytestmark = pytest.mark.kernel

WALKS_S = 2.5  # a process that lives so long is found by a walk: one begins each second
HISTORY = f"""
import ctypes, json, os, sys, time

def tell(role, birth, present):
    os.write(1, (json.dumps([role, os.getpid(), birth, present]) + chr(10)).encode())

def executes(code):
    os.execv("/bin/sh", ["sh", "-c", "exit " + str(code)])

def orphan(role, code, lives_s):
    middle = os.fork()
    if middle == 0:
        middle = os.getpid()
        if os.fork() == 0:
            while os.getppid() == middle:
                time.sleep(0.001)
            time.sleep(lives_s)
            tell(role, middle, os.getppid())
            executes(code)
        os._exit(0)
    os.waitpid(middle, 0)

def wait_for_all():
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass

tell("older", os.getppid(), os.getppid())
sys.stdin.readline()
if os.fork() == 0:
    tell("child", os.getppid(), os.getppid())
    executes(7)
orphan("adopted from above", 11, 0)
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
orphan("adopted by its grandparent", 12, 0)
orphan("found as an orphan", 13, {WALKS_S})
wait_for_all()
time.sleep({WALKS_S})
executes(5)
"""
CODES = {
    "older": 5,
    "child": 7,
    "adopted from above": 11,
    "adopted by its grandparent": 12,
    "found as an orphan": 13,
}
BORN = [role for role in CODES if role != "older"]
ORPHANS = BORN[1:]
GUESSED = {"unknown_parent", "snapshot"}
"""Doubts that mark a parent which may not be the one that gave birth."""


class Who(NamedTuple):
    pid: int
    birth: int
    present: int  # when it executes


class Run(NamedTuple):
    source: Source
    who: dict[str, Who]
    documents: list[dict[str, Any]]
    histories: list[list[dict[str, Any]]]  # of this test's own process: at the beginning, and some walks later
    summary: str

    def of(self, role: str, action: str) -> dict[str, Any]:
        (found,) = self.all(self.who[role].pid, action)
        return found

    def all(self, pid: int, action: str = "") -> list[dict[str, Any]]:
        documents = [each for each in self.documents if each["process"]["pid"] == pid]
        return [each for each in documents if action in ("", each["event"]["action"])]

    def parent(self, role: str, action: str) -> tuple[int, set[str], int | None]:
        """Its pid, the doubts, and the pid of the present parent where that is another."""
        document = self.of(role, action)
        lineage = document["lineage"]
        return (
            document["process"]["parent"]["pid"],
            set(lineage.get("doubt", ())),
            lineage.get("reaper", {}).get("pid"),
        )


@pytest.fixture(scope="module", params=["both", "events", "signals", "none"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("sources")
    out = folder / "documents"
    socket = folder / "socket"
    options = ["--proctree", f"source={request.param}", "--sink", f"ndjson:{out}"]
    older = subprocess.Popen([sys.executable, "-c", HISTORY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with older, Agent("run", *options, state=folder, LINEAGE_API_SOCKET=str(socket)) as agent:
        agent.wait_until_ready()
        before = _history(socket)
        told, _ = older.communicate("go\n", timeout=DEADLINE_S)
        assert older.returncode == CODES["older"]
        histories = [before, _history(socket)]
        assert agent.end() == 0, agent.err
        who = {role: Who(*pids) for role, *pids in map(json.loads, told.splitlines())}
        yield Run(request.param, who, _documents(out), histories, "".join(agent.err))


def _history(socket: Path) -> list[dict[str, Any]]:
    """What a running agent says this process has been; empty where it knows nothing of it."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "show", str(os.getpid()), "--history", "--json"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=environment() | {"LINEAGE_API_SOCKET": str(socket)},
        check=False,
    )
    return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []


def _documents(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_the_history_is_the_one_that_was_meant(run: Run) -> None:
    who = run.who
    assert who.keys() == CODES.keys()
    assert " 0 lost" in run.summary
    older = who["older"].pid
    assert who["child"][1:] == (older, older)
    assert [who[role].present == older for role in ORPHANS] == [False, True, True]
    assert all(who[role].birth not in (older, who[role].present) for role in ORPHANS)


@pytest.mark.parametrize("role", CODES)
def test_a_parent_that_did_not_give_birth_is_marked(run: Run, role: str) -> None:
    who = run.who[role]
    seen = run.all(who.pid)
    for document in seen:
        named = document["process"].get("parent", {}).get("pid")
        doubt = set(document["lineage"].get("doubt", ()))
        action = document["event"]["action"]
        assert named in (who.birth, who.present), action
        assert named == who.birth or doubt & GUESSED, action


@pytest.mark.parametrize("role", BORN)
def test_a_birth_names_who_gave_birth_whatever_is_known_of_it(run: Run, role: str) -> None:
    document = run.of(role, "fork")
    parent = document["process"]["parent"]
    assert parent["pid"] == run.who[role].birth
    ids = {each["process"]["entity_id"] for each in run.all(parent["pid"])}
    assert ids == {parent["entity_id"]}
    assert document["lineage"]["ancestors"]["entity_id"][0] == parent["entity_id"]
    assert document["lineage"]["ancestors"]["pid"][0] == parent["pid"]


@pytest.mark.parametrize("role", CODES)
def test_each_exec_and_each_end_has_one_document(run: Run, role: str) -> None:
    executed, ended = run.of(role, "exec"), run.of(role, "end")
    assert executed["process"]["args"] == ["sh", "-c", f"exit {CODES[role]}"]
    assert ended["process"]["exit_code"] == CODES[role]
    assert executed["process"]["entity_id"] == ended["process"]["entity_id"]
    assert len(run.all(run.who[role].pid, "fork")) == (role != "older")


@pytest.mark.parametrize("role", CODES)
@pytest.mark.parametrize("action", ["exec", "end"])
def test_the_parent_now_is_in_each_document_of_its_task(run: Run, role: str, action: str) -> None:
    parent, _, reaper = run.parent(role, action)
    assert (reaper or parent) == run.who[role].present


@pytest.mark.parametrize("role", ORPHANS)
def test_an_orphan_that_executes_has_its_birth_parent_or_a_doubt(run: Run, role: str) -> None:
    who, above = run.who[role], run.parent("child", "fork")[1]  # that is of the older one's own lineage alone
    parent, doubt, reaper = run.parent(role, "exec")
    if run.source in ("both", "events"):
        assert (parent, doubt, reaper) == (who.birth, above, who.present)
    else:
        assert (parent, reaper) == (who.present, None)
        mark = "snapshot" if run.source == "signals" and role == "found as an orphan" else "unknown_parent"
        assert mark in doubt


def test_a_lineage_is_as_whole_as_its_source_allows(run: Run) -> None:
    lineage = run.of("child", "fork")["lineage"]
    older = lineage["ancestors"]["name"][0]
    assert lineage["complete"] is (run.source in ("both", "signals"))
    assert (older == "unknown") is (run.source in ("events", "none"))
    if run.source in ("events", "none"):
        assert lineage["chain"].startswith("unknown → ")
        assert run.of("child", "fork")["process"]["parent"].keys() == {"entity_id", "pid", "start"}


def test_who_is_older_than_the_agent_is_described_where_walks_count(run: Run) -> None:
    states = run.all(run.who["older"].pid, "snapshot")
    assert len(states) == (run.source in ("both", "signals"))
    parent, doubt, _ = run.parent("older", "exec")
    assert parent == run.who["older"].birth
    assert ("unknown_parent" in doubt) is (run.source in ("events", "none"))


def test_a_history_does_not_grow_while_nothing_changes(run: Run) -> None:
    before, after = run.histories
    assert len(before) == (run.source in ("both", "signals"))
    known = [(version["how"], version["since"], version["told"]) for version in before]
    assert [(version["how"], version["since"], version["told"]) for version in after][: len(known)] == known
    if run.source == "signals":
        assert len(after) == len(before)
        assert int(re.search(r"repairs (\d+)", run.summary)[1]) > WALKS_S  # type: ignore[index]
