"""The page of kernels and scenarios, made of reports; and that the page in the repository is of this form."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.docs import pages
from tests.kernels.report import Outcome, Report, Result
from tests.kernels.table import HEAD, headings, page

ABOUT = {"test_births": "Who was born of whom"}


def _result(test: str, outcome: Outcome = Outcome.PASSED, reason: str = "", file: str = "test_births") -> Result:
    name, _, parameters = test.removesuffix("]").partition("[")
    return Result(file, f"test_{name}", parameters, outcome, reason)


def _report(release: str, *results: Result) -> Report:
    return Report(release, date(2026, 1, 2), 90.0, results)


def _cells(text: str, test: str) -> list[str]:
    (row,) = (row for row in pages.rows(text) if row[0] == test)
    return row[1:]


def test_a_column_a_kernel_oldest_first_and_a_row_a_test() -> None:
    new = _report("6.18.1", _result("a_fork_is_told"))
    old = _report("5.10.0-46-amd64", _result("a_fork_is_told", Outcome.FAILED, "nothing came"))
    text = page([new, old], ABOUT)
    assert "## Who was born of whom\n\n|  | 5.10 | 6.18 |\n" in text
    assert _cells(text, "a fork is told") == ["**failed**", "passed"]
    assert _cells(text, "5.10.0-46-amd64") == ["1", "0", "1", "0", "2 min", "2026-01-02"]
    assert "## What failed\n\n- 5.10: a fork is told: nothing came\n" in text


@pytest.mark.parametrize(
    ("outcomes", "cell"),
    [
        ([Outcome.PASSED] * 3, "3 of 3"),
        ([Outcome.PASSED, Outcome.FAILED, Outcome.FAILED], "**2 of 3 failed**"),
        ([Outcome.PASSED, Outcome.ABSENT], "1 of 2, not here (1)"),
        ([Outcome.ABSENT] * 2, "not here (1)"),
        ([Outcome.FAILED, Outcome.ABSENT], "**1 of 2 failed**"),
    ],
)
def test_parameters_are_folded(outcomes: list[Outcome], cell: str) -> None:
    results = [_result(f"a_code_is_told[{number}]", outcome, "why") for number, outcome in enumerate(outcomes)]
    assert _cells(page([_report("6.1", *results)], ABOUT), "a code is told") == [cell]


def test_what_a_kernel_was_not_asked_is_a_dash() -> None:
    text = page([_report("6.1", _result("old"), _result("new")), _report("5.10", _result("old"))], ABOUT)
    assert _cells(text, "new") == ["–", "passed"]


def test_a_reason_stands_once_and_has_one_number() -> None:
    one = _report("5.10", _result("a", Outcome.ABSENT, "no runc"), _result("b", Outcome.ABSENT, "no second disk"))
    two = _report("6.1", _result("a", Outcome.ABSENT, "no second disk"), _result("b"))
    text = page([one, two], ABOUT)
    assert _cells(text, "a") == ["not here (1)", "not here (2)"]
    assert _cells(text, "b") == ["not here (2)", "passed"]
    assert text.endswith("## Why not here\n\n1. no runc\n2. no second disk\n")


def test_no_word_of_a_report_changes_the_form() -> None:
    failure = _result("a[x|y]", Outcome.FAILED, "a | `b` <c> *d* [e](f)")
    text = page([_report("6.1", failure)], {"test_births": "Births | and `ends`"})
    assert "## Births \\| and \\`ends\\`\n" in text
    assert text.endswith("- 6.1: a [x\\|y]: a \\| \\`b\\` \\<c\\> \\*d\\* \\[e\\](f)\n")
    assert {len(row) for row in pages.rows(text)} == {7, 2}


def test_a_heading_is_the_first_sentence_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "test_births.py").write_text('"""Who was born\nof whom. And more."""\n')
    (tmp_path / "test_silent.py").write_text("")
    assert headings(tmp_path) == {"test_births": "Who was born of whom"}
    assert "## silent\n" in page([_report("6.1", _result("a", file="test_silent"))], headings(tmp_path))


def test_the_page_in_the_repository_was_written_by_this() -> None:
    text = pages.named("docs/kernels.md")
    above, minutes, below = HEAD.partition("{minutes}")
    assert minutes
    assert text.startswith(above)
    assert below in text
