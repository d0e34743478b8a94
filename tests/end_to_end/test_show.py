"""What `lineage show` prints of a known history on this host's own kernel, with an agent that watched it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.agent import DEADLINE_S, Agent, command

pytestmark = pytest.mark.kernel

NOBODY = 65534

HISTORY = f"""
import ctypes, os, signal, threading, time
libc = ctypes.CDLL(None)
first = os.getpid()
if os.fork():
    signal.pause()
parent = os.getpid()
if os.fork():
    os._exit(7)
while os.getppid() == parent:
    time.sleep(0.01)
libc.prctl(15, b"renamed", 0, 0, 0)
os.setgroups([{NOBODY}])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
os.setsid()
go = threading.Event()
thread = threading.Thread(target=go.wait, daemon=True)
thread.start()
print(os.getpid(), parent, first, thread.native_id, flush=True)
os.read(0, 1)
os.execv("/bin/sleep", ["sleep", "60"])
"""
"""A grandchild that loses its parent, renames itself, becomes nobody, begins a session and a thread, and executes."""


class Seen:
    def __init__(self, socket: Path, pids: list[int]) -> None:
        self.socket = socket
        self.pid, self.parent, self.first, self.tid = pids

    def lineage(self, *arguments: str) -> str:
        done = command(*arguments, LINEAGE_API_SOCKET=str(self.socket))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def shown(self, who: int | str) -> dict[str, str]:
        return dict(line.split("\t", 1) for line in self.lineage("show", str(who)).splitlines())

    def history(self) -> list[str]:
        return [line.split("\t")[2] for line in self.lineage("show", str(self.pid), "--history").splitlines()]

    def wait_for(self, what: str) -> list[str]:
        """The history once it has that at the end."""
        deadline = time.monotonic() + DEADLINE_S
        while not (lines := self.history())[-1].startswith(what):
            assert time.monotonic() < deadline, lines[-3:]
        return lines


Told = tuple[Seen, dict[str, str], dict[str, str], str, str, dict[str, str]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Who it was, what was shown of it and of its thread while both lived, the tree then, its history afterwards.

    And what was shown of the thread, which its exec had ended.
    """
    folder = tmp_path_factory.mktemp("show")
    socket = folder / "s"
    with Agent("run", "--quiet", state=folder / "state", LINEAGE_API_SOCKET=str(socket)) as agent:
        agent.wait_until_ready()
        root = subprocess.Popen(
            [sys.executable, "-c", HISTORY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert root.stdin is not None
        assert root.stdout is not None
        with root.stdin, root.stdout:
            seen = Seen(socket, list(map(int, root.stdout.readline().split())))
            seen.wait_for("began a session")
            process, thread, tree = seen.shown(seen.pid), seen.shown(seen.tid), seen.lineage("tree", str(seen.first))
            root.stdin.write("\n")
            root.stdin.flush()
            seen.wait_for("exec /")
            os.kill(seen.pid, signal.SIGSEGV)
            history = "\n".join(seen.wait_for("killed"))
        root.kill()
        root.wait(DEADLINE_S)
        yield seen, process, thread, tree, history, seen.shown(seen.tid)
        assert agent.end() == 0


def test_a_history_reads_as_what_happened(told: Told) -> None:
    seen, _, _, _, history, _ = told
    begun, *lines = history.splitlines()
    assert begun.startswith(f"born of python {seen.parent}: ") or f" {seen.parent}: " in begun
    happened = [line.partition("; ")[0] for line in lines]
    assert happened[0].startswith(f"lost its parent {begun.split()[2]} {seen.parent}: adopted by ")
    assert happened[1].endswith(" → renamed")
    expected = ("groups ", "group root → nogroup", "user root → nobody", "began a session", "exec ", "killed")
    assert [line for line, start in zip(happened[2:], expected, strict=True) if not line.startswith(start)] == []
    assert any("capabilities " in line and line.endswith(" → none") for line in lines)
    assert happened[-1] == "killed by SIGSEGV"
    assert "CAP_CHOWN" not in history


def test_what_a_person_wants_to_know_of_it_is_shown(told: Told) -> None:
    seen, process, _, _, _, _ = told
    assert process["parent"].endswith(f" {seen.parent}")
    assert process["parent now"] != process["parent"]
    assert (process["user"], process["group"], process["capabilities"]) == ("nobody", "nogroup", "none")
    assert process["thread name"] == "renamed"
    assert process["session"] == "its own"
    assert process["threads"].startswith(f"2 alive: {seen.pid} renamed, {seen.tid} ")
    assert process["change"].startswith("began a session of its own")
    assert process["since"].endswith("Z")


def test_a_threads_tid_shows_the_thread_and_whose_it_is_also_when_it_has_ended(told: Told) -> None:
    seen, process, thread, _, _, ended = told
    assert (thread["tid"], thread["process id"], thread["user"]) == (str(seen.tid), process["id"], "nobody")
    assert thread["process"].endswith(f" {seen.pid}")
    assert "ended" not in thread
    assert (ended["id"], ended["process id"], ended["user"]) == (thread["id"], process["id"], "nobody")
    assert ended["started"] == thread["started"] < ended["ended"] == ended["until"]


def test_the_tree_shows_how_an_ancestor_ended(told: Told) -> None:
    seen, _, _, tree, _, _ = told
    assert [line.split()[1] for line in tree.splitlines()] == [str(seen.first), str(seen.parent), str(seen.pid)]
    assert "(ended, exit code 7)" in tree.splitlines()[1]
