"""The files in a record: executable, script, loader. What is said of one beside its path, and that path.

Rules: those of ``tails``. Programs come again and again, and nearly all have the same loader.
"""

from __future__ import annotations

from pipeline import wire
from pipeline.events import TRAITS, File, Loader
from pipeline.sources.tails import PATHS, Known, partial_path

PARTIAL = wire.EXECUTABLE_CUT | wire.EXECUTABLE_PSEUDO | wire.EXECUTABLE_DETACHED
"""Flags of a path that is not one from the root of the process on."""

_SIZE = wire.STRUCT_FILE.size


def _traits(flags: int, mode: int) -> tuple[str, ...]:
    has = (
        flags & wire.EXECUTABLE_DELETED and not flags & wire.EXECUTABLE_MEMFD,
        flags & wire.EXECUTABLE_DETACHED,
        flags & wire.EXECUTABLE_MEMFD,
        flags & wire.EXECUTABLE_UPPER,
        mode & 0o4000,
        mode & 0o2000,
        flags & wire.FILE_CAPABILITIES,
        flags & wire.SCRIPT,
    )
    return tuple(name for name, it_is in zip(TRAITS, has, strict=True) if it_is)


def _read_file(raw: bytes) -> File:
    inode, device, mode, links, flags, modified_ns, changed_ns = wire.STRUCT_FILE.unpack(raw)
    return File(inode, device, mode, links, modified_ns, changed_ns, _traits(flags, mode))


FILES = Known(_read_file, 1024)
"""By a struct lineage_file."""


def path_of(raw: bytes, flags: int) -> str:
    """``flags``: LINEAGE_EXECUTABLE_..."""
    return partial_path(raw, flags & wire.EXECUTABLE_PSEUDO) if flags & PARTIAL else PATHS[raw]


def flags_of(file: bytes) -> int:
    """Of a struct lineage_file."""
    flags: int = wire.STRUCT_FILE.unpack(file)[4]
    return flags


def _read_loader(raw: bytes) -> tuple[Loader | None, tuple[str, ...]]:
    flags = flags_of(raw[:_SIZE])
    loader = Loader(path_of(raw[_SIZE:], flags), FILES[raw[:_SIZE]])
    return loader if loader.file.inode else None, ("loader",) if flags & wire.EXECUTABLE_CUT else ()


LOADERS = Known(_read_loader, 256)
"""By a struct lineage_file with the path behind it: the loader, and what a record says of it to be cut."""
