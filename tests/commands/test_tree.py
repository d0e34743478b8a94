from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli import invoke
from tests.commands.stored import fill
from tests.elasticsearch.samples import now, process


def test_the_stored_tree_is_drawn_without_kernel_threads(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kthreadd = process("kthreadd", pid=2, seconds_ago=99.0)
    del kthreadd["process"]["executable"]
    fill(
        store,
        kthreadd,
        process("systemd", args=["/sbin/init"], seconds_ago=90.0),
        process("systemd", "nginx", args=["nginx"], seconds_ago=80.0),
        process("systemd", "nginx", "bash", args=["bash"], action="end", exit_code=0, seconds_ago=5.0),
    )
    assert invoke(["tree"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "systemd 1  www-data  /sbin/init",
        "  nginx 1001  www-data  nginx",
        "    bash 1002  www-data  (ended, exit code 0)  bash",
    ]
    assert invoke(["tree", "--all"]) == 0
    assert "kthreadd 2" in capsys.readouterr().out


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
    about, age = captured.err.splitlines()
    assert about.startswith("2 processes had pid 77; this is the newest, begun ")
    assert about.endswith(" on web1")
    assert age.startswith("last event ")


def test_an_earlier_time_shows_what_was_then(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(
        store,
        process("systemd", "bash", args=["bash"], seconds_ago=90.0),
        process("systemd", "bash", args=["bash"], action="end", exit_code=0, seconds_ago=10.0),
        process("systemd", "later", seconds_ago=5.0),
    )
    expected = ["systemd 1  (recorded by its descendants)  /usr/bin/systemd", "  bash 1001  www-data  bash"]
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
    assert capsys.readouterr().err == f"no process with pid 4242 since 24h in the store {store}\n"
    assert invoke(["tree", "4242", "--at", "1h"]) == 1
    assert capsys.readouterr().err == f"no process with pid 4242 as of --at 1h (--since 24h) in the store {store}\n"
    assert invoke(["tree", "0"]) == 2


@pytest.mark.elasticsearch
@pytest.mark.usefixtures("store")
def test_the_tree_comes_from_elasticsearch_where_that_is_configured(
    elasticsearch_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", elasticsearch_url)
    assert invoke(["tree", "4194303"]) == 1
    assert f"in Elasticsearch at {elasticsearch_url}" in capsys.readouterr().err
