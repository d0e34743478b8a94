"""What is read out of pytest's reports; pytest itself writes them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.kernels.report import LOADED, Outcome, Report, parse

TESTS = """
import pytest

@pytest.fixture
def absent():
    pytest.skip("no such thing here\\nand more")

@pytest.fixture
def late():
    yield
    raise RuntimeError("too late")

def test_good(): pass
def test_bad(): assert 1 == 2, "one is not two\\nnever"
def test_not_here(absent): pass
def test_bad_at_its_end(late): pass
@pytest.mark.parametrize("value", ["a", "[b]"])
def test_many(value): pass
class TestGroup:
    def test_inside(self): pass
"""


def _reported(folder: Path, **files: str) -> Report:
    """The report of a pytest of its own over these files."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    report = folder / "report.xml"
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(folder)]
    words += [str(folder), f"--junitxml={report}", "-o", "junit_suite_name=5.10.0-1-amd64"]
    subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return parse(report.read_bytes())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return _reported(tmp_path_factory.mktemp("tests"), test_things=TESTS)


def test_a_report_names_its_kernel_and_its_day(report: Report) -> None:
    assert report.release == "5.10.0-1-amd64"
    assert abs((datetime.now(UTC).date() - report.day).days) <= 1
    assert 0 < report.seconds < 60


def test_every_outcome_is_told_with_the_first_line_of_its_reason(report: Report) -> None:
    told = {result.test: (result.outcome, result.reason) for result in report.results}
    assert told == {
        "test_good": (Outcome.PASSED, ""),
        "test_bad": (Outcome.FAILED, "AssertionError: one is not two"),
        "test_not_here": (Outcome.ABSENT, "no such thing here"),
        "test_bad_at_its_end": (Outcome.FAILED, 'failed on teardown with "RuntimeError: too late"'),
        "test_many": (Outcome.PASSED, ""),
        "test_inside": (Outcome.PASSED, ""),
    }
    assert {outcome: report.count(outcome) for outcome in Outcome} == {
        Outcome.PASSED: 4,
        Outcome.FAILED: 2,
        Outcome.ABSENT: 1,
    }


def test_a_test_is_known_by_file_and_function_and_its_parameters_apart(report: Report) -> None:
    assert {result.file for result in report.results} == {"test_things"}
    assert [result.parameters for result in report.results if result.test == "test_many"] == ["a", "[b]"]


def test_a_file_that_cannot_be_read_is_a_failure_of_its_own(tmp_path: Path) -> None:
    report = _reported(tmp_path, test_broken="import no_such_module\n")
    (result,) = report.results
    assert (result.file, result.test, result.outcome) == ("test_broken", LOADED, Outcome.FAILED)


@pytest.mark.parametrize("text", [b"", b"cut <testsuites>", b"<testsuites/>"])
def test_what_is_no_report_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="no JUnit report"):
        parse(text)
