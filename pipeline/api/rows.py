"""An answer about many: made row by row as it is sent, bounded, and it says how many had no room.

Rules of this file:
- What does not fit costs time as well: what was looked at and is no row comes as None, and whoever takes the rows may
  pause there. So do those that have no room: they are counted, and not described.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import orjson

from pipeline.api.answers import Fields
from pipeline.tree import KTHREADD_PID, ProcessAnswer

LOOKS_A_PIECE = 256
"""3 to 10 us each."""

PIECE_BYTES_MAX = 65_536
"""A piece ends with the row that reaches it. The longest argument list makes one of half a million: 5 ms."""

One = TypeVar("One")


class Rows(NamedTuple, Generic[One]):
    """``head`` once, then as many of ``found`` as an answer may have, as ``describe`` tells each, under ``name``.

    ``tail``: what is known when all were looked at.
    """

    head: Fields
    name: str
    found: Iterator[One | None]
    describe: Callable[[One], Fields]
    tail: Callable[[], Fields] = dict


class Piece(NamedTuple):
    rows: list[bytes]  # each as JSON
    missing: int  # so many were found since the piece before for which the answer has no room


def pieces(rows: Rows[Any], rows_max: int, size: int) -> Iterator[Piece]:
    """At most ``rows_max`` rows, at most ``size`` at a time, and less where they have PIECE_BYTES_MAX, or LOOKS_A_PIECE
    were looked at for them."""
    left, looks, missing, bytes_ = rows_max, 0, 0, 0
    some: list[bytes] = []
    for one in rows.found:
        looks += 1
        if one is not None and left:
            some.append(orjson.dumps(rows.describe(one)))
            bytes_ += len(some[-1])
            left -= 1
        elif one is not None:
            missing += 1
        if len(some) == size or bytes_ >= PIECE_BYTES_MAX or looks == LOOKS_A_PIECE:
            yield Piece(some, missing)
            some, looks, missing, bytes_ = [], 0, 0, 0
    yield Piece(some, missing)


class WithoutKernelThreads:
    """Those of ``found`` that are no kernel threads, and kthreadd; ``count``: how many were left out so far."""

    def __init__(self, found: Iterable[ProcessAnswer | None]) -> None:
        self._found = found
        self.count = 0

    def __iter__(self) -> Iterator[ProcessAnswer | None]:
        for one in self._found:
            if one is not None and one.process.kernel_thread and one.process.pid != KTHREADD_PID:
                self.count += 1
                yield None
            else:
                yield one
