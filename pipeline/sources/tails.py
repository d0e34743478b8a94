"""What a record's bytes mean: strings, paths, argument lists, groups, and who and where a task is.

Rules: those of ``decode``. What repeats comes out of a bounded cache: the same bytes are the same value, so that the
tree keeps it once for all processes that have it, and sees by identity that nothing has changed.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Iterable
from typing import TypeVar

from pipeline import wire
from pipeline.events import Credentials, Namespaces, Session

T = TypeVar("T")

_ELLIPSIS = "…"
REPLACE = "lineage-replace"
"""Error handler of ``bytes.decode``: the codec's own ``replace``, counted. It costs nothing where there is no error."""


class Replaced:
    """How many sequences of bytes that are no UTF-8 became U+FFFD, by any decoder of this process."""

    count = 0


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    Replaced.count += 1
    return "\ufffd", error.end


codecs.register_error(REPLACE, _replace)


class BadRecord(Exception):  # noqa: N818  it names the record, not the fault
    """A record that is not what its header says. ``reason`` is one of those in the docstring of ``decode``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Known(dict[bytes, T]):
    """What bytes mean, for bytes that come again and again: a bounded cache whose hits cost one look-up in C."""

    def __init__(self, meaning: Callable[[bytes], T], entries_max: int) -> None:
        super().__init__()
        self._meaning = meaning
        self._entries_max = entries_max

    def __missing__(self, raw: bytes) -> T:
        if len(self) >= self._entries_max:
            self.clear()
        self[raw] = found = self._meaning(raw)
        return found


def _read_comm(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", REPLACE)


def _components(raw: bytes) -> list[str]:
    """Leaf first. Each one is ended by a NUL."""
    components = raw.decode("utf-8", REPLACE).split("\0")
    if components.pop():
        raise BadRecord("path")
    return components


def _read_path(raw: bytes) -> str:
    if not raw:
        return ""
    components = _components(raw)
    if components == [""]:
        return "/"
    components.append("")
    components.reverse()
    return "/".join(components)


def partial_path(raw: bytes, pseudo: int) -> str:
    """A bare name without a file system; or a path whose upper end was cut, for which an ellipsis stands."""
    if not raw:
        return ""
    components = _components(raw)
    if pseudo:
        return components[0]
    return "/".join((_ELLIPSIS, *reversed(components)))


def _read_groups(raw: bytes) -> tuple[int, ...]:
    if len(raw) % 4:
        raise BadRecord("span")
    return struct.unpack(f"<{len(raw) // 4}I", raw)


_NUMBERS_MAX = 4096
_numbers: dict[int, int] = {}


def _once(values: Iterable[int]) -> list[int]:
    """Equal numbers as one object: 32 bytes each, and the eight ids of a user are most often one."""
    if len(_numbers) >= _NUMBERS_MAX:
        _numbers.clear()
    return [_numbers.setdefault(value, value) for value in values]


def _read_surroundings(raw: bytes) -> tuple[Namespaces, Session, int]:
    told = _once(_SURROUNDINGS.unpack(raw))
    mnt, net, cgroup_ns, tty, session_id, group_id, start_ns, group_start_ns, cgroup_id = told
    return Namespaces(mnt, net, cgroup_ns), Session(tty, session_id, group_id, start_ns, group_start_ns), cgroup_id


def _read_credentials(raw: bytes) -> Credentials:
    return tuple.__new__(Credentials, (*_once(_CREDENTIALS.unpack(raw)), ()))  # groups are told beside them


_SURROUNDINGS = wire.STRUCT_SURROUNDINGS
_CREDENTIALS = wire.STRUCT_CREDENTIALS

COMMS = Known(_read_comm, 2048)
PATHS = Known(_read_path, 1024)
GROUPS = Known(_read_groups, 256)
SURROUNDINGS = Known(_read_surroundings, 2048)
CREDENTIALS = Known(_read_credentials, 1024)


def arguments(raw: bytes) -> tuple[str, ...]:
    """Each is ended by a NUL; the last may lack it, where the list was cut."""
    if not raw:
        return ()
    args = raw.decode("utf-8", REPLACE).split("\0")
    if not args[-1]:
        args.pop()
    return tuple(args)


def tail(record: bytes, offset: int, length: int, fixed: int) -> bytes:
    """What a span names; ``fixed`` bytes come before the tail. Raises ``BadRecord`` where that is no part of it."""
    if not length:
        return b""
    if offset < fixed or offset + length > len(record):
        raise BadRecord("span")
    return record[offset : offset + length]
