"""The seam of sources: what flow needs of whatever hands over records.

A batch is a list of whole records, each ``bytes`` of the size its own header says (bpf/events.h). The stream begins
with LINEAGE_HOST, then accounts and the snapshot, then what happens; that stream is all that a document depends on.
"""

from __future__ import annotations

from typing import Protocol

Batch = list[bytes]


class Source(Protocol):
    groups: tuple[int, ...]
    """Supplementary groups that it needs once the privileges are gone; no others are kept."""

    async def run(self) -> None:
        """What it does on the side while ``receive`` is called; a task of its own, which is cancelled at the end."""
        ...

    async def receive(self) -> Batch:
        """The next records, in order, at least one; waits for them. Raises ``anyio.EndOfStream`` after the last."""
        ...

    def finish(self) -> None:
        """Ask for the end: ``receive`` gives what is already there, then ``anyio.EndOfStream``."""
        ...

    async def aclose(self) -> None:
        """Let go of descriptors and files. Safe to call twice."""
        ...
