"""Switches of the process tree on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli import invoke
from pipeline.commands.proctree import settings
from pipeline.errors import UsageError


def test_switches_come_in_one_option_or_in_several_and_the_last_counts() -> None:
    assert settings(["source=events,process-cache=100", "thread-cache=200", "process-cache=300"]) == {
        "tree_source": "events",
        "processes_max": 300,
        "threads_max": 200,
    }


@pytest.mark.parametrize(
    "switch", ["source", "source=some", "cache=1", "process-cache=many", "process-cache=-1", "", "source=both,"]
)
def test_what_is_no_switch_is_refused(switch: str) -> None:
    with pytest.raises(UsageError, match="--proctree"):
        settings([switch])


def test_help_tells_of_every_switch(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", "--proctree", "help"]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("none", "events", "signals", "both", "process-cache=N", "thread-cache=N"))


def test_the_configuration_has_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["--proctree", "source=signals,process-cache=8192", "--proctree", "thread-cache=4096"]
    assert invoke(["run", "--print-config", *arguments, "--set", f"state_directory={tmp_path}"]) == 0
    config = json.loads(capsys.readouterr().out)
    assert (config["tree_source"], config["processes_max"], config["threads_max"]) == ("signals", 8192, 4096)


@pytest.mark.parametrize("switch", ["process-cache", "thread-cache"])
def test_a_bound_that_is_too_small_is_refused_in_the_switchs_own_words(
    switch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["run", "--print-config", "--proctree", f"{switch}=63"]) == 2
    assert capsys.readouterr().err == f"lineage: --proctree {switch}=63 is too small: 64 or more\n"
    assert invoke(["run", "--print-config", "--proctree", f"{switch}=64"]) == 0


@pytest.mark.parametrize("number", ["16777217", "9" * 20, "9" * 5000])
def test_a_bound_that_is_too_large_is_refused_likewise(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", "--print-config", "--proctree", f"process-cache={number}"]) == 2
    told = f"lineage: --proctree process-cache={number[:20]} is too large: 16,777,216 at most\n"
    assert capsys.readouterr().err == told
