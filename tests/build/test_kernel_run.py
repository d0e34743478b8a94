"""What a run of `make test-kernels` keeps, and when it writes its page; nothing is booted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import tests.kernels.__main__ as command
from tests.kernels.guest import GuestError
from tests.kernels.report import Outcome, parse

GOOD = '<testcase classname="tests.kernel.test_births" name="test_a"/>'
BAD = '<testcase classname="tests.kernel.test_births" name="test_a"><failure message="no"/></testcase>'


def _xml(release: str, cases: str) -> bytes:
    suite = f'<testsuite name="{release}" time="60" timestamp="2026-01-02T03:04:05+00:00">{cases}</testsuite>'
    return f"<testsuites>{suite}</testsuites>".encode()


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the page would be; each kernel's only test is good."""
    monkeypatch.setattr(command, "PAGE", tmp_path / "kernels.md")
    monkeypatch.setattr(command, "REPORTS", tmp_path / "reports")
    monkeypatch.setattr(command, "_here", lambda part: _xml("6.18.1", GOOD))
    monkeypatch.setattr(command, "_guest", lambda kernel, part: _xml(f"{kernel}.0-1", GOOD))
    return tmp_path / "kernels.md"


def test_a_whole_run_writes_the_page_with_a_column_a_kernel(page: Path) -> None:
    assert command.main([]) == 0
    assert "|  | 5.10 | 6.1 | 6.12 | 6.18 |\n" in page.read_text()


def test_the_page_waits_until_every_kernel_has_a_report(page: Path) -> None:
    assert command.main(["--only", "6.1"]) == 0
    assert not page.exists()
    assert command.main(["--only", "5.10", "--only", "6.12", "--only", "here"]) == 0
    assert page.exists()


def test_a_part_is_not_kept(page: Path) -> None:
    assert command.main(["--pytest=-k snapshot"]) == 0
    assert command.main(["--page"]) == 0
    assert not page.exists()


def test_arguments_for_pytest_arrive_one_by_one(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[str]] = []

    def guest(kernel: str, part: Sequence[str]) -> bytes:
        asked.append(part)
        return _xml(kernel, GOOD)

    monkeypatch.setattr(command, "_guest", guest)
    assert command.main(["--only", "6.1", "--pytest=-x -k 'birth or end'"]) == 0
    assert asked == [[str(command.TESTS), "-x", "-k", "birth or end"]]


def test_what_failed_is_run_again_and_takes_its_place_in_the_report(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = '<testcase classname="tests.kernel.test_ends" name="test_b[1-x]"/>'
    asked: list[Sequence[str]] = []

    def guest(kernel: str, words: Sequence[str]) -> bytes:
        asked.append(words)
        return _xml(kernel, BAD + other if len(asked) == 1 else GOOD)

    monkeypatch.setattr(command, "_guest", guest)
    assert command.main(["--only", "6.1", "--again"]) == 1
    assert "6.1: no report yet\n" in capsys.readouterr().out
    assert command.main(["--only", "6.1"]) == 1
    assert command.main(["--only", "6.1", "--again"]) == 0
    assert asked[1] == ["tests/kernel/test_births.py::test_a"]
    kept = parse((command.REPORTS / "6.1.xml").read_bytes())
    assert {(result.test, result.outcome) for result in kept.results} == {
        ("test_a", Outcome.PASSED),
        ("test_b", Outcome.PASSED),
    }
    assert command.main(["--only", "6.1", "--again"]) == 0
    assert len(asked) == 2


@pytest.mark.parametrize("cases", [BAD, ""])
def test_a_failure_and_no_test_at_all_are_failures(page: Path, monkeypatch: pytest.MonkeyPatch, cases: str) -> None:
    monkeypatch.setattr(command, "_here", lambda part: _xml("6.18.1", cases))
    assert command.main(["--only", "here"]) == 1


def test_a_kernel_that_does_not_boot_is_a_failure_and_the_others_are_run(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def guest(kernel: str, part: Sequence[str]) -> bytes:
        if kernel == "6.1":
            raise GuestError("it did not boot; its console said last:\nKernel panic")
        return _xml(kernel, GOOD)

    monkeypatch.setattr(command, "_guest", guest)
    assert command.main([]) == 1
    said = capsys.readouterr().out
    assert "6.1: it did not boot; its console said last:\nKernel panic\n" in said
    assert "6.12: 6.12, 1 passed, 0 failed, 0 not here" in said
    assert said.endswith("failed: 6.1\n")
    assert not page.exists()
