"""Where the running kernel keeps what the BPF programs read: byte offsets out of its BTF.

Rules of this file:
- no kernel header says where a field lies, the kernel itself does (/sys/kernel/btf/vmlinux), so one source fits all;
- a field that is not there is an error that names it; no version is compared and no offset assumed;
- one fast walk finds where each type begins (a tenth of a second in pure Python); a BTF kind newer than this file is
  stepped over with the help of libbpf, which BCC brings along.

Format: Documentation/bpf/btf.rst of the kernel.
"""

from __future__ import annotations

import ctypes
import struct
from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.errors import HostError
from pipeline.sources.ebpf.fields import BIT_FIELDS, CHOICES, FIELDS, SLABS, Fields

BTF = Path("/sys/kernel/btf/vmlinux")
_MAGIC = 0xEB9F
_PTR, _STRUCT, _UNION, _TYPEDEF, _FUNC_PROTO = 2, 4, 5, 8, 13
_MODIFIERS = frozenset((8, 9, 10, 11, 18))  # typedef, volatile, const, restrict, type tag
# kind -> (words after the common three, words per element); from include/uapi/linux/btf.h
_SIZES: tuple[tuple[int, int], ...] = (
    (0, 0), (1, 0), (0, 0), (3, 0), (0, 3), (0, 3), (0, 2), (0, 0), (0, 0), (0, 0),
    (0, 0), (0, 0), (0, 0), (0, 2), (1, 0), (0, 3), (0, 0), (1, 0), (0, 0), (0, 3),
)  # fmt: skip

SLAB_BYTES_MAX = 8192
"""More only where a kernel was built with its structs shuffled (RANDSTRUCT) and is larger than any known."""


class Missing(Exception):  # noqa: N818  what it names is missing
    """The kernel's BTF has no such struct or member."""


class Btf:
    """The types of one BTF file. Raises ``ValueError`` where the bytes are no BTF that can be walked."""

    def __init__(self, raw: bytes, path: Path | None = None) -> None:
        """``path`` is where the bytes came from, for libbpf should it be needed."""
        if len(raw) < 24 or struct.unpack_from("<H", raw)[0] != _MAGIC:
            raise ValueError("no BTF")
        header, type_at, type_bytes, string_at, string_bytes = struct.unpack_from("<5I", raw, 4)
        self._words = array("I", raw[header + type_at : header + type_at + type_bytes])
        self._strings = raw[header + string_at : header + string_at + string_bytes]
        try:
            self._positions = self._walk()
        except IndexError as error:
            if path is None:
                raise ValueError("a kind of type that is not known") from error
            self._positions = positions_by_libbpf(path, header + type_at)
        self._named = self._by_name()

    def _walk(self) -> array[int]:
        """Word where each type begins, by its id; id 0 is void. IndexError: an unknown kind, or cut short."""
        words, sizes = self._words, _SIZES
        positions = array("I", (0,))
        at, end = 0, len(words)
        while at < end:
            positions.append(at)
            info = words[at + 1]
            fixed, each = sizes[info >> 24 & 0x1F]
            at += 3 + fixed + each * (info & 0xFFFF)
        if at != end:
            raise IndexError
        return positions

    def _by_name(self) -> dict[int, int]:
        """Offset of the name -> id, for structs that have members and for typedefs."""
        words, found = self._words, {}
        for number, at in enumerate(self._positions[1:], 1):
            kind = words[at + 1] >> 24 & 0x1F
            if kind == _TYPEDEF or (kind == _STRUCT and words[at + 1] & 0xFFFF):
                found[words[at]] = number
        return found

    def _kind(self, number: int) -> int:
        return self._words[self._positions[number] + 1] >> 24 & 0x1F

    def _name(self, offset: int) -> bytes:
        return self._strings[offset : self._strings.index(b"\0", offset)]

    def find(self, name: str) -> int:
        """Id of the struct or typedef. The linker shares the ends of strings, so each occurrence is looked at."""
        wanted = name.encode() + b"\0"
        at = self._strings.find(wanted)
        while at >= 0:
            if at in self._named:
                return self._named[at]
            at = self._strings.find(wanted, at + 1)
        raise Missing(name)

    def _plain(self, number: int) -> int:
        while number and self._kind(number) in _MODIFIERS:
            number = self._words[self._positions[number] + 2]
        return number

    def size(self, name: str) -> int:
        """Bytes of a struct."""
        return self._words[self._positions[self.find(name)] + 2]

    def arguments(self, typedef: str) -> int:
        """How many arguments the function has that ``typedef`` points to."""
        pointer = self._plain(self.find(typedef))
        prototype = self._plain(self._words[self._positions[pointer] + 2]) if self._kind(pointer) == _PTR else 0
        if not prototype or self._kind(prototype) != _FUNC_PROTO:
            raise Missing(typedef)
        return self._words[self._positions[prototype] + 1] & 0xFFFF

    def bit_offset(self, name: str, member: str) -> int:
        """Bits from the start of the struct; ``member`` may go through members (``ns.inum``) and anonymous ones."""
        number, total = self.find(name), 0
        for part in member.split("."):
            found = self._member(self._plain(number), part.encode())
            if found is None:
                raise Missing(f"{name}.{member}")
            number, bits = found
            total += bits
        return total

    def first_bit_offset(self, name: str, members: list[str]) -> int:
        """``bit_offset`` of the first of ``members`` that is there."""
        for member in members[:-1]:
            try:
                return self.bit_offset(name, member)
            except Missing:
                continue
        return self.bit_offset(name, members[-1])

    def _member(self, number: int, name: bytes) -> tuple[int, int] | None:
        words, at = self._words, self._positions[number]
        info = words[at + 1]
        if not number or info >> 24 & 0x1F not in (_STRUCT, _UNION):
            return None
        mask = 0xFFFFFF if info >> 31 else 0xFFFFFFFF  # with kind_flag the upper byte is a bit field's width
        members = range(at + 3, at + 3 + 3 * (info & 0xFFFF), 3)
        for member in members:
            if words[member] and self._name(words[member]) == name:
                return words[member + 1], words[member + 2] & mask
        for member in members:
            if not words[member]:
                inner = self._member(self._plain(words[member + 1]), name)
                if inner is not None:
                    return inner[0], inner[1] + (words[member + 2] & mask)
        return None


def positions_by_libbpf(path: Path, types_at: int) -> array[int]:
    """Word where each type begins, as libbpf counts. Raises ``ValueError`` where it cannot tell either."""
    try:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise ValueError("a kind of type that is not known, and no libbpf.so.1 that might") from error
    for function, result, arguments in (
        ("btf__parse_raw", ctypes.c_void_p, (ctypes.c_char_p,)),
        ("btf__type_cnt", ctypes.c_uint32, (ctypes.c_void_p,)),
        ("btf__type_by_id", ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_uint32)),
        ("btf__raw_data", ctypes.c_void_p, (ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint32))),
        ("btf__free", None, (ctypes.c_void_p,)),
    ):
        getattr(library, function).restype = result
        getattr(library, function).argtypes = arguments
    btf = library.btf__parse_raw(bytes(path))
    if not btf:
        raise ValueError(f"libbpf cannot read it either (error {ctypes.get_errno()})")
    try:
        begin = library.btf__raw_data(btf, ctypes.byref(ctypes.c_uint32())) + types_at
        count = library.btf__type_cnt(btf)
        by_id = library.btf__type_by_id
        return array("I", (0, *((by_id(btf, number) - begin) // 4 for number in range(1, count))))
    finally:
        library.btf__free(btf)


def offsets(path: Path = BTF, fields: Fields = FIELDS, choices: Sequence[Sequence[Fields]] = CHOICES) -> dict[str, int]:
    """Every macro that bpf/ needs, without its LINEAGE_ prefix. Raises ``HostError`` where the kernel cannot tell."""
    try:
        btf = Btf(path.read_bytes(), path)
    except FileNotFoundError as error:
        mend = "run a kernel built with CONFIG_DEBUG_INFO_BTF=y; Debian's and Ubuntu's are"
        raise HostError(f"this kernel has no BTF ({path})", mend) from error
    except (OSError, ValueError) as error:
        raise HostError(
            f"cannot read the kernel's BTF ({path}: {error})", "start as root on a kernel since 5.10"
        ) from error
    try:
        found = _places(btf, fields)
        for choice in choices:
            found |= _first_places(btf, choice)
        found["UPID_SIZE"] = btf.size("upid")
        found["INODE_SIZE"] = btf.size("inode")
        found["EXIT_ARGUMENTS"] = btf.arguments("btf_trace_sched_process_exit") - 1  # the first is BPF's own context
    except Missing as missing:
        mend = "this kernel is newer than lineage, or built without what it needs; please report it with `uname -r`"
        raise HostError(f"the kernel's BTF has no {missing}", mend) from missing
    return found | slabs(found)


def _places(btf: Btf, fields: Fields) -> dict[str, int]:
    found: dict[str, int] = {}
    for macro, (name, member) in fields.items():
        bits = btf.first_bit_offset(name, member.split("|"))
        found[macro] = bits // 8
        if macro in BIT_FIELDS:
            found[f"{macro}_BIT"] = bits % 8
    return found


def _first_places(btf: Btf, choice: Sequence[Fields]) -> dict[str, int]:
    """Raises ``Missing``, what the last of them lacks, where none is there."""
    for fields in choice[:-1]:
        with suppress(Missing):
            return _places(btf, fields)
    return _places(btf, choice[-1])


def slabs(found: dict[str, int]) -> dict[str, int]:
    """Where each slab begins and how long it is, in whole words. Raises ``HostError`` where one is beyond reason."""
    macros: dict[str, int] = {}
    for name, (widest, fields) in SLABS.items():
        places = [found[field] for field in fields if field in found]
        if not places:
            continue
        begin = min(places) & ~7
        macros[f"{name}_SLAB_FROM"] = begin
        macros[f"{name}_SLAB_BYTES"] = size = (max(places) + widest - begin + 7) & ~7
        if size > SLAB_BYTES_MAX:
            raise HostError(f"the kernel's structs are too large ({name})", "please report this with `uname -r`")
    return macros
