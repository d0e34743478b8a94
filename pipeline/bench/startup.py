"""How long `lineage run` takes to be ready, and what the loader costs while it is there.

Ready is when the snapshot has been told: from then on every lineage is whole. The loader is the agent's child that has
the compiler in it; it is seen as soon as it is there and looked at until it is gone, so that its last peak is its peak.
"""

from __future__ import annotations

import statistics
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pipeline.bench.agent import Agent
from pipeline.bench.base import CannotRun, Setting
from pipeline.config import MIB
from pipeline.view.figures import Figure

NAME = "startup"
ROUNDS, ROUNDS_QUICK = 5, 1
LOOK_EVERY_S = 0.005


class Seen(NamedTuple):
    ready_s: float
    cpu_s: float
    loader_s: float
    loader_bytes: int


def steps(quick: bool) -> int:
    return ROUNDS_QUICK if quick else ROUNDS


def run(setting: Setting) -> list[Figure]:
    setting.needs_root()
    rounds = []
    for _ in range(steps(setting.quick)):
        rounds.append(_start(setting))
        setting.step()
    ready, cpu, loader, memory = (statistics.median(values) for values in zip(*rounds, strict=True))
    slowest = max(each.ready_s for each in rounds)
    return [
        Figure(NAME, "start to ready", ready, "s", note=f"median of {len(rounds)}, slowest {slowest:.2f}"),
        Figure(NAME, "CPU from start to end, loader included", cpu, "s"),
        Figure(NAME, "loader: compile, attach, hand over", loader, "s"),
        Figure(NAME, "loader: peak memory, gone with it", memory / MIB, "MiB"),
    ]


def _start(setting: Setting) -> Seen:
    with Agent(setting) as agent:
        watcher = _Watcher(agent.pid)
        watcher.start()
        try:
            agent.wait_until_ready()
            ready_s = time.monotonic() - agent.began_s
        finally:
            watcher.end()
        summary = agent.end()
    if not watcher.peak_bytes:
        raise CannotRun("the loader was not seen", "this kernel does not list children (CONFIG_PROC_CHILDREN)")
    return Seen(ready_s, summary.cpu_s, watcher.last_s - watcher.first_s, watcher.peak_bytes)


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
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                now = time.monotonic()
                self.first_s = self.first_s or now
                self.last_s = now
                self.peak_bytes = max(self.peak_bytes, int(line.split()[1]) * 1024)
