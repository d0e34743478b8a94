"""What an executable is beside its path, as ``lineage.executable``: of a process's own image, where it begins to hold.
Likewise a script, and a loader.

Rules: a member of the lineage object with the comma before it, nothing where nothing was told; the numbers are written
as ``stat`` prints them and ECS has them of a file, so that one can be looked for on the host.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson

from pipeline.enrich.tables import unix_instant
from pipeline.events import File

FILES_MAX = 512

_PERMISSIONS = 0o7777
_MINOR_BITS = 20


@lru_cache(FILES_MAX)  # programs come again and again: 0.3 us instead of 4
def device(number: int) -> str:
    """major:minor"""
    return f"{number >> _MINOR_BITS}:{number & (1 << _MINOR_BITS) - 1}"


def described(file: File) -> dict[str, Any]:
    """Times are the file's own, which whoever owns it may set as he likes; ``changed`` he may not."""
    told: dict[str, Any] = {}
    if file.mode:  # a file's type is in it, so that no file has 0
        told = {
            "inode": str(file.inode),
            "device": device(file.device),
            "mode": f"{file.mode & _PERMISSIONS:04o}",
            "links": file.links,
            "modified": unix_instant(file.modified_ns).decode(),
            "changed": unix_instant(file.changed_ns).decode(),
        }
    if file.traits:
        told["traits"] = file.traits
    return told


def executable(file: File) -> bytes:
    told = described(file)
    return b',"executable":' + orjson.dumps(told) if told else b""
