"""The kernel's ring buffer, read where it lies.

Rules of this file:
- the headers are walked in the mapping itself, up to the first record that is still being written; only what lies
  before it is copied. (A copy first and a look after may hold a finished header over bytes that are not there yet.)
- the position of the reader is written once a batch, as one aligned 8-byte store, after the copies: from then on the
  kernel may use the room again;
- that order of loads and stores is a promise of x86-64 alone; elsewhere libbpf's ring_buffer does it.

Layout: kernel/bpf/ringbuf.c. Page 0 reader's position, page 1 writer's, then the data twice in a row, so that no
record is ever split.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
from typing import Protocol

from pipeline.errors import HostError

_BUSY = 1 << 31
_DISCARDED = 1 << 30
_LENGTH = _DISCARDED - 1
_HEADER_BYTES = 8


def unfinished() -> HostError:
    """A record was begun and, however long one looked, not finished."""
    return HostError("the kernel never finished a record", "please report this with `uname -r`")


class Ring(Protocol):
    def drain(self, records_max: int) -> list[bytes]:
        """Whole records, oldest first, at most about ``records_max``; empty when there are none."""
        ...

    def waiting(self) -> bool:
        """Whether there is something to drain, finished or still being written."""
        ...

    def written(self) -> int:
        """Where the next record will begin."""
        ...

    def has_passed(self, position: int) -> bool:
        """Whether every record from before that ``written`` has been drained."""
        ...

    def close(self) -> None: ...


class MappedRing:
    """For x86-64. Safe to make as root and use after privileges are gone."""

    def __init__(self, descriptor: int, size: int) -> None:
        page = mmap.PAGESIZE
        self._size = size
        self._reader = mmap.mmap(descriptor, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._writer = mmap.mmap(descriptor, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._read_to = memoryview(self._reader).cast("Q")
        self._written_to = memoryview(self._writer)[:8].cast("Q")
        self._words = memoryview(self._writer)[page:].cast("I")
        self._first = page + _HEADER_BYTES  # of the first record's bytes

    def waiting(self) -> bool:
        return self._read_to[0] != self._written_to[0]

    def written(self) -> int:
        return int(self._written_to[0])

    def has_passed(self, position: int) -> bool:
        return bool(self._read_to[0] >= position)

    def drain(self, records_max: int) -> list[bytes]:
        position, end = self._read_to[0], self._written_to[0]
        if position == end:
            return []
        data, words, mask, first = self._writer, self._words, self._size - 1, self._first
        records: list[bytes] = []
        while position < end and len(records) < records_max:
            at = position & mask
            header = words[at >> 2]
            if header & _BUSY:
                break
            length = header & _LENGTH
            if not header & _DISCARDED:
                records.append(data[at + first : at + first + length])
            position += length + _HEADER_BYTES + 7 & ~7
        self._read_to[0] = position
        return records

    def close(self) -> None:
        for view in (self._words, self._written_to, self._read_to):
            view.release()
        self._writer.close()
        self._reader.close()


_SampleCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class LibbpfRing:
    """For every other machine: a callback a record, several times the time."""

    def __init__(self, descriptor: int) -> None:
        try:
            self._library = ctypes.CDLL("libbpf.so.1", use_errno=True)
        except OSError as error:
            mend = "apt-get install libbpf1"
            raise HostError(f"reading the ring on {platform.machine()} needs libbpf.so.1", mend) from error
        self._library.ring_buffer__new.restype = ctypes.c_void_p
        self._library.ring_buffer__new.argtypes = (ctypes.c_int, _SampleCallback, ctypes.c_void_p, ctypes.c_void_p)
        self._library.ring_buffer__consume.argtypes = (ctypes.c_void_p,)
        self._library.ring_buffer__free.argtypes = (ctypes.c_void_p,)
        self._records: list[bytes] = []
        self._callback = _SampleCallback(self._take)  # kept: libbpf does not
        self._ring = self._library.ring_buffer__new(descriptor, self._callback, None, None)
        if not self._ring:
            raise HostError("libbpf cannot map the ring", "is memory short?")

    def _take(self, _context: int, data: int, length: int) -> int:
        self._records.append(ctypes.string_at(data, length))
        return 0

    def waiting(self) -> bool:
        self._library.ring_buffer__consume(self._ring)
        return bool(self._records)

    def written(self) -> int:
        return 0  # libbpf keeps its positions to itself

    def has_passed(self, position: int) -> bool:
        """Nearly: libbpf stops at a record that is still being written, as we do, and does not say so."""
        return not self.waiting()

    def drain(self, records_max: int) -> list[bytes]:
        if len(self._records) < records_max:
            self._library.ring_buffer__consume(self._ring)
        records = self._records[:records_max]
        del self._records[:records_max]
        return records

    def close(self) -> None:
        if self._ring:
            self._library.ring_buffer__free(self._ring)
            self._ring = None


def open_ring(descriptor: int, size: int) -> Ring:
    """Map the ring of ``size`` bytes in the way that is right on this machine."""
    return MappedRing(descriptor, size) if platform.machine() == "x86_64" else LibbpfRing(descriptor)
