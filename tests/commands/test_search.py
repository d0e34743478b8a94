from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli import invoke
from tests.commands.stored import fill
from tests.elasticsearch.samples import process

SEARCH = ["search", "nginx -> bash"]


def test_a_pipe_gets_tab_separated_lines(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store, process("systemd", "nginx", "bash", args=["bash", "-i"]), process("systemd", "sshd", "bash"))
    assert invoke(SEARCH) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out.rstrip("\n").split("\t")[1:] == [
        "web1",
        "1002",
        "www-data",
        "systemd → nginx → bash",
        "bash -i",
        "alive",
    ]


def test_what_may_not_be_the_whole_truth_is_counted_by_reason(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sure, doubtful, both = (process("nginx", "bash", ids=("n", which)) for which in "abc")
    doubtful["lineage"]["doubt"] = ["snapshot"]
    both["lineage"]["doubt"] = ["loss", "snapshot"]
    fill(store, sure, doubtful, both)
    assert invoke(SEARCH) == 0
    told = capsys.readouterr()
    assert told.out.count("\n") == 3
    assert told.err == "2 of these may not be the whole truth (loss 1, snapshot 2): --json says which\n"
    assert invoke([*SEARCH, "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_json_prints_the_document_as_it_was_kept(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = process("systemd", "nginx", "bash")
    fill(store, document)
    assert invoke([*SEARCH, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == document


def test_nothing_found_exits_1_and_says_where_it_looked(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store, process("systemd", "sshd", "bash"))
    assert invoke(SEARCH) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"nothing found for nginx → bash since 24h in the store {store}\n"


def test_since_and_limit_narrow_it_down(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(
        store,
        process("systemd", "nginx", "bash", pid=1, ids=["s", "n", "1"], seconds_ago=7200.0),
        process("systemd", "nginx", "bash", pid=2, ids=["s", "n", "2"], seconds_ago=60.0),
        process("systemd", "nginx", "bash", pid=3, ids=["s", "n", "3"], seconds_ago=30.0),
    )
    assert invoke([*SEARCH, "--since", "1h"]) == 0
    assert [line.split("\t")[2] for line in capsys.readouterr().out.splitlines()] == ["3", "2"]
    assert invoke([*SEARCH, "--limit", "1"]) == 0
    captured = capsys.readouterr()
    assert [line.split("\t")[2] for line in captured.out.splitlines()] == ["3"]
    assert "there are more" in captured.err


@pytest.mark.parametrize("arguments", [["search", "nginx ->"], [*SEARCH, "--since", "soon"], ["search"]])
@pytest.mark.usefixtures("store")
def test_wrong_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_without_a_store_it_says_how_to_get_one(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(SEARCH) == 1
    assert capsys.readouterr().err.startswith(f"lineage: there is no store at {store}: run `lineage run` first")


def test_a_configured_server_that_is_away_is_an_error_not_the_store(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store, process("systemd", "nginx", "bash"))
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://127.0.0.1:9")
    assert invoke(SEARCH) == 1
    assert "Elasticsearch at http://127.0.0.1:9 does not answer" in capsys.readouterr().err


def test_the_exit_comes_from_the_newest_document_though_that_one_does_not_fit(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = ["s", "n", "own"]
    fill(
        store,
        process("systemd", "nginx", "bash", ids=ids, args=["bash"], seconds_ago=9.0),
        process("systemd", "nginx", "curl", ids=ids, args=["curl"], seconds_ago=8.0),
        process("systemd", "nginx", "curl", ids=ids, args=["curl"], action="end", exit_code=7, seconds_ago=7.0),
    )
    assert invoke(SEARCH) == 0
    assert capsys.readouterr().out.rstrip("\n").split("\t")[4:] == ["systemd → nginx → bash", "bash", "7"]


@pytest.mark.usefixtures("store")
def test_a_time_that_is_none_names_the_option_and_both_forms(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*SEARCH, "--since", "yesterday"]) == 2
    error = capsys.readouterr().err
    assert "--since" in error
    assert "24h" in error
    assert "2026-01-31T12:00:00" in error
