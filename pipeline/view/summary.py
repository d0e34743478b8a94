"""The last words of `run`, `record` and `replay`: what went through, what was lost, what waits to be mended."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

from pipeline.counters import Counters

TOLD_FIRST = frozenset({"records", "events", "documents", "delivered", "retried", "outbox_bytes"})
LOST = {
    "lost_records": "lost in the kernel's ring (raise ring_bytes)",
    "bad_records": "records that could not be decoded",
    "disordered": "records out of order, applied all the same",
    "bad_transitions": "events that did not fit the tree",
    "refused": "documents refused for good",
    "dropped": "documents dropped",
}


def lines(counters: Counters, seconds: float) -> list[str]:
    """One line of figures, one for each thing that has reasons, and one with every other counter that is not 0."""
    rate = counters.events / seconds if seconds > 0 else 0.0
    figures = (
        f"{counters.events:,} events, {counters.documents:,} documents, {counters.delivered:,} delivered, "
        f"{counters.lost():,} lost, {counters.retried:,} retried, {rate:,.0f} events/s over {seconds:,.1f} s"
    )
    out = [figures]
    others = []
    for name in (field.name for field in fields(counters)):
        value = getattr(counters, name)
        if isinstance(value, Counter):
            if value.total():
                reasons = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(value.items()))
                out.append(f"{value.total():,} {LOST.get(name, name)}: {reasons}")
        elif value and name not in TOLD_FIRST:
            others.append(f"{name} {value:,}")
    if others:
        out.append(", ".join(others))
    return out
