"""What a benchmark is and what it is given.

Rules for every benchmark: bounded in time and in what it starts; all that it starts is ended by it; what it needs is
checked first, and when that is missing it raises ``CannotRun`` with the reason in a few words; it never asserts on
speed, it only tells figures. ``quick`` makes it short: enough to see that it works, too little to be quoted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pipeline.config import Config
from pipeline.errors import LineageError
from pipeline.view.figures import Figure


class CannotRun(LineageError):  # noqa: N818 - a state of this host, not a mistake
    """This host lacks what a benchmark needs."""


class Setting(NamedTuple):
    """Where a benchmark runs."""

    config: Config
    folder: Path  # scratch, removed afterwards
    quick: bool = False
    step: Callable[[], None] = lambda: None  # called once for each of the benchmark's steps, for the progress bar

    def needs_root(self) -> None:
        if os.geteuid() != 0:
            raise CannotRun("needs root", "run it with sudo")

    def needs_elasticsearch(self) -> None:
        if not self.config.elasticsearch.url:
            raise CannotRun("needs an Elasticsearch", "set ELASTICSEARCH_URL")


class Benchmark(NamedTuple):
    """``steps`` is how often ``run`` calls ``Setting.step``, by ``quick``."""

    name: str
    about: str
    steps: Callable[[bool], int]
    run: Callable[[Setting], Sequence[Figure]]


def not_run(benchmark: str, figure: str, unit: str, reason: LineageError) -> Figure:
    """In place of a figure that this host cannot give."""
    return Figure(benchmark, figure, None, unit, note=f"not run: {reason}")


def cores() -> tuple[int, int]:
    """A core for the load and one for the agent; the same one where there is no other."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """What is started inside runs on that core and stays there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
