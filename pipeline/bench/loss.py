"""Records lost in a storm of 20,000 execs with a small ring of 512 KiB.

One load maker on every core, none of them pinned, so that they compete with the agent as a real storm does. Lost is
what the kernel counted and the agent told; that every exec became a document is counted as well, in the file it wrote.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import orjson

from pipeline.bench.agent import Agent
from pipeline.bench.base import Setting, cores
from pipeline.bench.processes import cpu_s
from pipeline.bench.programs import storm_program
from pipeline.view.figures import Figure

NAME = "loss"
EXECS, EXECS_QUICK = 20_000, 1_000
RING_BYTES = 512 * 1024


def steps(quick: bool) -> int:
    return 1


def run(setting: Setting) -> list[Figure]:
    setting.needs_root()
    execs = EXECS_QUICK if setting.quick else EXECS
    makers = len(set(cores()))
    file = setting.folder / "loss.ndjson"
    with ExitStack() as stack:
        storms = [stack.enter_context(storm_program()) for _ in range(makers)]
        with Agent(setting, sink=f"ndjson:{file}", keys={"ring_bytes": RING_BYTES}) as agent:
            agent.wait_until_ready()
            before_s = cpu_s(agent.pid)
            for storm in storms:
                storm.tell(f"storm {execs // makers}")
            wall_s = max(storm.answer()["wall_s"] for storm in storms)
            cpu_us = (cpu_s(agent.pid) - before_s) * 1e6
            summary = agent.end()
        documents = _execs_below(file, {storm.pid for storm in storms})
    setting.step()
    note = f"{makers} at a time, {execs / wall_s:,.0f} execs/s, ring of {RING_BYTES // 1024} KiB"
    return [
        Figure(NAME, "lost records", float(summary.lost), "records", 0.0, note=note),
        Figure(NAME, "execs without a document", float(execs - documents), "execs", 0.0, note=f"of {execs:,}"),
        Figure(
            NAME, "the agent's CPU meanwhile", cpu_us / summary.events, "us/event", note=f"{summary.events:,} events"
        ),
    ]


def _execs_below(file: Path, parents: set[int]) -> int:
    """Documents of an exec whose birth parent is one of the load makers."""
    found = 0
    with file.open("rb") as lines:
        for line in lines:
            document = orjson.loads(line)
            if document["event"]["action"] == "exec":
                found += document["process"].get("parent", {}).get("pid") in parents
    return found
