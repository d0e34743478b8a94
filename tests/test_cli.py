"""The command line itself: where options may stand, what help and errors look like. No verb does anything here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import typer

from pipeline.bench.registry import BENCHMARKS
from pipeline.cli import app, invoke
from pipeline.clock import duration_s
from pipeline.errors import UsageError

VERBS = ("run", "setup", "check", "record", "replay", "search", "tree", "show", "ancestors", "bench")


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("LINEAGE_", "ELASTICSEARCH_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LINEAGE_STATE_DIRECTORY", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def _complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Its one line; it must be wrong usage."""
    assert invoke(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    "arguments",
    [
        ["--set", "namespace=a", "--set", "ring_bytes=65536", "run", "--print-config"],
        ["run", "--print-config", "--set", "namespace=a", "--set=ring_bytes=65536"],
        ["--set", "namespace=b", "--set", "ring_bytes=65536", "run", "--set", "namespace=a", "--print-config"],
    ],
)
def test_set_means_the_same_before_and_after_the_verb_and_the_last_wins(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(arguments) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["namespace"], shown["ring_bytes"]) == ("a", 65536)


@pytest.mark.parametrize("form", ["--config {}", "--config={}"])
def test_a_file_may_be_named_after_the_verb(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.toml").write_text('namespace = "filed"\n')
    assert invoke(["run", "--print-config", *form.format(tmp_path / "x.toml").split()]) == 0
    assert json.loads(capsys.readouterr().out)["namespace"] == "filed"


def test_debug_after_the_verb_prints_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["search", "nginx", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_what_follows_two_hyphens_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["search", "--", "--set"]) == 1
    assert "no store" in capsys.readouterr().err


def test_an_option_without_its_value_does_not_swallow_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--set has no value" in _complaint(capsys, "run", "--set")


@pytest.mark.parametrize(
    ("arguments", "words", "asks"),
    [
        (["rum"], "Did you mean 'run'", "(lineage --help)"),
        (["search"], "QUERY", "(lineage search --help)"),
        (["run", "--nothing"], "No such option", "(lineage run --help)"),
        (["search", "bash", "--limit", "0"], "--limit", "(lineage search --help)"),
    ],
)
def test_wrong_usage_names_the_help_that_tells_of_it(
    arguments: list[str], words: str, asks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = _complaint(capsys, *arguments)
    assert words in line
    assert line.endswith(asks)


@pytest.mark.parametrize("verb", ["record", "replay"])
def test_a_recording_is_no_stream(verb: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "name a file" in _complaint(capsys, verb, "-")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", [["run"], ["record", "x"]])
@pytest.mark.parametrize("text", ["0s", "soon"])
def test_a_duration_that_is_none_names_its_option(
    verb: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _complaint(capsys, *verb, "--for", text).startswith(f"lineage: --for: '{text}' is no ")


def test_the_help_of_bench_names_the_benchmarks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert invoke(["bench", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert ", ".join(benchmark.name for benchmark in BENCHMARKS) + ". None: all that this host can run." in told


@pytest.mark.parametrize("text", ["0s", "0.0m", "0h0s"])
def test_no_time_at_all_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--for: .* above 0"):
        duration_s(text, "--for")


def test_a_variable_that_resembles_none_is_not_explained_by_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LINEAGE_FOO", "1")
    line = _complaint(capsys, "run", "--print-config")
    assert "LINEAGE_FOO" in line
    assert "did you mean" not in line


def test_the_list_of_verbs_fits_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert invoke(["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == list(VERBS)
    assert not [line for line in listed if line.endswith("...")]


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_tells_of_the_options_of_all(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([verb, "--help"]) == 0
    assert "--config, --set and --debug" in capsys.readouterr().out


@pytest.mark.parametrize("verb", [["run"], ["record", "x"]])
def test_without_root_it_is_root_that_is_missing_whatever_else_is(
    verb: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("LINEAGE_STATE_DIRECTORY", "/proc/nowhere")
    assert invoke(verb) == 1
    assert "tracing needs root" in capsys.readouterr().err


def test_a_user_without_a_store_is_told_of_roots(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert invoke(["search", "nginx"]) == 1
    assert "/var/lib/lineage/events.db: use sudo" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["show", "ancestors", "tree"])
@pytest.mark.parametrize("start", ["-N", "--", "-h"])
def test_an_entity_id_may_begin_as_an_option_does(verb: str, start: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One in 64 does."""
    entity_id = start + "jx5v1UJLSz2iuG6q0LLgxy"[: 22 - len(start)]
    assert invoke([verb, entity_id, "--json", "--set", "api_socket=/nonexistent"]) == 1
    assert "option" not in capsys.readouterr().err


def test_no_option_looks_like_an_entity_id() -> None:
    verbs = typer.main.get_command(app).commands.values()  # type: ignore[attr-defined]
    options = {option for verb in verbs for one in verb.params for option in one.opts}
    assert "--json" in options
    assert not [option for option in options if len(option) == 22]
