"""Without Elasticsearch: events go to the local store, the feed to standard output, and both can be looked at later."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.end_to_end.agent import DEADLINE_S, Agent, environment

pytestmark = pytest.mark.kernel

FORBID_LATE_IMPORTS = """
import sys
from pipeline.sources.ebpf import privileges
drop = privileges.drop

class Forbid:
    def find_spec(self, name, path=None, target=None):
        print("LATE IMPORT", name, file=sys.stderr, flush=True)
        raise ImportError("imported after privileges were dropped: " + name)

def drop_and_forbid(account):
    identity = drop(account)
    sys.meta_path.insert(0, Forbid())
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
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=environment() | {"LINEAGE_STATE_DIRECTORY": str(run.state)},
        check=False,
    )
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
    found = [line for line in _lineage(run, "search", query).splitlines() if str(run.state.parent / "nginx") or line]
    assert found
    assert all("nginx → bash" in line for line in found)


def test_the_tree_draws_parents_above_children(run: Run) -> None:
    lines = _lineage(run, "tree").splitlines()
    nginx = next(number for number, line in enumerate(lines) if " nginx " in f" {line.replace('(', ' ')} ")
    depth = len(lines[nginx]) - len(lines[nginx].lstrip(" │├└─"))
    below = lines[nginx + 1]
    assert "bash" in below
    assert len(below) - len(below.lstrip(" │├└─")) > depth


def test_nothing_is_imported_after_the_privileges_are_gone(tmp_path: Path) -> None:
    """The interpreter and its packages may lie where only root can read."""
    for sink in ("store", "ndjson:/dev/null"):
        done = subprocess.run(
            [sys.executable, "-c", FORBID_LATE_IMPORTS, "run", "--sink", sink, "--for", "1s"],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            env=environment() | {"LINEAGE_STATE_DIRECTORY": str(tmp_path)},
            check=False,
        )
        assert "LATE IMPORT" not in done.stderr
        assert done.returncode == 0, done.stderr
