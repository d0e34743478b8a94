"""When a collector has told an exec, and which collectors there are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.bench import collectors
from pipeline.bench.base import CannotRun, Setting
from pipeline.bench.collectors import WORD, Lines
from pipeline.bench.programs import storm_program
from pipeline.config import Config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "lines"
    made.touch()
    return made


@pytest.fixture
def lines(file: Path) -> Iterator[Lines]:
    made = Lines(file)
    yield made
    made.close()


def _write(file: Path, text: str) -> None:
    with file.open("a") as to:
        to.write(text)


def test_an_exec_is_told_when_its_line_is_whole(file: Path, lines: Lines) -> None:
    _write(file, f"12:00 true {WORD}4\n12:01 true {WORD}5")
    lines.look()
    assert lines.told_s.keys() == {4}
    _write(file, "6\n")
    lines.look()
    assert lines.told_s.keys() == {4, 56}


def test_the_first_line_counts(file: Path, lines: Lines) -> None:
    _write(file, f"exec {WORD}4\n")
    lines.look()
    first_s = lines.told_s[4]
    _write(file, f"exit {WORD}4\n")
    lines.look()
    assert lines.told_s[4] == first_s <= time.monotonic()


def test_what_was_written_before_is_left_out(file: Path, lines: Lines) -> None:
    _write(file, f"exec {WORD}4\nexec {WORD}5 and the end of this line is st")
    lines.skip()
    _write(file, f"ill to come\nexec {WORD}6\n")
    lines.look()
    assert lines.told_s.keys() == {6}


def test_no_number_is_used_twice(lines: Lines) -> None:
    assert [lines.next_number() for _ in range(3)] == [0, 1, 2]


def test_looking_ends_with_the_number_or_with_the_time(file: Path, lines: Lines) -> None:
    assert not lines.look_until(time.monotonic() + 0.01, 0)
    _write(file, f"{WORD}0\n")
    assert lines.look_until(time.monotonic() + 60, 0)


def test_who_tells_nothing_is_asked_for_a_bounded_time(lines: Lines) -> None:
    with storm_program() as load, pytest.raises(CannotRun, match="tells no exec"):
        lines.until_told(load, 0.1)


def test_who_loses_an_exec_tells_a_later_one(file: Path, lines: Lines) -> None:
    _write(file, f"exec {WORD}3\n")
    with storm_program() as load:
        lines.until_told(load)
    assert lines.next_number() == 4


def test_what_is_not_installed_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    missing = {each.name: each.missing for each in collectors.collectors()}
    assert missing == {
        "lineage, documents": "",
        "lineage, feed": "",
        "execsnoop": "apt-get install libbpf-tools",
        "bpftrace": "apt-get install bpftrace",
    }


def test_a_collector_that_ends_says_why(config: Config, tmp_path: Path) -> None:
    broken = collectors._other("sh", "dash", ["sh", "-c", "echo no probes here; exit 3"])
    assert not broken.missing
    with (
        storm_program() as load,
        pytest.raises(CannotRun, match="sh tells no exec: no probes here"),
        broken.start(Setting(config, tmp_path), load, 0, tmp_path / "out"),
    ):
        pytest.fail("it never told")
