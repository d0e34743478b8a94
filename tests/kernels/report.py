"""What pytest reported of one kernel, as values.

Rules: a test is known by its file and its function, whatever its parameters; what was skipped is absent, never passed;
a report names its own kernel (``junit_suite_name``) and its own day.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import date, datetime
from enum import Enum
from typing import NamedTuple

LOADED = "test_its_file_can_be_loaded"


class Outcome(Enum):
    PASSED = "passed"
    FAILED = "failed"
    ABSENT = "not here"


class Result(NamedTuple):
    file: str  # "test_execs": the module's last name
    test: str  # "test_a_failed_exec_is_no_event", without parameters
    parameters: str  # as pytest prints them in brackets; empty for most
    outcome: Outcome
    reason: str  # first line of why it failed or is not here


class Report(NamedTuple):
    release: str
    day: date
    seconds: float
    results: tuple[Result, ...]

    def count(self, outcome: Outcome) -> int:
        return sum(result.outcome is outcome for result in self.results)


def parse(xml: bytes) -> Report:
    """The report in JUnit's XML. Raises ValueError where it is none."""
    try:
        suite = ET.fromstring(xml).find("testsuite")  # noqa: S314 - our own pytest wrote it
    except ET.ParseError as error:
        raise ValueError(f"no JUnit report: {error}") from error
    if suite is None:
        raise ValueError("no JUnit report: no test suite in it")
    return Report(
        release=suite.get("name", ""),
        day=datetime.fromisoformat(suite.get("timestamp", "")).date(),
        seconds=float(suite.get("time", 0)),
        results=tuple(map(_result, suite.iter("testcase"))),
    )


def failed(xml: bytes) -> list[str]:
    """pytest's names of the tests that failed. Raises ValueError as ``parse`` does."""
    parse(xml)
    cases = ET.fromstring(xml).iter("testcase")  # noqa: S314 - as above
    return [_node(case) for case in cases if _outcome(case)[0] is Outcome.FAILED]


def with_again(xml: bytes, again: bytes) -> bytes:
    """The report ``xml`` with the results of ``again``, of some of its tests, in the place of its own."""
    whole, part = ET.fromstring(xml), ET.fromstring(again)  # noqa: S314 - as above
    suite = whole.find("testsuite")
    assert suite is not None
    newer = {_node(case): case for case in part.iter("testcase")}
    files = {node.partition("::")[0] for node in newer}
    for case in suite.findall("testcase"):
        if _node(case) in newer or _node(case) in files:  # a file that could not be read then
            suite.remove(case)
    suite.extend(newer.values())
    return ET.tostring(whole)


def _node(case: ET.Element) -> str:
    """The file alone, where that could not be read."""
    where, name = case.get("classname", ""), case.get("name", "")
    parts = (where or name).split(".")
    file = next((at for at, part in enumerate(parts) if part.startswith("test_")), len(parts) - 1)
    return "::".join(("/".join(parts[: file + 1]) + ".py", *parts[file + 1 :], *([name] if where else [])))


def _result(case: ET.Element) -> Result:
    outcome, reason = _outcome(case)
    test, _, parameters = case.get("name", "").partition("[")
    where = case.get("classname", "")
    if not where:  # a file that could not be read stands here as if it were a test
        where, test = test, LOADED
    file = next((part for part in where.split(".") if part.startswith("test_")), where)
    return Result(file, test, parameters.removesuffix("]"), outcome, reason)


def _outcome(case: ET.Element) -> tuple[Outcome, str]:
    for problem in (case.find("failure"), case.find("error")):
        if problem is not None:
            return Outcome.FAILED, _first_line(problem)
    skipped = case.find("skipped")
    return (Outcome.PASSED, "") if skipped is None else (Outcome.ABSENT, _first_line(skipped))


def _first_line(element: ET.Element) -> str:
    return next(iter(element.get("message", "").strip().splitlines()), "").strip()
