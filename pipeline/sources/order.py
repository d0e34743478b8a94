"""Whether records come in the order of their own time: those of one processor do, by its clock and by its numbers.

Rules of this file:
- of the kernel's records of what happens. What the snapshot finds is told in another order than it was found in, and
  what the source itself makes (a cgroup's may be either) has the source's time and numbers: neither is looked at;
- a record that is out of order is counted in ``disordered`` and applied all the same. It is whole, so it tells what
  happened; a birth left out would falsify every lineage below it, and an end left out would keep a process alive.
  The tree goes by the order of the stream. (A time that no host has is another matter: see ``decode``.)
- reasons: ``time``, earlier than the record before it on that processor, or than the first record of the stream, which
  is older than every probe; ``sequence``, a number that is no higher than the one before. Records of two processors may
  be exchanged by a microsecond, which is no reason. A gap in the numbers is a loss, which the kernel counts;
- a function of the stream alone: a replay counts the same. 0.2 us an event.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline import wire
from pipeline.counters import Counters
from pipeline.events import Event, Stamp

PROCESSORS_MAX = 8192  # CONFIG_NR_CPUS at most; a damaged record may name any other
IN_ORDER = frozenset(
    (
        *(wire.FORK, wire.EXEC, wire.EXIT, wire.THREAD_START, wire.THREAD_END, wire.RENAME),
        *(wire.CREDENTIALS, wire.SESSION, wire.NAMESPACES, wire.DIRECTORY),
    )
)
_NOTHING = Stamp(0, 0, -1, 0)


class Order:
    """Looks at what was decoded, batch by batch."""

    def __init__(self, counters: Counters) -> None:
        self._disordered = counters.disordered
        self._last: dict[int, Stamp] = {}  # by processor
        self._first = _NOTHING  # stands for the record before the first of a processor

    def look(self, events: Iterable[Event]) -> None:
        """Count what is out of order."""
        last, first, in_order = self._last, self._first, IN_ORDER
        for event in events:
            stamp = event[0]
            time_ns, cpu, sequence, kind = stamp
            if kind in in_order:
                before = last.get(cpu, first)
                if time_ns < before[0] or sequence <= before[2]:
                    self._disordered["time" if time_ns < before[0] else "sequence"] += 1
                if cpu in last or len(last) < PROCESSORS_MAX:
                    last[cpu] = stamp
            elif kind == wire.HOST:
                last.clear()
                first = self._first = Stamp(time_ns, 0, -1, kind)
