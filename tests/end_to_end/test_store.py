"""Without Elasticsearch: events go to the local store, the feed to standard output, and both can be looked at later."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.end_to_end.agent import DEADLINE_S, Agent, command, environment

pytestmark = pytest.mark.kernel

FORBID_LATE_IMPORTS = """
import sys
from pipeline.sources.ebpf import privileges
from pipeline.view.text import printable
drop = privileges.drop

class Forbid:
    def find_spec(self, name, path=None, target=None):
        print("LATE IMPORT", name, file=sys.stderr, flush=True)
        raise ImportError("imported after privileges were dropped: " + name)

def drop_and_forbid(*arguments, **named):
    identity = drop(*arguments, **named)
    sys.meta_path.insert(0, Forbid())
    printable("a command line\\nof two lines")  # which any program on this host may have at this moment
    return identity

privileges.drop = drop_and_forbid
from pipeline.__main__ import main
sys.exit(main())
"""


class Run(NamedTuple):
    state: Path
    feed: list[str]
    code: int
    summary: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("store")
    shutil.copy("/bin/bash", folder / "nginx")
    with Agent("run", state=folder / "state") as agent:
        agent.wait_until_ready()
        subprocess.run([folder / "nginx", "-c", "bash -c 'sleep 0; true'; true"], check=True)
        agent.wait_for_out("nginx → bash → sleep")
        code = agent.end()
        yield Run(folder / "state", agent.out, code, "".join(agent.err))


def _lineage(run: Run, *arguments: str) -> str:
    done = command(*arguments, LINEAGE_STATE_DIRECTORY=str(run.state))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ctrl_c_ends_it_with_a_summary_and_0(run: Run) -> None:
    assert run.code == 0, run.summary
    assert " delivered, 0 lost, 0 retried, " in run.summary


def test_the_feed_in_a_pipe_is_plain_lines(run: Run) -> None:
    (line,) = (line for line in run.feed if "nginx → bash → sleep" in line)
    assert "\x1b" not in line
    assert line.endswith("   sleep 0\n")


@pytest.mark.parametrize("query", ["nginx → bash", "nginx -> bash", "nginx → bash → sleep"])
def test_search_finds_it_in_the_store(query: str, run: Run) -> None:
    found = _lineage(run, "search", query).splitlines()
    assert found
    assert all("nginx → bash" in line for line in found)


def test_the_tree_draws_parents_above_children(run: Run) -> None:
    lines = _lineage(run, "tree").splitlines()
    nginx = next(number for number, line in enumerate(lines) if " nginx " in f" {line.replace('(', ' ')} ")
    depth = len(lines[nginx]) - len(lines[nginx].lstrip(" │├└─"))
    below = lines[nginx + 1]
    assert "bash" in below
    assert len(below) - len(below.lstrip(" │├└─")) > depth


@pytest.mark.parametrize("sink", ["store", "ndjson:/dev/null", "elasticsearch"])
@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_is_imported_after_the_privileges_are_gone(sink: str, terminal: bool, tmp_path: Path) -> None:
    """The interpreter and its packages may lie where only root can read."""
    (tmp_path / "program.py").write_text(FORBID_LATE_IMPORTS)
    program = [
        sys.executable,
        str(tmp_path / "program.py"),
        "--set",
        "shutdown_s=1",
        "run",
        "--sink",
        sink,
        "--for",
        "1s",
    ]
    if terminal:
        program = ["script", "--quiet", "--return", "--command", shlex.join(program), "/dev/null"]
    variables = {"LINEAGE_STATE_DIRECTORY": str(tmp_path), "PYTHONPATH": os.getcwd(), "TERM": "xterm-256color"}
    if sink == "elasticsearch":
        variables["ELASTICSEARCH_URL"] = "http://127.0.0.1:1"  # nobody there: what waits and complains is tried too
    done = subprocess.run(
        program,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=environment() | variables,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "LATE IMPORT" not in said
    assert done.returncode == (1 if sink == "elasticsearch" else 0), said


def test_a_feed_whose_reader_goes_away_ends_the_run_and_delivers_everything(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "pipeline", "run", "--for", "20s"]
    with subprocess.Popen(
        program,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment() | {"LINEAGE_STATE_DIRECTORY": str(tmp_path)},
    ) as agent:
        assert agent.stdout is not None
        assert agent.stderr is not None
        for line in agent.stderr:
            if "ready" in line:
                break
        agent.stdout.close()
        for _ in range(50):
            subprocess.run(["true"], check=True)
        said = agent.stderr.read()
    assert agent.returncode == 0, said
    assert "dropped" not in said
    assert " delivered, 0 lost" in said


def test_a_closed_terminal_ends_the_run_and_delivers_everything(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup themselves
    with contextlib.ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGHUP, before)
        agent = stack.enter_context(Agent("run", "--quiet", state=tmp_path))
        agent.wait_until_ready()
        agent.process.send_signal(signal.SIGHUP)
        assert agent.wait() == 0
        assert " delivered, 0 lost" in "".join(agent.err)


def test_under_nohup_a_closed_terminal_ends_nothing(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with contextlib.ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGHUP, before)
        agent = stack.enter_context(Agent("run", state=tmp_path))
        agent.wait_until_ready()
        agent.process.send_signal(signal.SIGHUP)
        subprocess.run(["sh", "-c", "exec sleep 0 # still-here"], check=True)
        agent.wait_for_out("still-here")
        assert agent.end() == 0


def test_sigterm_ends_the_run_with_a_summary(tmp_path: Path) -> None:
    with Agent("run", "--quiet", state=tmp_path) as agent:
        agent.wait_until_ready()
        agent.process.terminate()
        assert agent.wait() == 0
        assert " delivered, 0 lost" in "".join(agent.err)
