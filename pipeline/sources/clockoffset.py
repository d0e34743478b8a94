"""The one offset between time since boot and the wall clock.

Rules of this file:
- a process keeps its ``process.start`` over a restart of the agent: the offset is stored with the boot's id and used
  again while it is right to 100 ms (two readings of two clocks never agree to the nanosecond);
- a step of the wall clock is told, and holds for later instants only;
- the file is opened while the agent is still root, and written through that descriptor ever after.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from pipeline.clock import Clock
from pipeline.errors import HostError

STEP_NS = 100_000_000
FILE_NAME = "clock.json"
_BYTES_MAX = 4096


class ClockOffset:
    """``offset_ns`` is what holds now: Unix time = time since boot + offset."""

    def __init__(self, descriptor: int, boot_id: bytes, clock: Clock) -> None:
        self._descriptor = descriptor
        self._boot_id = boot_id.hex()
        self._clock = clock
        now = clock.wall_offset_ns()
        stored = self._stored()
        if stored is not None and abs(stored - now) <= STEP_NS:
            self.offset_ns = stored
        else:
            self.offset_ns = now
            self._store()

    @classmethod
    def open(cls, directory: Path, boot_id: bytes, clock: Clock) -> ClockOffset:
        """Make the folder and the file where they are missing. Raises ``HostError`` where that is refused."""
        path = directory / FILE_NAME
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise HostError(f"cannot write {path} ({error.strerror})", "name another state_directory") from error
        return cls(descriptor, boot_id, clock)

    def check(self) -> int | None:
        """The new offset if the wall clock was stepped by more than 100 ms since, else None."""
        now = self._clock.wall_offset_ns()
        if abs(now - self.offset_ns) <= STEP_NS:
            return None
        self.offset_ns = now
        self._store()
        return now

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _stored(self) -> int | None:
        """None where the file is new, of another boot, or not ours: it is then written anew."""
        try:
            stored = json.loads(os.pread(self._descriptor, _BYTES_MAX, 0))
        except ValueError:
            return None
        if not isinstance(stored, dict) or stored.get("boot_id") != self._boot_id:
            return None
        offset = stored.get("offset_ns")
        return offset if isinstance(offset, int) else None

    def _store(self) -> None:
        text = json.dumps({"boot_id": self._boot_id, "offset_ns": self.offset_ns}).encode() + b"\n"
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))
