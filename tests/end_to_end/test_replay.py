"""A recording gives the same bytes each time, on any host; what was recorded is what happened."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.agent import DEADLINE_S, Agent, environment

pytestmark = pytest.mark.kernel

ON_ANOTHER_HOST = [
    "unshare",
    "--uts",
    "--mount",
    "sh",
    "-c",
    'hostname elsewhere && mount -t tmpfs none /etc && exec "$@"',
    "-",
]
"""Another name, and neither accounts nor an os-release: what a document says of these came with the recording."""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real one, with a chain in it whose last process prints its argument."""
    folder = tmp_path_factory.mktemp("recording")
    with Agent("record", str(folder / "recording"), state=folder) as agent:
        agent.wait_for_err("ready")
        subprocess.run(
            ["sh", "-c", "sh -c 'echo marked-by-the-test; true'; true"], check=True, stdout=subprocess.DEVNULL
        )
        assert agent.end() == 0, agent.err
        assert " 0 lost" in "".join(agent.err)
    return folder / "recording"


def _replay(recording: Path, out: Path, *before: str, **variables: str) -> bytes:
    done = subprocess.run(
        [*before, sys.executable, "-m", "pipeline", "replay", str(recording), "--sink", f"ndjson:{out}"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=environment() | {"LINEAGE_STATE_DIRECTORY": str(out.parent)} | variables,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out.read_bytes()


def test_two_replays_give_the_same_bytes(recording: Path, tmp_path: Path) -> None:
    first = _replay(recording, tmp_path / "a")
    assert first
    assert _replay(recording, tmp_path / "b", TZ="Pacific/Auckland", LC_ALL="C", PYTHONHASHSEED="7") == first


def test_a_replay_on_another_host_gives_the_same_bytes(recording: Path, tmp_path: Path) -> None:
    assert _replay(recording, tmp_path / "b", *ON_ANOTHER_HOST) == _replay(recording, tmp_path / "a")


def test_the_recorded_chain_is_in_the_documents(recording: Path, tmp_path: Path) -> None:
    documents: list[dict[str, Any]] = [json.loads(line) for line in _replay(recording, tmp_path / "a").splitlines()]
    (inner,) = (
        document
        for document in documents
        if document["event"]["action"] == "exec"
        and document["process"]["args"][:2] == ["sh", "-c"]
        and document["process"]["args"][2].startswith("echo marked")
    )
    assert inner["process"]["lineage"] == "sh → sh"
    assert inner["lineage"]["complete"] is True
    assert os.getpid() in inner["lineage"]["ancestors"]["pid"]


def test_every_document_has_an_id_of_its_own(recording: Path, tmp_path: Path) -> None:
    ids = [json.loads(line)["event"]["id"] for line in _replay(recording, tmp_path / "a").splitlines()]
    assert len(ids) == len(set(ids))


def test_a_replay_on_a_terminal_shows_a_bar_and_gives_the_same_bytes(recording: Path, tmp_path: Path) -> None:
    replay = [sys.executable, "-m", "pipeline", "replay", str(recording), "--sink", f"ndjson:{tmp_path / 'b'}"]
    done = subprocess.run(
        ["script", "--quiet", "--return", "--command", shlex.join(replay), "/dev/null"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=environment() | {"LINEAGE_STATE_DIRECTORY": str(tmp_path), "TERM": "xterm-256color"},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "documents" in done.stdout
    assert (tmp_path / "b").read_bytes() == _replay(recording, tmp_path / "a")
