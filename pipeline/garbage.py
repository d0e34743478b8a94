"""When Python looks for garbage that refers to itself.

The tree and what leaves it make none (values that refer to older values), so that every look is at live objects: with
Python's own thresholds (700, 10, 10) 3 to 5 us an event and pauses up to 70 ms, and still 1 us with a look only once
in 50,000 new objects. What little the libraries leave is found all the same: once in EVERY_S by ``look_seldom``, a
pause of 0.2 s with 32768 processes, 0.4 s with sixteen versions of each; and sooner where a million objects have come
together (``LOOK_AT_OBJECTS``).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

EVERY_S = 60
LOOK_AT_OBJECTS = 1_000_000
"""New objects, less those that are gone again. A whole tree has a quarter of that."""


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Within it the collector works at LOOK_AT_OBJECTS alone, and not on what was there before."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(LOOK_AT_OBJECTS, 1, 1)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def look_seldom() -> None:
    """For ever."""
    while True:
        await anyio.sleep(EVERY_S)
        gc.collect()
