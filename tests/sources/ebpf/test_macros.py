"""Every macro that the programs ask for is given, and none that nobody asks for."""

from __future__ import annotations

import itertools
import mmap
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf import generate_wire
from pipeline import wire
from pipeline.config import Config
from pipeline.sources.ebpf import fields, filters, macros, offsets

FOLDER = Path(generate_wire.__file__).parent


def _given() -> set[str]:
    found = set(fields.FIELDS).union(*itertools.chain(*fields.CHOICES))
    found |= {f"{name}_BIT" for name in fields.BIT_FIELDS} | set(offsets.slabs(dict.fromkeys(fields.FIELDS, 0)))
    found |= {"UPID_SIZE", "INODE_SIZE", "EXIT_ARGUMENTS"}
    found |= set(macros.sizes(1 << 23)) | set(filters.macros(Config(), 1))
    return {name.partition("(")[0] for name in found}


def _sources() -> str:
    text = "".join(path.read_text() for path in sorted(FOLDER.glob("*.[ch]")) if path.name != "events.h")
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def test_what_the_programs_ask_for_is_given() -> None:
    text = _sources()
    asked = set(re.findall(r"\bLINEAGE_([A-Z0-9][A-Z0-9_]*)\b", text))
    own = set(re.findall(r"#define LINEAGE_([A-Z0-9_]+)", text))
    assert asked - own - set(vars(wire)) <= _given()


def test_what_is_given_is_asked_for() -> None:
    text = _sources()
    named = {name for name in _given() if not re.search(rf"\b(LINEAGE_)?{name}\b", text)}
    assert {name for name in named if not name.endswith(("_SLAB_FROM", "_SLAB_BYTES"))} == set()


@given(st.integers(12, 30).map(lambda bits: 1 << bits), st.integers(1, 512))
def test_the_reader_is_woken_before_the_ring_is_an_eighth_full_of_ordinary_records(ring_bytes: int, cpus: int) -> None:
    sizes = macros.sizes(ring_bytes, cpus)
    every = sizes["WAKE_EVERY"]
    assert isinstance(every, int)
    assert every & (every - 1) == 0
    assert 1 <= every <= macros.WAKE_EVERY_MAX
    assert every == 1 or every * cpus * macros.RECORD_BYTES <= ring_bytes // 8


@pytest.mark.parametrize("ring_bytes", [1, mmap.PAGESIZE, 1 << 23])
def test_a_ring_has_whole_pages_and_at_least_one(ring_bytes: int) -> None:
    assert macros.sizes(ring_bytes)["RING_PAGES"] == max(1, ring_bytes // mmap.PAGESIZE)
