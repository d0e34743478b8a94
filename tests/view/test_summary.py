"""The summary names everything that went wrong, and nothing that did not."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

from pipeline.counters import Counters
from pipeline.view import summary


def test_a_run_without_trouble_is_one_line() -> None:
    counters = Counters(records=110, events=100, documents=90, delivered=90)
    assert summary.lines(counters, 10.0) == [
        "100 events, 90 documents, 90 delivered, 0 lost, 0 retried, 10 events/s over 10.0 s"
    ]


def test_every_counter_that_is_not_0_is_told_somewhere() -> None:
    for name in (field.name for field in fields(Counters)):
        if name in ("records", "outbox_bytes"):
            continue  # more than events only with bad_records, which is told; 0 at the end
        counters = Counters()
        if isinstance(getattr(counters, name), Counter):
            getattr(counters, name)["some reason"] = 7
        else:
            setattr(counters, name, 7)
        assert any("7" in line for line in summary.lines(counters, 1.0)), name
