"""An agent that was stopped while its ring ran over, as its documents tell it: in doubt, repaired, in doubt again.

It repairs once: the next time would be an hour later, so that what documents say without a repair is seen as well.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline import wire
from tests.end_to_end.agent import DEADLINE_S, Agent

pytestmark = pytest.mark.kernel

RING_BYTES = 512 * 1024
LONG = 2 * RING_BYTES // wire.ARGS_MAX  # execs with as many arguments as a record carries: two rings full
SHORT = 60  # births and ends, of some 350 bytes each: they fill what the long ones left
UNSEEN = "exec 3<&0; (read line <&3; exec /bin/sleep 600) & echo $!; wait"
"""A shell and its child, which executes something else when it is told to."""

Source = dict[str, Any]


class Unseen:
    """That shell and its child: born while there was no room for their records."""

    def __init__(self) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", UNSEEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._shell.stdout is not None
        self.pid = self._shell.pid
        self.child = int(self._shell.stdout.readline())

    def go_on(self) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write("\n")
        self._shell.stdin.flush()

    def close(self) -> None:
        os.kill(self.child, signal.SIGKILL)
        self._shell.communicate(timeout=DEADLINE_S)


class Run:
    """What one agent told of two losses, with a repair after the first alone."""

    def __init__(self, folder: Path) -> None:
        self._out = folder / "documents"
        self._agent = Agent(
            *("run", "--quiet", "--sink", f"ndjson:{self._out}"),
            state=folder / "state",
            LINEAGE_RING_BYTES=str(RING_BYTES),
            LINEAGE_REPAIR_INTERVAL_S="3600",
        )
        self.killed = subprocess.Popen(["/bin/sleep", "600"])
        self.unseen: list[Unseen] = []
        with self._agent:
            try:
                self._first_loss()
                self._second_loss()
                self.code = self._agent.end()
            finally:
                self._close()
        self.said = "".join(self._agent.err)
        self.documents = self._written()

    def of(self, pid: int) -> list[Source]:
        """In the order in which they were written."""
        return [document for document in self.documents if document["process"]["pid"] == pid]

    def one(self, pid: int, action: str) -> Source:
        (found,) = (document for document in self.of(pid) if document["event"]["action"] == action)
        return found

    def _first_loss(self) -> None:
        self._agent.wait_until_ready()
        self._until(self.killed.pid, "snapshot", "exec")
        with self._stopped():
            self.first = _lived()
            _fill()
            self.killed.kill()
            self.killed.wait()
            self.unseen.append(Unseen())
        self._until(self.killed.pid, "end")  # the repair is over
        self.after_the_repair = _lived()
        self._until(self.after_the_repair, "end")
        self._executes(self.unseen[0])

    def _second_loss(self) -> None:
        with self._stopped():
            self.second = _lived()
            _fill()
            self.unseen.append(Unseen())
        self._until(self.second, "end")  # behind the mark of the loss: the agent knows of it
        self.without_repair = _lived()
        self._executes(self.unseen[1])
        self._until(self.without_repair, "end")

    def _executes(self, unseen: Unseen) -> None:
        unseen.go_on()
        self._until(unseen.child, "exec")

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        os.kill(self._agent.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._agent.pid, signal.SIGCONT)

    def _until(self, pid: int, *actions: str) -> None:
        """There is a document of that process with one of these actions."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            for document in self._written():
                if document["process"]["pid"] == pid and document["event"]["action"] in actions:
                    return
            time.sleep(0.05)
        raise AssertionError(f"no document says {actions} of {pid}:\n" + "".join(self._agent.err))

    def _written(self) -> list[Source]:
        """Whole lines: the last may be under way."""
        text = self._out.read_bytes() if self._out.exists() else b""
        return [json.loads(line) for line in text.rpartition(b"\n")[0].splitlines()]

    def _close(self) -> None:
        self.killed.kill()
        self.killed.wait()
        for each in self.unseen:
            each.close()


def _lived() -> int:
    """Pid of a process that was born, executed and has ended."""
    child = subprocess.Popen(["/bin/true"])
    child.wait(DEADLINE_S)
    return child.pid


def _fill() -> None:
    for _ in range(LONG):
        subprocess.run(["/bin/true", "x" * wire.ARGS_MAX], check=True)
    for _ in range(SHORT):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)


def _doubt(document: Source) -> set[str]:
    return set(document["lineage"].get("doubt", ()))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("loss"))


def test_what_was_lost_is_said_when_it_happens_and_at_the_end(run: Run) -> None:
    assert run.code == 0, run.said
    assert ", 0 lost, " not in run.said
    assert "lost in the kernel's ring" in run.said
    assert re.search(
        r"warning .*records lost: the kernel's ring was full +lost=[1-9]\d* mend='raise ring_bytes'", run.said
    )
    assert re.search(r"\brepairs 1, closed_unseen [1-9]", run.said)


def test_what_the_ring_still_had_is_in_doubt_and_its_chain_is_complete(run: Run) -> None:
    """It stands behind the mark: its parent may have executed something else before."""
    for pid in (run.first, run.second):
        told = run.of(pid)
        assert [document["event"]["action"] for document in told] == ["fork", "exec", "end"]
        for document in told:
            assert "loss" in _doubt(document)
            assert document["lineage"]["complete"] is True


def test_who_ended_unseen_gets_an_end_that_says_when_it_was_found(run: Run) -> None:
    end = run.one(run.killed.pid, "end")
    assert end["message"].endswith("had ended unseen when all that runs was looked at again")
    assert "exit_code" not in end["process"]
    assert "duration" not in end["event"]
    assert "loss" in _doubt(end)
    before = run.of(run.killed.pid)[-2]
    assert (before["process"]["name"], "loss" in _doubt(before)) == ("sleep", False)
    assert before["process"]["entity_id"] == end["process"]["entity_id"]


def test_who_was_born_unseen_appears_with_the_repair_and_is_in_no_doubt_of_loss(run: Run) -> None:
    shell, child = run.of(run.unseen[0].pid), run.of(run.unseen[0].child)
    assert [document["event"]["action"] for document in shell] == ["snapshot"]
    assert [document["event"]["action"] for document in child] == ["snapshot", "exec"]
    for document in (*shell, *child):
        assert not _doubt(document) & {"loss", "unknown_parent"}
        assert document["lineage"]["complete"] is True
    assert child[1]["process"]["name"] == "sleep"
    assert child[1]["process"]["parent"]["entity_id"] == shell[0]["process"]["entity_id"]
    assert child[1]["lineage"]["ancestors"]["pid"][:2] == [run.unseen[0].pid, os.getpid()]


def test_after_the_repair_nothing_new_is_in_doubt_of_loss(run: Run) -> None:
    told = run.of(run.after_the_repair)
    assert [document["event"]["action"] for document in told] == ["fork", "exec", "end"]
    for document in told:
        assert "loss" not in _doubt(document)
        assert document["lineage"]["complete"] is True


def test_without_a_repair_a_chain_that_nobody_told_of_is_not_complete(run: Run) -> None:
    assert not run.of(run.unseen[1].pid)
    executed = run.one(run.unseen[1].child, "exec")
    assert _doubt(executed) >= {"loss", "unknown_parent"}
    assert executed["lineage"]["complete"] is False
    assert executed["lineage"]["chain"] == "unknown → sleep"


def test_without_a_repair_a_birth_shows_that_its_parent_missed_nothing(run: Run) -> None:
    told = run.of(run.without_repair)
    assert [document["event"]["action"] for document in told] == ["fork", "exec", "end"]
    for document in told:
        assert "loss" not in _doubt(document)
        assert document["lineage"]["complete"] is True
