"""`lineage bench` as it is called: names, exit codes, where the figures go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from pipeline.bench import registry
from pipeline.bench.base import Benchmark, CannotRun, Setting, pinned
from pipeline.commands import bench as command
from pipeline.config import Config
from pipeline.errors import HostError, UsageError
from pipeline.view.figures import Figure


def _good(setting: Setting) -> Sequence[Figure]:
    setting.step()
    return [Figure("good", "time", 2.0 if setting.quick else 1.0, "us", 1.5)]


def _missing(setting: Setting) -> Sequence[Figure]:
    raise CannotRun("needs a moon", "wait for one")


def _failing(setting: Setting) -> Sequence[Figure]:
    raise HostError("the agent ended with 1")


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"good": _good, "missing": _missing, "failing": _failing}
    monkeypatch.setattr(
        registry, "BENCHMARKS", tuple(Benchmark(name, f"about {name}", lambda _: 1, run) for name, run in made.items())
    )


def _call(config: Config, only: list[str], json_file: Path | None = None, quick: bool = False) -> int:
    return command.bench(config, only, json_file=json_file, quick=quick)


def test_a_missed_goal_is_no_failure(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call(config, ["good"], quick=True) == 0
    printed = capsys.readouterr().out
    assert "≤ 1.5  no" in printed
    assert "not to be quoted" in printed


def test_what_cannot_run_says_why_in_its_row(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call(config, ["missing"]) == 1
    assert "about missing" in (printed := capsys.readouterr().out)
    assert "not run: needs a moon: wait for one" in printed


def test_one_that_fails_leaves_the_others_their_figures(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call(config, []) == 1
    printed = capsys.readouterr().out
    assert "failed: the agent ended with 1" in printed
    assert "1.5  yes" in printed


def test_what_this_host_lacks_is_no_failure_unless_asked_for(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BENCHMARKS", registry.BENCHMARKS[:2])
    assert _call(config, []) == 0


def test_an_unknown_benchmark_is_named_with_those_there_are(config: Config) -> None:
    with pytest.raises(UsageError, match=r"no benchmark 'god'.*good, missing, failing"):
        _call(config, ["god"])


def test_json_goes_to_the_file_beside_the_table(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    assert _call(config, ["good"], file) == 0
    assert "good" in capsys.readouterr().out
    told = orjson.loads(file.read_bytes())
    assert told["figures"][0]["value"] == 1.0
    assert told["figures"][0]["met"] is True
    assert {"kernel", "cores", "date"} <= told["host"].keys()


def test_json_to_standard_output_stands_alone(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call(config, ["good"], Path("-")) == 0
    assert orjson.loads(capsys.readouterr().out)["figures"][0]["benchmark"] == "good"


def test_a_file_that_cannot_be_written_is_refused_before_measuring(config: Config, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        _call(config, ["good"], tmp_path / "no" / "such.json")


def test_a_pin_is_taken_out_again() -> None:
    before = os.sched_getaffinity(0)
    with pinned(min(before)):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before
