"""The page of the API has every question and every reason, and no others."""

from __future__ import annotations

import re

from pipeline import tree
from pipeline.api.connections import CONNECTION_S, IDLE_S
from pipeline.api.openapi import PATHS
from pipeline.api.problems import STATUS
from pipeline.api.server import CONNECTIONS_MAX
from pipeline.tree import ProcessTree
from pipeline.tree.questions.processes import DEPTH_MAX
from tests.docs import pages

PAGE = pages.named("docs/api.md")


def test_every_question_is_told_with_its_parameters_and_no_others() -> None:
    told: dict[str, set[str]] = {}
    for questions, _, parameters in pages.rows(pages.section(PAGE, "## Questions")):
        for path in re.findall(r"`GET (/[^`?]+)", questions):
            told[path] = set(re.findall(r"`(\w+)`", parameters))
    described = {
        path: {one["name"] for one in question["get"]["parameters"]} - {"id"} for path, question in PATHS.items()
    }
    for path, number in (("/processes", "pid"), ("/lineage", "pid"), ("/threads", "tid")):
        described[path].discard(number)  # the question itself names it
    assert told == described


def test_every_reason_is_told_with_its_status() -> None:
    rows = pages.rows(pages.section(PAGE, "## What is no answer"))
    told = {reason: int(status) for status, reasons, _ in rows for reason in re.findall(r"`(\w+)`", reasons)}
    assert told == STATUS


def test_the_bounds_of_a_depth_are_told() -> None:
    assert f"1 to {DEPTH_MAX:,}" in PAGE


def test_the_bounds_of_a_connection_are_told() -> None:
    for page in (PAGE, pages.named("docs/security.md")):
        told = " ".join(page.split())
        assert f"{CONNECTIONS_MAX} " in told
        assert f"within {IDLE_S:g} seconds" in told
        assert f"After {CONNECTION_S:g} seconds" in told


def test_every_question_in_python_and_every_name_it_needs_is_in_docs() -> None:
    of_the_flow = {"apply", "snapshot", "closed", "get", "alive", "threads", "thread"}
    questions = {name for name in vars(ProcessTree) if not name.startswith("_")} - of_the_flow
    for name in questions:
        assert f"`{name}(" in PAGE or f"`{name}`" in PAGE, name
    for name in set(tree.__all__) - {"ProcessTree"}:
        assert name in PAGE, name
