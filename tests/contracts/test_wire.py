"""events.h is what wire.py says it is, for the compiler of this host and for BPF's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from bpf import generate_wire
from pipeline import wire

HEADER = Path(generate_wire.__file__).with_name("events.h")
COMPILERS = {
    "host": ["cc", "-std=gnu11", "-Wall", "-Werror", "-Wpadded", "-c", "-o", "/dev/null"],
    "bpf": ["clang", "-target", "bpf", "-O2", "-Wall", "-Werror", "-Wpadded", "-c", "-o", "/dev/null"],
}
TYPES = """
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef long long __s64;
"""


def _compile(compiler: list[str], program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    source = folder / "claims.c"
    source.write_text(program)
    return subprocess.run([*compiler, str(source)], capture_output=True, text=True, check=False)


def _claims() -> list[str]:
    """One static assertion for each size, offset and value of wire.py."""
    claims: list[str] = []
    for name, members in wire.LAYOUT.items():
        end = max(offset + size for offset, size in members.values())
        claims.append(f"sizeof(struct lineage_{name}) == {end}")
        for member, (offset, size) in members.items():
            claims.append(f"__builtin_offsetof(struct lineage_{name}, {member}) == {offset}")
            claims.append(f"sizeof(((struct lineage_{name} *)0)->{member}) == {size}")
    for name, value in vars(wire).items():
        if name.isupper() and isinstance(value, int):
            claims.append(f"LINEAGE_{name} == {value}")
    return claims


@pytest.mark.parametrize("target", COMPILERS)
def test_every_size_offset_and_value_is_the_compilers_own(target: str, tmp_path: Path) -> None:
    lines = [TYPES, f'#include "{HEADER}"', *(f'_Static_assert({claim}, "{claim}");' for claim in _claims())]
    done = _compile(COMPILERS[target], "\n".join(lines), tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("target", COMPILERS)
def test_a_wrong_claim_would_be_noticed(target: str, tmp_path: Path) -> None:
    program = f'{TYPES}\n#include "{HEADER}"\n_Static_assert(sizeof(struct lineage_task) == 1, "");'
    assert _compile(COMPILERS[target], program, tmp_path).returncode != 0


def test_no_name_of_the_header_is_missing() -> None:
    text = HEADER.read_text()
    names = set(re.findall(r"\bLINEAGE_([A-Z0-9_]+)\b", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)))
    assert names - {"EVENTS_H"} == {name for name in vars(wire) if name.isupper()} - {"LAYOUT"} - _structs()


def _structs() -> set[str]:
    return {name for name in vars(wire) if name.startswith("STRUCT_")}


def test_a_struct_unpacks_as_many_bytes_as_it_has() -> None:
    for name, members in wire.LAYOUT.items():
        end = max(offset + size for offset, size in members.values())
        assert getattr(wire, f"STRUCT_{name.upper()}").size == end


def test_the_generated_file_is_up_to_date() -> None:
    assert generate_wire.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("struct lineage_a {\n\t__u32 x;\n\t__u64 y;\n};", "needs explicit padding before it"),
        ("struct lineage_a {\n\t__u64 x;\n\t__u32 y;\n};", "needs explicit padding at its end"),
        ("struct lineage_a {\n\tint x;\n};", "unknown type"),
        ("struct lineage_a {\n\t__u32 *x;\n};", "cannot read"),
        ("enum lineage_e {\n\tLINEAGE_A,\n};", "must have a value"),
        ("#define LINEAGE_A sizeof(int)\n", "cannot evaluate"),
    ],
)
def test_what_the_generator_does_not_understand_is_an_error(text: str, complaint: str) -> None:
    with pytest.raises(generate_wire.HeaderError, match=complaint):
        generate_wire.generate(text)
