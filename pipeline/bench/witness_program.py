"""The agent as `lineage run` puts it together, and it answers what its tree says: asked by the benchmarks.

Rules of this file:
- source, tree, enrichment and outbox are the agent's own, and so is the order of its start: what needs root first, all
  imports done, then every privilege dropped, then the first record. Documents go to /dev/null;
- execs are noted as the flow tells them, with the parent they have in the tree at that moment;
- one command a line on standard input, one JSON line as the answer. It ends with its input.

    (ready)     {"ready": PROCESSES}, unasked, once the snapshot has been told
    last        {"last": N}          the highest number that an exec had, -1 before the first
    counters    {"events": ..., "lost": ..., "bad": {REASON: ...}}       bad: records and events that did not fit
    execs       {"execs": [[N, PARENT, PARENT_START_NS], ...]}       execs with the argument WORDn
    alive       {"alive": [[PID, START_NS, PRESENT_PARENT], ...]}       0: no parent

    python -m pipeline.bench.witness_program WORD
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - what the sink's writing would import when privileges are gone
import gc
import json
import os
import sys
import traceback  # noqa: F401 - the same, for an error
from collections.abc import Callable
from typing import Any

import anyio

from pipeline.clock import SystemClock
from pipeline.config import Config, load
from pipeline.counters import Counters
from pipeline.enrich import Describer
from pipeline.errors import LineageError
from pipeline.events import Exec
from pipeline.flow import Flow
from pipeline.garbage import seldom_collecting
from pipeline.process import ProcessVersion
from pipeline.sinks import open_sink
from pipeline.sinks.outbox import open_outbox
from pipeline.sources.ebpf import EbpfSource, privileges
from pipeline.tree import ProcessTree
from pipeline.view import notices

_COMMAND_BYTES = 4096


class Witness:
    """Put together as root; ``run`` until its input ends."""

    def __init__(self, config: Config, word: str) -> None:
        self._account = config.account
        self._word = word
        self._execs: list[tuple[int, int, int]] = []
        self._counters = counters = Counters()
        self._outbox = open_outbox(open_sink("ndjson:/dev/null", config, counters), config, counters)
        self._source = EbpfSource.prepare(config, counters, SystemClock())
        self._tree = ProcessTree(config.processes_max, config.threads_max, counters)
        self._flow = Flow(
            self._source,
            self._tree,
            Describer(config.namespace, config.mask_patterns, counters),
            self._outbox,
            counters,
            shutdown_s=config.shutdown_s,
            watch=self._watch,
            ready=self._ready,
        )
        self._answers: dict[str, Callable[[], Any]] = {
            "last": lambda: max((number for number, _, _ in self._execs), default=-1),
            "execs": lambda: self._execs,
            "alive": self._alive,
        }

    async def run(self) -> None:
        privileges.drop(self._account)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen)
                await self._flow.run()
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._source.aclose()
                await self._outbox.aclose()

    def _ready(self) -> None:
        gc.freeze()  # as the agent does
        _say({"ready": len(self._tree)})

    def _watch(self, event: Exec, process: ProcessVersion) -> None:
        args = event.args
        if len(args) == 2 and args[1].startswith(self._word):
            parent = process.parent
            number = int(args[1].removeprefix(self._word))
            self._execs.append((number, parent.pid, parent.start_ns) if parent else (number, 0, 0))

    def _alive(self) -> list[tuple[int, int, int]]:
        return [(each.pid, each.start_ns, present_parent(each)) for each in self._tree.alive()]

    async def _listen(self) -> None:
        said = b""
        while True:
            await anyio.wait_readable(0)
            more = os.read(0, _COMMAND_BYTES)
            if not more:
                self._source.finish()
                return
            *commands, said = (said + more).split(b"\n")
            for command in map(bytes.decode, commands):
                _say(self._counted() if command == "counters" else {command: self._answers[command]()})

    def _counted(self) -> dict[str, Any]:
        counters = self._counters
        bad = counters.bad_records + counters.bad_transitions
        return {"events": counters.events, "lost": counters.lost(), "bad": bad}


def present_parent(process: ProcessVersion) -> int:
    """Who the tree says is its parent now: the reaper where it was adopted, else the one that gave birth to it."""
    parent = process.reaper or process.parent
    return parent.pid if parent else 0


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - its one way to answer


def main() -> None:
    notices.configure()
    try:
        witness = Witness(load(), sys.argv[1])
    except LineageError as error:
        raise SystemExit(str(error)) from error
    with seldom_collecting():
        anyio.run(witness.run)


if __name__ == "__main__":
    main()
