"""Programs and loaders made byte by byte, as no linker makes them: one segment, some instructions, nothing else."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from pipeline.events import TRAITS, File

EXEC, DYN = 2, 3  # e_type: where it says, or anywhere
PT_LOAD, PT_INTERP = 1, 3
ANYTHING = 7  # read, write, execute: kernels before 6.10 write zeros behind the end of a loader
PAGE = 0x10000  # of every machine that is tested
AT = 0x400000
EXIT_7 = {
    "x86_64": bytes.fromhex("bf07000000 b8e7000000 0f05"),  # mov edi, 7; mov eax, exit_group; syscall
    "aarch64": bytes.fromhex("e00080d2 c80b80d2 010000d4"),  # mov x0, 7; mov x8, exit_group; svc 0
    "i386": bytes.fromhex("bb07000000 b8fc000000 cd80"),
}
WAIT = {  # ppoll of nothing for ever, on i386 pause: whoever has just been executed has zero in all registers
    "x86_64": bytes.fromhex("b80f010000 0f05"),
    "aarch64": bytes.fromhex("280980d2 010000d4"),
    "i386": bytes.fromhex("b81d000000 cd80"),
}
_MACHINES = {"x86_64": 62, "aarch64": 183, "i386": 3}


def make(
    path: Path,
    code: dict[str, bytes] = EXIT_7,
    *,
    kind: int = EXEC,
    address: int = AT,
    interpreter: str = "",
    segments: int = 1,
    machine: str = "",
) -> Path:
    """An executable file at ``path``. ``interpreter``: what PT_INTERP says; ``segments``: how often it is mapped."""
    machine = machine or os.uname().machine
    wide = machine != "i386"
    header_bytes, entry_bytes = (64, 56) if wide else (52, 32)
    named = interpreter.encode() + b"\0" if interpreter else b""
    name_at = header_bytes + entry_bytes * (segments + bool(named))
    code_at = name_at + len(named) + -(name_at + len(named)) % 16
    size = code_at + len(code[machine])

    def entry(type_: int, offset: int, at: int, length: int, align: int) -> bytes:
        if wide:
            return struct.pack("<2I6Q", type_, ANYTHING, offset, at, at, length, length, align)
        return struct.pack("<8I", type_, offset, at, at, length, length, ANYTHING, align)

    entries = [entry(PT_INTERP, name_at, address + name_at, len(named), 1)] if named else []
    entries += [entry(PT_LOAD, 0, address + 2 * PAGE * number, size, PAGE) for number in range(segments)]
    words = (kind, _MACHINES[machine], 1, address + code_at, header_bytes, 0, 0)
    header = b"\x7fELF" + bytes((2 if wide else 1, 1, 1)) + bytes(9)
    header += struct.pack("<2HI3QI" if wide else "<2HI3II", *words)
    header += struct.pack("<6H", header_bytes, entry_bytes, len(entries), 0, 0, 0)
    path.write_bytes((header + b"".join(entries) + named).ljust(code_at, b"\0") + code[machine])
    path.chmod(0o755)
    return path


def loader_named_in(program: str) -> str:
    """What PT_INTERP of a 64-bit program says."""
    raw = Path(program).read_bytes()
    (at,) = struct.unpack_from("<Q", raw, 32)
    size, count = struct.unpack_from("<2H", raw, 54)
    for number in range(count):
        type_, _, offset, _, _, length = struct.unpack_from("<2I4Q", raw, at + number * size)
        if type_ == PT_INTERP:
            return raw[offset : offset + length].rstrip(b"\0").decode()
    raise AssertionError(f"{program} is static")


def as_stat(path: str | Path, *traits: str) -> File:
    """What is to be told of the file at that path, beside the path."""
    found = os.stat(path)
    device = os.major(found.st_dev) << 20 | os.minor(found.st_dev)
    has = tuple(trait for trait in TRAITS if trait in traits)
    return File(found.st_ino, device, found.st_mode, found.st_nlink, found.st_mtime_ns, found.st_ctime_ns, has)
