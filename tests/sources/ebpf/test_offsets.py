"""Offsets are the kernel's own, and one that it does not have is an error with its name."""

from __future__ import annotations

import itertools
import struct
import subprocess
from pathlib import Path

import pytest

from pipeline.errors import HostError
from pipeline.sources.ebpf import fields, offsets

PROGRAM = """
typedef unsigned int number;
struct inner { char a; number deep; };
struct outer {
    char first;
    union {
        struct { long long skipped; const volatile number hidden; };
        char other;
    };
    struct inner inner;
    unsigned low : 3, flag : 1;
};
typedef void (*btf_trace_sched_process_exit)(void *, struct outer *, _Bool);
struct upid { int nr; void *ns; };
struct inode { long number; short mode; };
struct outer one;
btf_trace_sched_process_exit two;
struct upid three;
struct inode four;
"""
FIELDS = {
    "FIRST": ("outer", "first"),
    "HIDDEN": ("outer", "hidden"),
    "OTHER": ("outer", "other"),
    "DEEP": ("outer", "inner.deep"),
    "SIGNAL_SUBREAPER": ("outer", "flag"),
}


@pytest.fixture
def btf(tmp_path: Path) -> Path:
    """The BTF of a small program, as clang makes it."""
    (tmp_path / "program.c").write_text(PROGRAM)
    compiled, section = tmp_path / "program.o", tmp_path / "program.btf"
    subprocess.run(["clang", "-target", "bpf", "-g", "-c", tmp_path / "program.c", "-o", compiled], check=True)
    subprocess.run(["objcopy", "-I", "elf64-little", f"--dump-section=.BTF={section}", compiled], check=True)
    return section


def test_members_are_found_through_anonymous_and_named_ones(btf: Path) -> None:
    assert offsets.offsets(btf, FIELDS, ()) == {
        "FIRST": 0,
        "HIDDEN": 16,
        "OTHER": 8,
        "DEEP": 28,
        "SIGNAL_SUBREAPER": 32,
        "SIGNAL_SUBREAPER_BIT": 3,
        "UPID_SIZE": 16,
        "INODE_SIZE": 16,
        "EXIT_ARGUMENTS": 2,
    }


@pytest.mark.parametrize("missing", [("outer", "gone"), ("outer", "inner.gone"), ("outer", "first.x"), ("gone", "x")])
def test_what_the_kernel_does_not_have_is_named(btf: Path, missing: tuple[str, str]) -> None:
    with pytest.raises(HostError, match=r"BTF has no .*gone|BTF has no outer\.first\.x"):
        offsets.offsets(btf, {"X": missing}, ())


def test_of_a_member_that_the_kernel_renamed_the_first_that_is_there_counts(btf: Path) -> None:
    names = {"X": ("outer", "gone|inner.deep|first"), "Y": ("outer", "gone|inner.gone|first")}
    found = offsets.offsets(btf, names, ())
    assert (found["X"], found["Y"]) == (28, 0)
    with pytest.raises(HostError, match=r"BTF has no outer\.gone too:"):
        offsets.offsets(btf, {"X": ("outer", "gone|gone too")}, ())


CHOICES: tuple[tuple[fields.Fields, ...], ...] = (
    ({"NEW": ("outer", "gone"), "BOTH": ("outer", "first")}, {"OLD": ("outer", "other"), "BOTH": ("outer", "inner")}),
    ({"PERHAPS": ("gone", "x")}, {}),
)


def test_of_several_ways_to_keep_a_thing_the_first_that_is_whole_counts(
    btf: Path,
) -> None:
    found = offsets.offsets(btf, FIELDS, CHOICES)
    assert {name: found.get(name) for name in ("NEW", "OLD", "BOTH", "PERHAPS")} == {
        "NEW": None,
        "OLD": 8,
        "BOTH": 24,
        "PERHAPS": None,
    }


def test_a_thing_that_is_kept_in_none_of_the_known_ways_is_named(btf: Path) -> None:
    with pytest.raises(HostError, match=r"BTF has no outer\.gone"):
        offsets.offsets(btf, FIELDS, [({"X": ("gone", "x")}, {"X": ("outer", "gone")})])


def test_a_slab_reaches_from_its_first_field_to_the_end_of_its_last_in_whole_words() -> None:
    found = {"INODE_NUMBER": 0x44, "INODE_MODE": 0x19, "CRED_UID": 8, "FS_ROOT": 4096}
    assert offsets.slabs(found) == {
        "INODE_SLAB_FROM": 0x18,
        "INODE_SLAB_BYTES": 0x38,
        "CRED_SLAB_FROM": 8,
        "CRED_SLAB_BYTES": 8,
    }


@pytest.mark.parametrize(("apart", "fits"), [(offsets.SLAB_BYTES_MAX - 8, True), (offsets.SLAB_BYTES_MAX, False)])
def test_structs_that_were_shuffled_beyond_reason_are_refused(apart: int, fits: bool) -> None:
    found = {"CRED_UID": 0, "CRED_USER_NS": apart}
    if fits:
        assert offsets.slabs(found)["CRED_SLAB_BYTES"] == offsets.SLAB_BYTES_MAX
        return
    with pytest.raises(HostError, match=r"too large \(CRED\)"):
        offsets.slabs(found)


def test_every_field_of_a_slab_is_one_that_is_looked_up() -> None:
    looked_up = set(fields.FIELDS).union(*itertools.chain(*fields.CHOICES))
    for _, together in fields.SLABS.values():
        assert set(together) <= looked_up


def test_a_tracepoint_the_kernel_does_not_have_is_named(btf: Path) -> None:
    btf.write_bytes(btf.read_bytes().replace(b"btf_trace_sched_process_exit", b"btf_trace_sched_process_gone"))
    with pytest.raises(HostError, match="btf_trace_sched_process_exit"):
        offsets.offsets(btf, FIELDS, ())


def test_a_kernel_without_btf_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="CONFIG_DEBUG_INFO_BTF"):
        offsets.offsets(tmp_path / "vmlinux")


@pytest.mark.parametrize(
    "content", [b"", b"\x7fELF" * 10, struct.pack("<HBB5I", 0xEB9F, 1, 0, 24, 0, 8, 8, 0) + b"\1" * 8]
)
def test_a_file_that_is_no_btf_is_told_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "vmlinux").write_bytes(content)
    with pytest.raises(HostError, match="cannot read the kernel's BTF"):
        offsets.offsets(tmp_path / "vmlinux")


def test_a_kind_of_a_later_kernel_is_stepped_over_with_libbpf(btf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = offsets.offsets(btf, FIELDS, ())
    monkeypatch.setattr(offsets, "_SIZES", offsets._SIZES[:13])  # as if function prototypes were not known
    assert offsets.offsets(btf, FIELDS, ()) == expected


def test_a_kind_that_nobody_knows_is_an_error(btf: Path) -> None:
    raw = bytearray(btf.read_bytes())
    header, types = struct.unpack_from("<2I", raw, 4)
    struct.pack_into("<I", raw, header + types + 4, 31 << 24)
    btf.write_bytes(raw)
    with pytest.raises(HostError, match="cannot read the kernel's BTF"):
        offsets.offsets(btf, FIELDS, ())


@pytest.mark.kernel
def test_the_running_kernel_has_every_field_and_libbpf_agrees_where_its_types_begin() -> None:
    found = offsets.offsets()
    assert set(fields.FIELDS) <= set(found)
    assert {f"{slab}_SLAB_BYTES" for slab in fields.SLABS} <= set(found)
    assert all(any(set(choice) <= set(found) for choice in choices) for choices in fields.CHOICES)
    raw = offsets.BTF.read_bytes()
    header, types = struct.unpack_from("<2I", raw, 4)
    walked = offsets.Btf(raw)._positions
    assert offsets.positions_by_libbpf(offsets.BTF, header + types) == walked
