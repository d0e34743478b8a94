"""Right lineages where they are hardest to get: chains of three whose every ancestor is gone before the last exec.

``chains_program`` makes them one after the other, and knows the truth: it reaped them. The live agent writes documents
to a file. An exec of ``third`` is right in its parent when ``process.parent`` is ``second`` with the right pid, and
right in its whole lineage when the pids of all ancestors, up to pid 1, are the true ones, the names of those in the
chain too, and ``lineage.complete`` is set. A chain without a document counts as wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import orjson

from pipeline.bench.agent import Agent
from pipeline.bench.base import Setting
from pipeline.bench.processes import ancestors_of
from pipeline.bench.programs import load_maker
from pipeline.view.figures import Figure

NAME = "accuracy"
CHAINS, CHAINS_QUICK = 1_500, 100
PART = 100  # chains a step of the progress bar
GOAL_PERCENT = 100.0
ARROW = " → "


class Chain(NamedTuple):
    """The truth about one chain, by pid."""

    first: int
    second: int
    third: int


def steps(quick: bool) -> int:
    return (CHAINS_QUICK if quick else CHAINS) // PART


def run(setting: Setting) -> list[Figure]:
    setting.needs_root()
    count = CHAINS_QUICK if setting.quick else CHAINS
    file = setting.folder / "accuracy.ndjson"
    links = setting.folder / "chains"
    links.mkdir()
    chains: list[Chain] = []
    with Agent(setting, sink=f"ndjson:{file}") as agent:
        agent.wait_until_ready()
        with load_maker("chains_program.py", str(links), str(count)) as maker:
            above = [maker.pid, *ancestors_of(maker.pid)]
            for number in range(count):
                chains.append(Chain(**maker.answer()))
                if number % PART == PART - 1:
                    setting.step()
        summary = agent.end()
    parents, lineages = judged(chains, _thirds(file, {chain.third for chain in chains}), above)
    note = f"{count:,} chains, every ancestor reaped before the last exec; {summary.lost:,} records lost"
    return [
        Figure(NAME, "right birth parent", parents / count * 100, "%", GOAL_PERCENT, at_least=True, note=note),
        Figure(NAME, "whole right lineage", lineages / count * 100, "%", GOAL_PERCENT, at_least=True),
    ]


def judged(chains: list[Chain], documents: dict[int, dict[str, Any]], above: list[int]) -> tuple[int, int]:
    """How many chains have the right birth parent, and how many the whole right lineage."""
    parents = lineages = 0
    for chain in chains:
        document = documents.get(chain.third)
        if document is None:
            continue
        parent = document["process"].get("parent", {})
        if (parent.get("pid"), parent.get("name")) != (chain.second, "second"):
            continue
        parents += 1
        told = document["lineage"]
        right = told.get("ancestors", {}).get("pid") == [chain.second, chain.first, *above]
        lineages += right and told["complete"] and told["chain"].split(ARROW)[-3:] == ["first", "second", "third"]
    return parents, lineages


def _thirds(file: Path, pids: set[int]) -> dict[int, dict[str, Any]]:
    """Documents of the last execs, by pid."""
    found: dict[int, dict[str, Any]] = {}
    with file.open("rb") as lines:
        for line in lines:
            if b'"name":"third"' not in line:
                continue
            document = orjson.loads(line)
            process = document["process"]
            if document["event"]["action"] == "exec" and process["name"] == "third" and process["pid"] in pids:
                found[process["pid"]] = document
    return found
