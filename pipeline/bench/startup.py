"""How long `lineage run` takes to see its first event and to be ready, and what the loader costs while it is there.

One true(1) after the other is started from the beginning on, each with a number of its own: the first of them that has
a document of its exec is the first event, and none after it may be without. Ready is when the snapshot has been told:
from then on every lineage is whole. The loader is the agent's child that has the compiler in it; it is seen as soon as
it is there and looked at until it is gone, so that its last peak is its peak.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import orjson

from pipeline.bench.agent import Agent
from pipeline.bench.base import CannotRun, Setting
from pipeline.bench.programs import storm_program
from pipeline.config import MIB
from pipeline.view.figures import Figure

NAME = "startup"
ROUNDS, ROUNDS_QUICK = 5, 1
LOOK_EVERY_S = 0.005
EXEC_EVERY_S = 0.01
EXECS_AFTER_READY = 10
WORD = "lineage-bench-"  # argument of a true(1), with its number


class Seen(NamedTuple):
    first_s: float
    ready_s: float
    cpu_s: float
    loader_s: float
    loader_bytes: int
    missed: int  # execs after the first that was seen


def steps(quick: bool) -> int:
    return ROUNDS_QUICK if quick else ROUNDS


def run(setting: Setting) -> list[Figure]:
    setting.needs_root()
    rounds = []
    for number in range(steps(setting.quick)):
        rounds.append(_start(setting, setting.folder / f"startup-{number}.ndjson"))
        setting.step()
    first, ready, cpu, loader, memory, _ = (statistics.median(values) for values in zip(*rounds, strict=True))
    missed = float(sum(each.missed for each in rounds))
    note = f"median of {len(rounds)}, slowest {{:.2f}}"
    return [
        Figure(NAME, "start to first event", first, "s", note=note.format(max(each.first_s for each in rounds))),
        Figure(NAME, "execs missed after that", missed, "execs", 0.0, note="of all rounds"),
        Figure(NAME, "start to ready", ready, "s", note=note.format(max(each.ready_s for each in rounds))),
        Figure(NAME, "CPU from start to end, loader included", cpu, "s"),
        Figure(NAME, "loader: compile, attach, hand over", loader, "s"),
        Figure(NAME, "loader: peak memory, gone with it", memory / MIB, "MiB"),
    ]


def _start(setting: Setting, file: Path) -> Seen:
    execs_s: list[float] = []
    with storm_program() as load, Agent(setting, sink=f"ndjson:{file}") as agent:
        watcher = _Watcher(agent.pid)
        watcher.start()
        try:
            ready_s = None
            while ready_s is None:
                execs_s.append(load.ask(f"mark {WORD}{len(execs_s)}")["at_s"] - agent.began_s)
                if agent.ready_within(EXEC_EVERY_S) is not None:
                    ready_s = time.monotonic() - agent.began_s
        finally:
            watcher.end()
        for _ in range(EXECS_AFTER_READY):
            execs_s.append(load.ask(f"mark {WORD}{len(execs_s)}")["at_s"] - agent.began_s)
        summary = agent.end()
    if not watcher.peak_bytes:
        raise CannotRun("the loader was not seen", "this kernel does not list children (CONFIG_PROC_CHILDREN)")
    first, missed = first_and_missed(told_execs(file), len(execs_s))
    return Seen(execs_s[first], ready_s, summary.cpu_s, watcher.last_s - watcher.first_s, watcher.peak_bytes, missed)


def told_execs(file: Path) -> set[int]:
    """Numbers of the execs that have a document."""
    told: set[int] = set()
    with file.open("rb") as lines:
        for line in lines:
            if WORD.encode() in line:
                document = orjson.loads(line)
                if document["event"]["action"] == "exec":
                    told.add(int(document["process"]["args"][-1].removeprefix(WORD)))
    return told


def first_and_missed(told: Collection[int], execs: int) -> tuple[int, int]:
    """Which exec was told first, and how many after it were not. Raises CannotRun when none was."""
    if not told:
        raise CannotRun(f"none of {execs} execs was told")
    return min(told), execs - min(told) - len(told)


class _Watcher(threading.Thread):
    """Looks at the children of a process until told to end."""

    def __init__(self, parent: int) -> None:
        super().__init__(daemon=True)
        self.first_s = self.last_s = 0.0
        self.peak_bytes = 0
        self._children = Path(f"/proc/{parent}/task/{parent}/children")
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            with suppress(OSError):  # gone between two looks
                for pid in self._children.read_text().split():
                    self._look(pid)

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _look(self, pid: str) -> None:
        for line in Path(f"/proc/{pid}/status").read_bytes().split(b"\n"):
            if line.startswith(b"VmHWM:"):
                now = time.monotonic()
                self.first_s = self.first_s or now
                self.last_s = now
                self.peak_bytes = max(self.peak_bytes, int(line.split()[1]) * 1024)
