"""Resident memory of a live agent that knows 1,000 processes, the ring included, and what it is made of.

Sleeping processes fill the host up to 1,000 before the agent starts, and their documents are delivered before it is
looked at. Then 3,000 execs fill its caches and its tree, in portions: the next begins when the last has been delivered,
so that what a slow server makes wait is not in the figure. The kernel's
own numbers (/proc/PID/smaps): RSS counts every resident page, also those of files that other processes share, and the
ring's twice, since it is mapped twice in a row; PSS counts a shared page in shares.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from pathlib import Path

from pipeline.bench.agent import NOWHERE, Agent
from pipeline.bench.base import CannotRun, Setting, not_run
from pipeline.bench.programs import storm_program
from pipeline.bench.trial import documents, namespace_of_our_own
from pipeline.config import MIB
from pipeline.view.figures import Figure

NAME = "memory"
GOAL_MIB = 100.0
KNOWN, KNOWN_QUICK = 1_000, 100
PORTION = 300  # execs
DOCUMENTS_AN_EXEC = 3
PORTIONS, PORTIONS_QUICK = 10, 1
DELIVERED_S = 30.0
LOOK_EVERY_S = 0.2
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+\s*(.*)$")
RING, HEAP, ANONYMOUS, FILES = "ring", "heap", "other memory of its own", "programs and libraries"


def steps(quick: bool) -> int:
    return 2


def run(setting: Setting) -> list[Figure]:
    setting.needs_root()
    figures = _figures(setting, NOWHERE, "to NDJSON")
    setting.step()
    try:
        setting.needs_elasticsearch()
        with namespace_of_our_own(setting.config) as namespace:
            figures += _figures(setting, "elasticsearch", "to Elasticsearch", namespace)
    except CannotRun as reason:
        figures.append(not_run(NAME, "RSS, to Elasticsearch", "MiB", reason))
    setting.step()
    return figures


def _figures(setting: Setting, sink: str, what: str, namespace: str | None = None) -> list[Figure]:
    wanted, portions = (KNOWN_QUICK, PORTIONS_QUICK) if setting.quick else (KNOWN, PORTIONS)
    with storm_program() as load:
        missing = wanted - sum(name.isdigit() for name in os.listdir("/proc"))
        if missing > 0:
            load.ask(f"hold {missing}")
        with Agent(setting, sink=sink, keys={"namespace": namespace}) as agent:
            known = agent.wait_until_ready()
            if namespace:
                _wait_for(setting, namespace, known)
            at_rest, _ = resident(agent.pid)
            for portion in range(1, portions + 1):
                load.ask(f"storm {PORTION}")
                if namespace:
                    _wait_for(setting, namespace, known + DOCUMENTS_AN_EXEC * PORTION * portion)
            rss, pss = resident(agent.pid)
    mib = {part: size / MIB for part, size in rss.items()}
    note = f"and {portions * PORTION:,} execs later"
    return [
        Figure(NAME, f"RSS, {what}", sum(at_rest.values()) / MIB, "MiB", GOAL_MIB, note=f"{known:,} processes known"),
        Figure(NAME, f"RSS, {what}, later", sum(mib.values()), "MiB", note=note),
        Figure(NAME, f"PSS, {what}, later", sum(pss.values()) / MIB, "MiB"),
        *(Figure(NAME, f"RSS, {what}, later: {part}", size, "MiB") for part, size in mib.items()),
    ]


def _wait_for(setting: Setting, namespace: str, count: int) -> None:
    """Until so many documents can be found. Raises CannotRun when they cannot within DELIVERED_S."""
    deadline = time.monotonic() + DELIVERED_S
    while (found := documents(setting.config, namespace)) < count:
        if time.monotonic() > deadline:
            raise CannotRun(f"Elasticsearch took {found:,} of {count:,} documents within {DELIVERED_S:.0f} s")
        time.sleep(LOOK_EVERY_S)


def resident(pid: int) -> tuple[Counter[str], Counter[str]]:
    """RSS and PSS in bytes by what is mapped. Raises OSError when the process is gone."""
    rss: Counter[str] = Counter()
    pss: Counter[str] = Counter()
    part = ""
    for line in Path(f"/proc/{pid}/smaps").read_text(errors="replace").splitlines():
        if mapping := _MAPPING.match(line):
            part = _part(mapping[1])
        elif line.startswith(("Rss:", "Pss:")):
            size = int(line.split()[1]) * 1024
            (rss if line.startswith("Rss:") else pss)[part] += size
    return rss, pss


def _part(name: str) -> str:
    if "bpf" in name:
        return RING
    if name == "[heap]":
        return HEAP
    return FILES if name.startswith("/") else ANONYMOUS
