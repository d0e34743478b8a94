"""A real agent is asked, by its command line and over its socket, about moments that have passed."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.api.openapi import PATHS
from tests.api.serving import free_port
from tests.end_to_end.agent import DEADLINE_S, Agent, command, environment
from tests.end_to_end.test_store import FORBID_LATE_IMPORTS

pytestmark = pytest.mark.kernel

IMAGES = ("one", "two", "three", "four", "five")
STEP = """
echo $0
read line
next=$1
[ -n "$next" ] || exit 3
shift
exec "$FOLDER/$next" "$FOLDER/step" "$@"
"""
TOKEN = "0123456789abcdef-token"


class Run(NamedTuple):
    socket: Path
    pid: int
    times: list[str]  # one while it was each of IMAGES
    lived_until: str
    mode: int
    status: dict[str, str]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """One process that executes four times, watched by an agent that runs until the last test has asked."""
    folder = Path(tempfile.mkdtemp(prefix="lineage-"))
    path = folder / "api" / "s"
    try:
        (folder / "step").write_text(STEP)
        for name in IMAGES:
            shutil.copy("/bin/sh", folder / name)
        with Agent("run", "--quiet", state=folder / "state", LINEAGE_API_SOCKET=str(path)) as agent:
            agent.wait_until_ready()
            assert "compiling the eBPF programs" in agent.err[0]  # for seconds there is nothing else to tell
            process = subprocess.Popen(
                [folder / IMAGES[0], folder / "step", *IMAGES[1:]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={"FOLDER": str(folder)},
            )
            assert process.stdin is not None
            assert process.stdout is not None
            times = []
            with process.stdin, process.stdout:
                for _ in IMAGES:
                    process.stdout.readline()  # it has executed
                    times.append(_now())
                    time.sleep(0.01)  # apart from the next exec by more than clocks differ
                    process.stdin.write(b"\n")
                    process.stdin.flush()
            assert process.wait(DEADLINE_S) == 3
            _wait_for_end(path, process.pid)
            yield Run(path, process.pid, times, _now(), stat.S_IMODE(path.stat().st_mode), agent.status())
            assert agent.end() == 0
    finally:
        shutil.rmtree(folder)


def _now() -> str:
    second, ns = divmod(time.time_ns(), 10**9)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"


def _wait_for_end(path: Path, pid: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        status, body = _get(path, f"/processes?pid={pid}")
        if status == 200 and not json.loads(body)["alive"]:
            return
        time.sleep(0.02)
    raise AssertionError("its end was never told")


def _get(path: Path, target: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("lineage", timeout=DEADLINE_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("GET", target)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


def _lineage(run: Run, *arguments: str, code: int = 0) -> str:
    done = command(*arguments, LINEAGE_API_SOCKET=str(run.socket), LINEAGE_STATE_DIRECTORY="/nonexistent")
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def _json(run: Run, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _lineage(run, *arguments, "--json").splitlines()]


def test_at_each_moment_it_was_what_it_was_then(run: Run) -> None:
    for name, at in zip(IMAGES, run.times, strict=True):
        (version,) = _json(run, "show", str(run.pid), "--at", at)
        assert version["process"]["name"] == name
        assert version["since"] <= at < version["until"]
        assert (version["how"], version["alive"]) == ("kernel", True)
        (root,) = _json(run, "tree", str(run.pid), "--at", at)
        assert root["process"]["executable"].endswith(f"/{name}")


def test_a_history_is_a_line_for_each_change(run: Run) -> None:
    lines = [line.split("\t") for line in _lineage(run, "show", str(run.pid), "--history").splitlines()]
    changes = [what for _, how, what in lines if how == "kernel"]
    for old, new in pairwise(IMAGES):
        assert sum(change.startswith("exec ") and f"/{new}: " in change for change in changes) == 1
        assert not any(f"name {old} → {new}" in change for change in changes)
    assert lines[-1][1:] == ["kernel", "ended, exit code 3"]
    assert [line[0] for line in lines] == sorted(line[0] for line in lines)


def test_ancestors_are_a_chain_that_ends_with_it(run: Run) -> None:
    lines = _lineage(run, "ancestors", str(run.pid), "--at", run.times[1]).splitlines()
    depths = [len(line) - len(line.lstrip(" ")) for line in lines]
    assert depths == list(range(0, 2 * len(lines), 2))
    assert lines[-1].split()[:2] == ["two", str(run.pid)]
    assert lines[-2].split()[1] == str(os.getpid())
    (answer,) = _json(run, "ancestors", str(run.pid), "--depth", "1", "--at", run.times[1])
    assert [ancestor["process"]["pid"] for ancestor in answer["ancestors"]] == [os.getpid()]


def test_by_id_it_is_found_when_its_pid_is_nobodys_any_more(run: Run) -> None:
    (version,) = _json(run, "show", str(run.pid))
    assert (version["process"]["exit_code"], version["alive"]) == (3, False)
    text = _lineage(run, "show", version["process"]["entity_id"])
    assert dict(line.split("\t") for line in text.splitlines())["name"] == IMAGES[-1]
    said = _lineage(run, "show", str(run.pid), "--at", run.lived_until, code=1)
    assert f"no process and no thread with the number {run.pid} is known to have lived then" in said


def test_the_tree_of_the_agent_has_what_runs_and_needs_no_store(run: Run) -> None:
    lines = _lineage(run, "tree").splitlines()
    assert any(f"python {os.getpid()}" in line or f" {os.getpid()} " in line for line in lines)
    assert not any(f" {run.pid} " in line for line in lines)


def test_the_socket_is_roots_alone_and_the_agent_behind_it_has_no_privilege(run: Run) -> None:
    assert run.mode == 0o600
    assert run.socket.stat().st_uid == 0
    assert run.status["Uid"].split()[0] != "0"
    assert run.status["CapEff"] == "0" * 16


def test_metrics_count_what_was_asked(run: Run) -> None:
    status, body = _get(run.socket, "/metrics")
    assert status == 200
    values = dict(line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#"))
    assert float(values["lineage_api_requests_total"]) >= 1
    assert float(values["lineage_processes_alive"]) >= 1
    assert float(values["lineage_events_total"]) >= 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "4194304"), "no process and no thread with the number 4194304 is known"),
        (("show", "A" * 22), "nobody has told of AAAAAAAAAAAAAAAAAAAAAA"),
        (("show", "1", "--at", "52w"), "nobody looked then"),
        (("tree", "4194304"), "no process with pid 4194304 is known"),
    ],
)
def test_what_the_agent_cannot_answer_is_one_line(run: Run, arguments: tuple[str, ...], said: str) -> None:
    (line,) = _lineage(run, *arguments, code=1).splitlines()
    assert line.startswith(f"lineage: {said}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "1", "--at", "soon"), "'soon' is no time: write how long ago"),
        (("show", "1", "--at", "2100-01-01T00:00:00Z"), "'2100-01-01T00:00:00Z' is in the future"),
        (("show", "0"), "a pid is 1 to 4194304, not '0'"),
        (("ancestors", "1", "--depth", "0"), "--depth: "),
        (("tree", "1", "--depth", "1000000"), "--depth: "),
    ],
)
def test_what_is_no_question_is_wrong_usage_whoever_finds_it(run: Run, arguments: tuple[str, ...], said: str) -> None:
    (line,) = _lineage(run, *arguments, code=2).splitlines()
    assert line.startswith(f"lineage: {said}")


def test_nothing_is_imported_for_a_question_after_the_privileges_are_gone() -> None:
    folder = Path(tempfile.mkdtemp(prefix="lineage-"))
    path, address = folder / "s", f"127.0.0.1:{free_port()}"
    (folder / "program.py").write_text(FORBID_LATE_IMPORTS)
    settings = (f"api_socket={path}", f"api_address={address}", f"api_token={TOKEN}", f"state_directory={folder}")
    flags = [word for setting in settings for word in ("--set", setting)]
    program = [sys.executable, str(folder / "program.py"), *flags, "run", "--sink", "ndjson:/dev/null", "--quiet"]
    variables = {"PYTHONPATH": os.getcwd()}
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True, env=environment() | variables) as agent:
        try:
            assert agent.stderr is not None
            said = ""
            for line in agent.stderr:
                said += line
                if "ready" in line:
                    break
            _, body = _get(path, "/processes?pid=1")
            known = json.loads(body)["process"]["entity_id"]
            for target in PATHS:
                number = {"/processes": "?pid=1", "/lineage": "?pid=1", "/threads": "?tid=1"}.get(target, "")
                assert _get(path, target.format(id=known) + number)[0] == 200, target
            for more in ("pid=1&at=-1ms", "pid=1&history=true"):
                assert _get(path, f"/processes?{more}")[0] == 200, more
            for target in ("/nowhere", "/tree?at=2026-01-31T12:00:00%2B01:00", "/lineage/x?depth=0", "/tree?pid=x"):
                assert _get(path, target)[0] in (400, 404), target
            with socket.socket(socket.AF_UNIX) as garbage:
                garbage.connect(str(path))
                garbage.sendall(b"\x00\r\n\r\n")
                assert b" 400 " in garbage.recv(1000)
            host, _, port = address.partition(":")
            for headers, expected in (({}, 401), ({"Authorization": f"Bearer {TOKEN}"}, 200)):
                connection = http.client.HTTPConnection(host, int(port), timeout=DEADLINE_S)
                connection.request("GET", "/health", headers=headers)
                assert connection.getresponse().status == expected
                connection.close()
            agent.terminate()
            said += agent.stderr.read()
        finally:
            agent.kill()
    shutil.rmtree(folder)
    assert "LATE IMPORT" not in said
    assert agent.returncode == 0, said
