"""All benchmarks, in the order they run: first those that need nothing, then the live ones."""

from __future__ import annotations

from pipeline.bench import (
    accuracy,
    beside,
    burst,
    deliver,
    latency,
    loss,
    memory,
    replay,
    stages,
    startup,
    storm,
    tree,
)
from pipeline.bench.base import Benchmark

BENCHMARKS = tuple(
    Benchmark(module.NAME, (module.__doc__ or "").partition("\n")[0], module.steps, module.run)
    for module in (stages, tree, replay, deliver, startup, storm, beside, accuracy, burst, loss, memory, latency)
)
