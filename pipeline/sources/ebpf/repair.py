"""After a loss: looks again at all that runs, in small steps, at a bounded rate.

Rules of this file:
- a repair begins when something was lost, and ``repair_interval_s`` after the one before at the
  earliest: a ring that overflows all the time costs one walk in that time, and no more;
- a walk that gets nowhere, on a host that is too busy for it, is given up and counted, and another one wanted: it has
  no mark at its end, so that nobody is taken to have ended for not having been found;
- at most STEPS_MAX tasks are told between two drains of the ring, so that the walk itself makes nothing overflow;
- what is found stands in the stream in its place among the events, between two marks (SNAPSHOT_BEGIN, SNAPSHOT_END).
"""

from __future__ import annotations

from pipeline.counters import Counters
from pipeline.sources.ebpf.snapshot import TooBusy, Walk, Walkable

STEPS_MAX = 64


class Repair:
    """``begin`` when it is time, and then ``step`` until ``walking`` is false again."""

    def __init__(self, program: Walkable, interval_s: float, counters: Counters) -> None:
        self._program = program
        self._counters = counters
        self._interval_ns = int(interval_s * 1e9)
        self._walk: Walk | None = None
        self._wanted = False
        self._ended_ns: int | None = None

    def __repr__(self) -> str:
        return f"<Repair {'walking' if self._walk else 'wanted' if self._wanted else 'idle'}>"

    @property
    def walking(self) -> bool:
        return self._walk is not None

    def want(self) -> None:
        """Something was lost. During a walk: another one after it, since this one may have passed it by."""
        self._wanted = True

    def begin(self, now_ns: int) -> bool:
        """Begin a walk if one is wanted and its time has come. True: the mark is to be told now."""
        if not self._wanted or self._walk is not None:
            return False
        if self._ended_ns is not None and now_ns - self._ended_ns < self._interval_ns:
            return False
        self._wanted = False
        self._walk = Walk(self._program)
        self._counters.repairs += 1
        return True

    def give_up(self) -> None:
        """The end has come: no walk is finished, and none begun."""
        self._walk, self._wanted = None, False

    def step(self, now_ns: int) -> bool:
        """Tell some more. True: that was all, and what it told is in the ring."""
        if self._walk is None:
            return False
        try:
            self._walk.steps(STEPS_MAX)
        except TooBusy:
            self._counters.repairs_given_up += 1
            self._walk, self._ended_ns, self._wanted = None, now_ns, True
            return False
        if not self._walk.ended:
            return False
        self._walk, self._ended_ns = None, now_ns
        return True
