"""Generates pipeline/wire.py from bpf/events.h, or with ``--check`` says whether it is up to date.

Rules of this file:
- it understands the small C that events.h is written in, and stops at anything else instead of guessing;
- padding must be explicit: a member that the compiler would move is an error, so that ``<`` formats are right;
- standard library alone, so that it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

HEADER = Path(__file__).with_name("events.h")
TARGET = Path(__file__).resolve().parent.parent / "pipeline" / "wire.py"

SCALARS = {  # C type -> (struct format, bytes)
    "__u8": ("B", 1),
    "__u16": ("H", 2),
    "__u32": ("I", 4),
    "__u64": ("Q", 8),
    "__s64": ("q", 8),
    "char": ("s", 1),
}


REPEATED = ("surroundings", "credentials", "file")
"""Structs that are the same in many records: taken as bytes, of which a bounded cache knows the value."""


class Member(NamedTuple):
    name: str
    type: str  # scalar or struct name
    length: int | None  # None: no array
    offset: int
    size: int


class Layout(NamedTuple):
    name: str
    members: list[Member]
    size: int
    alignment: int


class HeaderError(Exception):
    """events.h holds something that this generator does not understand."""


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def _evaluate(expression: str) -> int:
    match = re.fullmatch(r"\(?\s*(0x[0-9a-fA-F]+|\d+)u?\s*(?:<<\s*(\d+)\s*)?\)?", expression.strip())
    if match is None:
        raise HeaderError(f"cannot evaluate {expression!r}")
    return int(match[1], 0) << int(match[2] or 0)


def constants(text: str) -> dict[str, int]:
    """Names of #define and enum without their LINEAGE_ prefix, in the order of the file."""
    found: dict[str, int] = {}
    body = _without_comments(text)
    for match in re.finditer(r"^#define LINEAGE_(\w+)[ \t]+(\S[^\n]*)$", body, flags=re.MULTILINE):
        found[match[1]] = _evaluate(match[2])
    for enum in re.finditer(r"enum\s+\w+\s*\{(.*?)\}", body, flags=re.DOTALL):
        for line in filter(None, (part.strip() for part in enum[1].split(","))):
            valued = re.fullmatch(r"LINEAGE_(\w+)\s*=\s*(.+)", line)
            if valued is None:
                raise HeaderError(f"an enumerator must have a value: {line!r}")
            found[valued[1]] = _evaluate(valued[2])
    return found


def layouts(text: str) -> dict[str, Layout]:
    """Every struct lineage_*, by its name without the prefix."""
    numbers = constants(text)
    found: dict[str, Layout] = {}
    for struct in re.finditer(r"struct\s+lineage_(\w+)\s*\{(.*?)\n\};", _without_comments(text), flags=re.DOTALL):
        members: list[Member] = []
        offset, strictest = 0, 1
        for declaration in filter(None, (part.strip() for part in struct[2].split(";"))):
            kind, _, names = re.sub(r"^struct\s+lineage_", "", declaration).partition(" ")
            known = SCALARS.get(kind)
            if known is None and kind not in found:
                raise HeaderError(f"unknown type in {declaration!r}")
            unit, alignment = (known[1], known[1]) if known else (found[kind].size, found[kind].alignment)
            for name in (part.strip() for part in names.split(",")):
                match = re.fullmatch(r"(\w+)(?:\[(\w+)\])?", name)
                if match is None:
                    raise HeaderError(f"cannot read {declaration!r}")
                count = None
                if match[2]:
                    count = int(match[2]) if match[2].isdigit() else numbers[match[2].removeprefix("LINEAGE_")]
                if offset % alignment:
                    raise HeaderError(f"lineage_{struct[1]}.{match[1]} needs explicit padding before it")
                members.append(Member(match[1], kind, count, offset, unit * (count or 1)))
                offset += unit * (count or 1)
                strictest = max(strictest, alignment)
        if offset % strictest:
            raise HeaderError(f"lineage_{struct[1]} needs explicit padding at its end")
        found[struct[1]] = Layout(struct[1], members, offset, strictest)
    return found


def _format(layout: Layout, known: dict[str, Layout]) -> str:
    parts: list[str] = []
    for member in layout.members:
        if member.type in REPEATED:
            parts.append(f"{member.size}s")
        elif member.type not in SCALARS:
            parts.append(_format(known[member.type], known))
        elif member.name == "pad":
            parts.append(f"{member.size}x")
        elif member.length is not None and member.type in ("char", "__u8"):
            parts.append(f"{member.length}s")
        else:
            parts.append(f"{member.length or ''}{SCALARS[member.type][0]}")
    return "".join(parts)


def generate(text: str) -> str:
    """The whole of pipeline/wire.py."""
    known = layouts(text)
    numbers = constants(text)
    numbers.pop("EVENTS_H", None)
    lines = [
        '"""The layout of every record. Generated from bpf/events.h by bpf/generate_wire.py; not edited by hand.',
        "",
        "A ``STRUCT_`` unpacks the fixed part: nested structs flattened, padding skipped; those that repeat",
        "(surroundings, credentials, file) as bytes. ``LAYOUT`` has each member's (offset, size) in bytes.",
        '"""',
        "",
        "from struct import Struct",
        "from typing import Final",
        "",
    ]
    lines += [f"{name}: Final = {value}" for name, value in numbers.items()]
    lines.append("")
    lines += [f'STRUCT_{name.upper()}: Final = Struct("<{_format(layout, known)}")' for name, layout in known.items()]
    lines += ["", "LAYOUT: Final[dict[str, dict[str, tuple[int, int]]]] = {"]
    for name, layout in known.items():
        lines.append(f'    "{name}": {{')
        lines += [f'        "{member.name}": ({member.offset}, {member.size}),' for member in layout.members]
        lines.append("    },")
    lines.append("}")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: generate_wire.py [--check]", file=sys.stderr)  # noqa: T201  a command's own output
        return 2
    wanted = generate(HEADER.read_text(encoding="utf-8"))
    if not arguments:
        TARGET.write_text(wanted, encoding="utf-8")
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == wanted:
        return 0
    print("pipeline/wire.py is not what bpf/events.h says: run make generate", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
