"""What long strings take in memory: argument lists above all. ``changes.texts`` decides what is kept of them.

An argument costs 57 bytes beside its characters: the 16 KiB of a record may become 400 in the tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.process import Image

if TYPE_CHECKING:
    from pipeline.tree.known.retention import Retention
    from pipeline.tree.known.state import Process

PATH_BYTES = 256
"""What a path up to that takes in memory counts for nothing: one that many have is one string."""

_POINTER_BYTES = 16  # and what the allocator rounds up to
_size = str.__sizeof__  # 49 bytes and one for each character; of such beyond Latin-1 two or four


def weight(image: Image) -> int:
    """Bytes of its arguments, its environment, and of paths that are long."""
    script, loader = image.script, image.loader
    weighs = weight_of_words(image.args)
    if image.environment:
        weighs += weight_of_words(image.environment)
    weighs += weight_of_path(image.executable)
    if script is not None:
        weighs += weight_of_path(script.path)
    if loader is not None:
        weighs += weight_of_path(loader.path)
    return weighs


def weight_of_words(words: tuple[str, ...]) -> int:
    return sum(map(_size, words)) + _POINTER_BYTES * len(words)


def weight_of_path(path: str) -> int:
    size = _size(path)
    return size if size > PATH_BYTES else 0


def count(processes: Retention, process: Process, weighs: int) -> None:
    """The process brought so much. Until it is forgotten, or the version that has it is: then less than nothing."""
    weighs = max(weighs, -process.text_bytes)
    process.text_bytes += weighs
    processes.text_bytes += weighs
