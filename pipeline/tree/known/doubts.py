"""What makes a lineage doubtful, as bits inside and as ``lineage.doubt`` outside.

A chain through a doubtful edge is doubtful as well: all but CUT, which is about a process's own strings, are handed
down from parent to child. ``lineage.complete`` is another matter: a chain may reach pid 1 over a doubtful edge.
"""

from __future__ import annotations

CUT = 1  # a string of the process's own image was longer than a record carries
EVICTED = 2  # the birth parent was known once and forgotten for want of room
LOSS = 4  # records were lost, and what is missing here may be among them
SNAPSHOT = 8  # found running below an init or a subreaper, which may have adopted it
UNKNOWN_PARENT = 16  # nobody told of its birth, or of the parent that gave birth to it

_NAMES = ("cut", "evicted", "loss", "snapshot", "unknown_parent")

WORDS: tuple[tuple[str, ...], ...] = tuple(
    tuple(name for bit, name in enumerate(_NAMES) if mask >> bit & 1) for mask in range(1 << len(_NAMES))
)
"""Sorted words of each set of bits."""
