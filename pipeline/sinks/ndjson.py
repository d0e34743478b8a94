"""The sink that writes one document a line, to a file or to standard output.

A file is added to, never emptied: an agent that starts again keeps what it wrote. A reader that goes away (``| head``)
is SinkClosed. Writing happens in a worker thread, since a pipe may be full for as long as its reader likes.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread

from pipeline.config import MIB
from pipeline.document import Document
from pipeline.errors import SinkError
from pipeline.sinks.base import Delivery, SinkClosed


class NdjsonSink:
    batch_max_documents = 1000
    batch_max_bytes = 4 * MIB
    in_flight_max = 1  # lines keep the order of the documents
    may_refuse = False

    def __init__(self, target: str) -> None:
        """``target`` is a file's name, or ``-`` for standard output."""
        self._target = target
        self._name = "standard output" if target == "-" else target
        self._fd: int | None = None
        self._is_file = False

    def __repr__(self) -> str:
        return f"<NdjsonSink {self._name}>"

    def open(self) -> None:
        try:
            if self._target == "-":
                self._fd = os.dup(1)
            else:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                self._fd = os.open(Path(self._target).expanduser(), flags, 0o600)
            self._is_file = stat.S_ISREG(os.fstat(self._fd).st_mode)
        except OSError as error:
            raise self._failed("opened", error) from error

    async def connect(self) -> None:
        """Nobody has to be there."""

    async def send(self, batch: Sequence[Document]) -> Delivery:
        # `in` for each: 0.1 us for a document, where counting the breaks of all is 5.
        bodies = [body.replace(b"\n", b" ") if b"\n" in body else body for _, _, body in batch]
        lines = b"\n".join([*bodies, b""])
        try:
            # Left behind when we are cancelled: the reader of a pipe may never come back.
            await anyio.to_thread.run_sync(self._write, lines, abandon_on_cancel=True)
        except BrokenPipeError as error:
            raise SinkClosed(f"the reader of {self._name} went away") from error
        except OSError as error:
            raise self._failed("written", error) from error
        return Delivery(len(batch))

    def _write(self, lines: bytes) -> None:
        assert self._fd is not None
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            if self._is_file and len(rest) < len(lines):  # a full disk took a part: leave no half line to append to
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - (len(lines) - len(rest)))
            raise

    async def aclose(self) -> None:
        fd, self._fd = self._fd, None
        if fd is None:
            return
        try:
            if self._is_file:
                await anyio.to_thread.run_sync(os.fsync, fd)
        except OSError as error:
            raise self._failed("written", error) from error
        finally:
            os.close(fd)

    def _failed(self, done: str, error: OSError) -> SinkError:
        way_out = "make room on that disk" if error.errno == errno.ENOSPC else "name another with --sink ndjson:FILE"
        return SinkError(f"{self._name} cannot be {done} ({error.strerror})", way_out)
