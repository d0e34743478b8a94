"""Each benchmark in its quick form: it must give its figures, in their units; how fast is no matter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.bench.base import Benchmark, Setting
from pipeline.bench.registry import BENCHMARKS
from pipeline.config import Config, load
from pipeline.view.figures import Figure

Measured = dict[str, Figure]
Measure = Callable[..., Measured]


def benchmark_of(name: str) -> Benchmark:
    (found,) = (each for each in BENCHMARKS if each.name == name)
    return found


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Config:
    for name in ("ELASTICSEARCH_URL", "LINEAGE_ELASTICSEARCH__URL"):
        monkeypatch.delenv(name, raising=False)
    return load()


@pytest.fixture
def measure(config: Config, tmp_path: Path) -> Measure:
    """Run one, by its name; its figures by their names. Its steps must be those it said."""

    def measured(name: str, url: str | None = None) -> Measured:
        own = config
        if url:
            own = load({"elasticsearch": {"url": url}})
        taken: list[None] = []
        benchmark = benchmark_of(name)
        figures = benchmark.run(Setting(own, tmp_path, quick=True, step=lambda: taken.append(None)))
        assert len(taken) == benchmark.steps(True)
        assert {figure.benchmark for figure in figures} == {name}
        assert len({figure.figure for figure in figures}) == len(figures)
        return {figure.figure: figure for figure in figures}

    return measured
