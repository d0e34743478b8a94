"""The last words of `run`, `record` and `replay`: what went through, what was lost, what waits to be mended."""

from __future__ import annotations

from collections import Counter

from pipeline.counters import Counters


def lines(counters: Counters, seconds: float) -> list[str]:
    """One line of figures, then one for each thing that went wrong; nothing else."""
    rate = counters.events / seconds if seconds > 0 else 0.0
    figures = (
        f"{counters.events:,} events, {counters.documents:,} documents, {counters.delivered:,} delivered, "
        f"{counters.lost():,} lost, {counters.retried:,} retried, {rate:,.0f} events/s over {seconds:,.1f} s"
    )
    out = [figures]
    for name, hint in (
        ("lost_records", "lost in the kernel's ring (raise ring_bytes)"),
        ("bad_records", "records that could not be decoded"),
        ("bad_transitions", "events that did not fit the tree"),
        ("refused", "documents refused for good"),
        ("dropped", "documents dropped"),
    ):
        value = getattr(counters, name)
        if isinstance(value, Counter) and value.total():
            reasons = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(value.items()))
            out.append(f"{value.total():,} {hint}: {reasons}")
    if counters.duplicates:
        out.append(f"{counters.duplicates:,} documents were there already")
    return out
