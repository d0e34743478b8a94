"""Every counter, and how large the tree is, in Prometheus's text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.api.problems import STATUS
from pipeline.counters import Counters
from pipeline.sources.ebpf.losses import NAMES

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REASONS = {"lost_records": tuple(NAMES.values()), "api_refused": ("connections", "no_request", *STATUS)}
"""Reasons that are known beforehand: they begin at 0, so that the first of them is seen to rise."""
NOW = frozenset({"outbox_bytes"})
"""Counters that say how much there is, and fall again."""

Sizes = Callable[[], dict[str, tuple[str, float]]]
"""Name of each gauge: its sentence, and what it is now."""


class Metrics(Collector):
    def __init__(self, counters: Counters, sizes: Sizes) -> None:
        self._counters = counters
        self._sizes = sizes
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """None beforehand: they are made when they are asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        for name, sentence in Counters.described().items():
            value = getattr(self._counters, name)
            if name in NOW:
                yield GaugeMetricFamily(f"lineage_{name}", sentence, value=value)
            elif isinstance(value, Counter):
                family = CounterMetricFamily(f"lineage_{name}", sentence, labels=["reason"])
                counts = dict.fromkeys(REASONS.get(name, ()), 0) | value
                for reason, count in sorted(counts.items(), key=str):
                    family.add_metric([str(reason)], count)
                yield family
            else:
                yield CounterMetricFamily(f"lineage_{name}", sentence, value=value)
        for name, (sentence, size) in self._sizes().items():
            yield GaugeMetricFamily(f"lineage_{name}", sentence, value=size)
