from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import invoke
from tests.commands.stored import fill
from tests.elasticsearch.samples import now, process


def test_of_a_stored_tree_kernel_threads_are_a_number(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernel = [process("kthreadd", pid=2, seconds_ago=99.0), process("kthreadd", "kworker/0:1", seconds_ago=98.0)]
    for document in kernel:
        del document["process"]["executable"]
    fill(
        store,
        *kernel,
        process("systemd", args=["/sbin/init"], seconds_ago=90.0),
        process("systemd", "nginx", args=["nginx"], seconds_ago=80.0),
        process("systemd", "nginx", "bash", args=["bash"], action="end", exit_code=0, seconds_ago=5.0),
    )
    assert invoke(["tree"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "kthreadd 2  www-data  (and 1 kernel thread: --all)  kthreadd -x",
        "systemd 1  www-data  /sbin/init",
        "  nginx 1001  www-data  nginx",
        "    bash 1002  www-data  (ended, exit code 0)  bash",
    ]
    assert invoke(["tree", "--all"]) == 0
    assert "  kworker/0:1 1001" in capsys.readouterr().out


def test_why_no_agent_was_asked_and_what_to_do_about_it_is_said_last(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = store.parent / "socket"
    nobody.touch()
    monkeypatch.setenv("LINEAGE_API_SOCKET", str(nobody))
    fill(store, process("systemd", "new", pid=77, args=["new"], seconds_ago=20.0))
    assert invoke(["tree", "77", "--at", "1s"]) == 0
    source, age = capsys.readouterr().err.splitlines()[:2]
    why = f"no agent answers on {nobody} (Connection refused)"
    mend = "start `lineage run` as root, or name its socket with --set api_socket=PATH"
    assert source == f"this is from the store {store}: {why}; {mend}"
    assert re.fullmatch(r"last event 2\S+Z, \d+ seconds? before --at: who is drawn alive was alive then", age)


@pytest.mark.parametrize("verb", ["tree", "ancestors"])
@pytest.mark.parametrize("depth", ["0", "1025", "-1", "x", "", "1.5", "9" * 20])
def test_what_is_no_depth_is_said_in_our_own_words(verb: str, depth: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([verb, "1", "--depth", depth]) == 2
    assert capsys.readouterr().err == f"lineage: --depth: {depth!r} is no depth: give a number from 1 to 1,024\n"


def test_a_pid_draws_the_newest_that_had_it_and_says_so(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(
        store,
        process("systemd", "old", pid=77, seconds_ago=50.0),
        process("systemd", "new", pid=77, args=["new"], seconds_ago=20.0),
        process(
            "systemd", "new", "curl", ids=["web1-systemd", "web1-systemd/new", "c"], args=["curl"], seconds_ago=9.0
        ),
    )
    assert invoke(["tree", "77"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["new 77  www-data  new", "  curl 1002  www-data  curl"]
    about, source, age = captured.err.splitlines()[:3]
    assert source == f"this is from the store {store}: no agent can be asked, api_socket is empty"
    assert about.startswith("2 processes had pid 77; this is the newest, begun ")
    assert about.endswith(" on web1")
    assert re.fullmatch(r"last event 2\S+Z, \d+ seconds? before now: who is drawn alive was alive then", age)


def test_an_earlier_time_shows_what_was_then(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(
        store,
        process("systemd", "bash", args=["bash"], seconds_ago=90.0),
        process("systemd", "bash", args=["bash"], action="end", exit_code=0, seconds_ago=10.0),
        process("systemd", "later", seconds_ago=5.0),
    )
    expected = ["systemd 1  (known from its descendants alone)  /usr/bin/systemd", "  bash 1001  www-data  bash"]
    assert invoke(["tree", "--at", "30s"]) == 0
    assert capsys.readouterr().out.splitlines() == expected
    assert invoke(["tree", "--at", now(30.0)]) == 0
    assert capsys.readouterr().out.splitlines() == expected


def test_json_prints_documents_parents_first(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store, process("systemd", "nginx", "bash"), process("systemd", "nginx"))
    assert invoke(["tree", "--json"]) == 0
    shown = [json.loads(line)["process"]["name"] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["systemd", "nginx", "bash"]


def test_nothing_to_draw_exits_1(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store, process("systemd"))
    assert invoke(["tree", "4242"]) == 1
    nobody = f"in the store {store}; no agent can be asked, api_socket is empty\n"
    assert capsys.readouterr().err == f"no process with pid 4242 (looked back 24h: --since looks farther) {nobody}"
    assert invoke(["tree", "4242", "--at", "1h", "--since", "2h"]) == 1
    assert capsys.readouterr().err == f"no process with pid 4242 as of --at 1h since 2h in the store {store}\n"
    assert invoke(["tree", "0"]) == 2
    capsys.readouterr()
    assert invoke(["tree", "abc"]) == 2
    assert "'abc' is no process" in capsys.readouterr().err


def test_a_process_is_found_by_its_id_too_and_drawn_as_deep_as_is_asked(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = "b" * 22
    above = ["web1-systemd", identity]
    fill(
        store,
        process("systemd", "bash", ids=above, args=["bash"], seconds_ago=50.0),
        process("systemd", "bash", "sh", ids=[*above, "s"], args=["sh"], seconds_ago=40.0),
        process("systemd", "bash", "sh", "ls", ids=[*above, "s", "l"], args=["ls"], seconds_ago=30.0),
        process("systemd", "bash", pid=1001, args=["another"], seconds_ago=20.0),
    )
    bash = "bash 1001  www-data  bash"
    assert invoke(["tree", identity]) == 0
    assert capsys.readouterr().out.splitlines() == [bash, "  sh 1002  www-data  sh", "    ls 1003  www-data  ls"]
    assert invoke(["tree", identity, "--depth", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [bash, "  sh 1002  www-data  sh"]
    assert invoke(["tree", "c" * 22]) == 1
    assert f"no process {'c' * 22}" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_has_seen_enough_is_no_error(options: list[str], store: Path) -> None:
    fill(store, process("systemd"))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "tree", "--from", "store", *options],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "ror" in line]) == (0, [])


@pytest.mark.elasticsearch
@pytest.mark.usefixtures("store")
def test_the_tree_comes_from_elasticsearch_where_that_is_configured(
    elasticsearch_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", elasticsearch_url)
    assert invoke(["tree", "4194303"]) == 1
    assert f"in Elasticsearch at {elasticsearch_url}" in capsys.readouterr().err
