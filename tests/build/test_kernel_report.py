"""What is read out of pytest's reports; pytest itself writes them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.kernels.report import LOADED, Outcome, Report, failed, parse, with_again

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


def _run(folder: Path, selected: Sequence[str] = (), **files: str) -> bytes:
    """What a pytest of its own reports of these files."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    report = folder / "report.xml"
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(folder)]
    words += [*(selected or [str(folder)]), f"--junitxml={report}", "-o", "junit_suite_name=5.10.0-1-amd64"]
    subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return report.read_bytes()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return parse(_run(tmp_path_factory.mktemp("tests"), test_things=TESTS))


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
    report = parse(_run(tmp_path, test_broken="import no_such_module\n"))
    (result,) = report.results
    assert (result.file, result.test, result.outcome) == ("test_broken", LOADED, Outcome.FAILED)


def test_what_failed_can_be_run_again_by_its_name_and_put_in_its_place(tmp_path: Path) -> None:
    group = 'import pytest\n@pytest.mark.parametrize("at", ["a.b"])\n'
    group += "class TestGroup:\n    def test_in(self, at): assert 0\n"
    whole = _run(tmp_path, test_a_test_b=f"{group}def test_other(): pass\n")
    names = failed(whole)
    assert names == ["test_a_test_b.py::TestGroup::test_in[a.b]"]
    both = with_again(whole, _run(tmp_path, names, test_a_test_b=group.replace("assert 0", "pass")))
    assert failed(both) == []
    assert [result.test for result in parse(both).results] == ["test_other", "test_in"]


def test_a_file_that_can_be_read_now_is_no_failure_any_more(tmp_path: Path) -> None:
    broken = _run(tmp_path, test_broken="import no_such_module\n")
    assert failed(broken) == ["test_broken.py"]
    both = with_again(broken, _run(tmp_path, failed(broken), test_broken="def test_now(): pass\n"))
    assert [(result.test, result.outcome) for result in parse(both).results] == [("test_now", Outcome.PASSED)]


@pytest.mark.parametrize("text", [b"", b"cut <testsuites>", b"<testsuites/>"])
def test_what_is_no_report_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="no JUnit report"):
        parse(text)
