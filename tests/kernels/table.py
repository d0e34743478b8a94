"""The page that says what works on which kernel, made of reports alone.

Rules: a row is a test, whatever its parameters: "7 of 7"; a test that a report does not have is a dash, never a
success; each reason stands on the page once, with a number; no word of a report can change the page's form.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from tests.kernels.report import Outcome, Report, Result

HEAD = """# Kernels

The tests of `tests/kernel/` load the real BPF programs and compare what they tell with what the kernel itself says.
This page is what came of them on each kernel. The run writes it; do not edit it:

    make test-kernels                      # this machine's kernel and Debian's, emulated: {minutes} minutes, last time
    make test-kernels ARGS="--only 6.1"    # one of them
    make test-kernels ARGS="--only 6.1 --again"                   # what failed there, to stand in the page
    make test-kernels ARGS="--only 6.1 --pytest='-k snapshot'"    # a part of one; the page stays as it is

Debian's kernels are the newest of their suites. They run under qemu without hardware virtualisation, some twenty times
slower than a machine, over the file system of the machine that is tested from. Memory, tracing file systems and control
groups (version 1, and version 2 beside it) are the guest's own.

"""
REASONS_HEADING = "## Why not here"
FAILURES_HEADING = "## What failed"


def page(reports: Sequence[Report], headings: Mapping[str, str]) -> str:
    """The whole page; a column a report, oldest kernel first. ``headings``: name of a test file -> what it is about."""
    reports = sorted(reports, key=_version)
    reasons = Reasons()
    lines = [*_summary(reports), ""]
    for file, tests in _rows(reports).items():
        lines += [f"## {_plain(headings.get(file, _words(file)))}", "", *_table(reports, file, tests, reasons), ""]
    if reasons.known:
        lines += [REASONS_HEADING, "", *reasons.lines(), ""]
    if failures := _failures(reports):
        lines += [FAILURES_HEADING, "", *failures, ""]
    minutes = round(sum(report.seconds for report in reports) / 60)
    return HEAD.format(minutes=minutes) + "\n".join(lines)


def headings(folder: Path) -> dict[str, str]:
    """Name of each test file -> the first sentence that it opens with."""
    found = {}
    for path in folder.glob("test_*.py"):
        about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if about:
            found[path.stem] = re.split(r"\.(?:\s|$)", about, maxsplit=1)[0].replace("\n", " ")
    return found


class Reasons:
    """Numbers for reasons, in the order in which they are met."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def numbers(self, results: Iterable[Result]) -> str:
        """``(1, 3)``: of the results that are not here."""
        found = {result.reason for result in results if result.outcome is Outcome.ABSENT}
        return "({})".format(", ".join(str(number) for number in sorted(map(self._number, found))))

    def _number(self, reason: str) -> int:
        return self.known.setdefault(reason, len(self.known) + 1)

    def lines(self) -> list[str]:
        return [f"{number}. {_plain(reason)}" for reason, number in self.known.items()]


def _rows(reports: Sequence[Report]) -> dict[str, list[str]]:
    """File -> its tests, in the order in which a report has them; those of the first report first."""
    keys = dict.fromkeys((result.file, result.test) for report in reports for result in report.results)
    ordered = sorted(keys, key=lambda key: key[0])  # stable
    return {file: [test for _, test in group] for file, group in groupby(ordered, key=lambda key: key[0])}


def _summary(reports: Sequence[Report]) -> list[str]:
    lines = ["| kernel | tests | passed | failed | not here | took | on |", "|---|---|---|---|---|---|---|"]
    for report in reports:
        counts = [str(report.count(outcome)) for outcome in (Outcome.PASSED, Outcome.FAILED, Outcome.ABSENT)]
        took = f"{max(1, round(report.seconds / 60))} min"
        cells = [_plain(report.release), str(len(report.results)), *counts, took, report.day.isoformat()]
        lines.append(_line(cells))
    return lines


def _table(reports: Sequence[Report], file: str, tests: Iterable[str], reasons: Reasons) -> list[str]:
    lines = [_line(["", *(_series(report) for report in reports)]), "|---" * (len(reports) + 1) + "|"]
    for test in tests:
        cells = [
            _cell([result for result in report.results if (result.file, result.test) == (file, test)], reasons)
            for report in reports
        ]
        lines.append(_line([_words(test), *cells]))
    return lines


def _series(report: Report) -> str:
    found = re.match(r"\d+\.\d+", report.release)
    return found[0] if found else _plain(report.release)


def _version(report: Report) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", report.release)))


def _cell(results: Sequence[Result], reasons: Reasons) -> str:
    count = len(results)
    failed = sum(result.outcome is Outcome.FAILED for result in results)
    absent = sum(result.outcome is Outcome.ABSENT for result in results)
    if not results:
        return "–"
    if failed:
        return "**failed**" if count == 1 else f"**{failed} of {count} failed**"
    if absent == count:
        return f"not here {reasons.numbers(results)}"
    if absent:
        return f"{count - absent} of {count}, not here {reasons.numbers(results)}"
    return "passed" if count == 1 else f"{count} of {count}"


def _failures(reports: Iterable[Report]) -> list[str]:
    lines = []
    for report in reports:
        for result in report.results:
            if result.outcome is Outcome.FAILED:
                case = f" [{_plain(result.parameters)}]" if result.parameters else ""
                lines.append(f"- {_series(report)}: {_words(result.test)}{case}: {_plain(result.reason)}")
    return lines


def _words(name: str) -> str:
    return _plain(name.removeprefix("test_").replace("_", " "))


def _plain(text: str) -> str:
    """One line that no table and no Markdown reads anything into."""
    return re.sub(r"([\\`*_|<>\[\]#])", r"\\\1", " ".join(text.split()))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
