"""A recording: a source's whole output in a file, and that file as a source again.

Layout: 16 bytes of header (magic, format version, wire version), then one zstd frame with a checksum, holding of each
record its length and then the record just as the source gave it, whatever that says of itself: a damaged record comes
back as it was, and so do those behind it. The first is LINEAGE_HOST. The frame is flushed every FLUSH_EVERY_BYTES,
whenever ``flush`` is called and at the end, so that a recorder that was killed leaves all but the last moments
readable. Reading gives every whole record there is, and only then the error that the file was cut.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

import anyio
import anyio.lowlevel
import zstandard

from pipeline.errors import RecordingError
from pipeline.sources.base import Batch
from pipeline.wire import EXEC, EXIT, FORK, SNAPSHOT_END, WIRE_VERSION

MAGIC = b"LINEAGE\n"
FORMAT_VERSION = 2
HEADER = struct.Struct("<8sHH4x")
FLUSH_EVERY_BYTES = 1024 * 1024
READ_BYTES = 32 * 1024
BATCH_RECORDS_MAX = 256  # with 1024 a replay is 3 % slower: the documents of a batch no longer lie in the cache
_SIZE = struct.Struct("<I")
_KIND = struct.Struct("<4xH")
_DOCUMENTED = frozenset(struct.pack("<H", kind) for kind in (FORK, EXEC, EXIT, SNAPSHOT_END))
"""Kinds that documents are made of: what ran before has its documents at the end of the snapshot, not before."""
_RECORD_MAX_BYTES = 1024 * 1024  # a kernel's has 64 KiB at most, the host's some more


def kind_of(record: bytes) -> int:
    """enum lineage_kind of a whole record."""
    kind: int = _KIND.unpack_from(record)[0]
    return kind


class Recorder:
    """Writes a recording. Local files only, in small pieces: the loop is not held up for longer than a page write."""

    def __init__(self, path: Path) -> None:
        if path.is_file() and path.stat().st_size:
            raise RecordingError(f"{path} is there already", "a recording is evidence: name another file, or remove it")
        try:
            # Its command lines are not masked yet: for nobody but its maker to read.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            self._file: BinaryIO = os.fdopen(descriptor, "wb")
        except OSError as error:
            raise RecordingError(
                f"cannot write {path}: {error.strerror}", "name a file in a writable folder"
            ) from error
        self.path = path
        self.records = 0
        self.bytes = 0
        self._unflushed_bytes = 0
        self._compress = zstandard.ZstdCompressor(level=3, write_checksum=True).compressobj()
        self._put(HEADER.pack(MAGIC, FORMAT_VERSION, WIRE_VERSION))

    def write(self, batch: Batch) -> None:
        """Append whole records. Raises RecordingError when the disk does not take them."""
        plain = b"".join([part for record in batch for part in (_SIZE.pack(len(record)), record)])
        self._put(self._compress.compress(plain))
        self.records += len(batch)
        self._unflushed_bytes += len(plain)
        if self._unflushed_bytes >= FLUSH_EVERY_BYTES:
            self.flush()

    def flush(self) -> None:
        """Make what was written so far readable, whatever becomes of this process."""
        if self._unflushed_bytes:
            self._put(self._compress.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK), through=True)
            self._unflushed_bytes = 0

    def close(self) -> None:
        if self._file.closed:
            return
        try:
            self._put(self._compress.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH))
        finally:
            try:
                self._file.close()  # writes what is buffered, and closes even if that fails
            except OSError as error:
                raise self._disk(error) from error

    def _put(self, data: bytes, *, through: bool = False) -> None:
        try:
            self._file.write(data)
            if through:
                self._file.flush()
        except OSError as error:
            raise self._disk(error) from error
        self.bytes += len(data)

    def _disk(self, error: OSError) -> RecordingError:
        return RecordingError(
            f"{self.path} takes no more: {error.strerror}",
            "what was flushed before is readable; make room and record again",
        )


class RecordingSource:
    """Reads a recording, in batches of at most BATCH_RECORDS_MAX records."""

    groups: tuple[int, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: BinaryIO = path.open("rb")
            self.size_bytes = path.stat().st_size
            head = self._file.read(HEADER.size)
        except OSError as error:
            raise RecordingError(
                f"cannot read {path}: {error.strerror}", "name a recording made by `lineage record`"
            ) from error
        self.position_bytes = len(head)
        try:
            _refuse_foreign(path, head)
        except RecordingError:
            self._file.close()
            raise
        self._decompress = zstandard.ZstdDecompressor().decompressobj()
        self._rest = b""
        self._records = 0
        self._documented = False
        self._finished = False

    async def run(self) -> None:
        """Nothing: all that there is, is in the file."""

    async def receive(self) -> Batch:
        # A local file is read faster than a thread is woken; the checkpoint lets the sink's tasks run in between.
        await anyio.lowlevel.checkpoint()
        while not self._finished:
            batch = self._whole_records()
            if batch:
                self._records += len(batch)
                self._documented = self._documented or any(record[4:6] in _DOCUMENTED for record in batch)
                return batch
            self._read_on()
        raise anyio.EndOfStream

    def finish(self) -> None:
        self._finished = True

    async def aclose(self) -> None:
        self._file.close()

    def _read_on(self) -> None:
        if self._decompress.eof:
            if self._rest:
                raise self._cut("its last record is not whole")
            self._finished = True
            return
        try:
            chunk = self._file.read(READ_BYTES)
            plain = self._decompress.decompress(chunk) if chunk else b""
        except OSError as error:
            raise RecordingError(f"cannot read on in {self.path}: {error.strerror}", "check the disk") from error
        except zstandard.ZstdError as error:
            raise RecordingError(
                f"{self.path} is damaged after {self._records} records ({error})",
                f"{self._what_is_delivered()}; copy the file again",
            ) from error
        if not chunk:
            raise self._cut("the file ends in the middle")
        self.position_bytes += len(chunk)
        self._rest += plain

    def _whole_records(self) -> Batch:
        batch: Batch = []
        rest, at = self._rest, 0
        while len(rest) - at >= _SIZE.size and len(batch) < BATCH_RECORDS_MAX:
            (size,) = _SIZE.unpack_from(rest, at)
            if size > _RECORD_MAX_BYTES:
                if batch:
                    break  # hand over what is whole; the next call says what is wrong
                raise RecordingError(
                    f"{self.path} is damaged after {self._records} records (a record of {size} bytes)",
                    f"{self._what_is_delivered()}; record again",
                )
            end = at + _SIZE.size + size
            if end > len(rest):
                break
            batch.append(rest[at + _SIZE.size : end])
            at = end
        self._rest = rest[at:]
        return batch

    def _cut(self, how: str) -> RecordingError:
        return RecordingError(
            f"{self.path} is cut after {self._records} records: {how}",
            f"{self._what_is_delivered()}; record again",
        )

    def _what_is_delivered(self) -> str:
        if self._documented:
            return "those before are delivered"
        return "the snapshot of what ran is not whole, and without it there are no documents"


def _refuse_foreign(path: Path, head: bytes) -> None:
    if len(head) < HEADER.size or not head.startswith(MAGIC):
        raise RecordingError(f"{path} is no recording of lineage", "name a file made by `lineage record`")
    _, version, wire = HEADER.unpack(head)
    if (version, wire) != (FORMAT_VERSION, WIRE_VERSION):
        raise RecordingError(
            f"{path} has recording format {version}, wire version {wire}; this reads {FORMAT_VERSION}, {WIRE_VERSION}",
            "replay it with the release that recorded it",
        )
