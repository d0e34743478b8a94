"""The file that keeps what a sink will not take, one JSON object a line: reason, stream, id, document.

Opened before privileges are dropped, and kept open: it belongs to whoever started us. Bounded; what no longer fits
is counted. Opening makes it and its folder (0600, 0700) if they are not there, and changes nothing that is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import orjson

from pipeline.counters import Counters
from pipeline.errors import SinkError
from pipeline.sinks.base import Dead


class DeadLetters:
    def __init__(self, path: Path, max_bytes: int, counters: Counters) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._counters = counters
        self._fd: int | None = None
        self._size = 0

    def open(self) -> None:
        """Raises SinkError when the file cannot be made. A bound of 0 means that none is kept."""
        if self._max_bytes == 0:
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(self.path, flags, 0o600)
            self._size = os.fstat(self._fd).st_size
        except OSError as error:
            raise SinkError(
                f"the dead letter file {self.path} cannot be opened ({error.strerror})",
                "set LINEAGE_STATE_DIRECTORY to a folder of yours, or LINEAGE_DEAD_LETTERS_MAX_BYTES=0",
            ) from error

    def keep(self, dead: Iterable[Dead]) -> int:
        """Write them, returns how many; the rest is counted in ``dead_letters_dropped``. Never raises.

        Written at once and in one piece each: refusals are rare, and the page cache takes them.
        """
        if self._max_bytes == 0:
            return 0
        kept = 0
        for (identity, stream, body), reason in dead:
            head = orjson.dumps({"reason": reason, "stream": stream, "id": identity})
            line = head[:-1] + b',"document":' + body.replace(b"\n", b" ") + b"}\n"
            if self._write(line):
                kept += 1
            else:
                self._counters.dead_letters_dropped += 1
        return kept

    def _write(self, line: bytes) -> bool:
        if self._fd is None or self._size + len(line) > self._max_bytes:
            return False
        try:
            written = os.write(self._fd, line)
            if written < len(line):  # a full disk takes a part: leave no half line behind
                os.ftruncate(self._fd, self._size)
                return False
        except OSError:
            return False
        self._size += written
        return True

    def close(self) -> None:
        """Safe to call twice."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
