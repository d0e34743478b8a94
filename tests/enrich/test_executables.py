from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.enrich.executables import executable
from pipeline.events import NO_FILE, TRAITS, File

FILE = File(42, 253 << 20 | 65_537, 0o104755, 2, 1_700_000_000_123_456_789, 0, ("setuid",))
WORD = st.integers(0, 2**32 - 1)
FILES = st.builds(File, st.integers(0, 2**64 - 1), WORD, st.integers(1, 2**32 - 1), WORD)
INSTANT_NS = st.integers(-(2**63), 2**63 - 1)


def told(file: File) -> dict[str, object]:
    parsed: dict[str, object] = orjson.loads(b'{"":0' + executable(file) + b"}").get("executable", {})
    return parsed


def test_a_file_is_told_as_stat_prints_it() -> None:
    assert told(FILE) == {
        "inode": "42",
        "device": "253:65537",
        "mode": "4755",
        "links": 2,
        "modified": "2023-11-14T22:13:20.123456789Z",
        "changed": "1970-01-01T00:00:00.000000000Z",
        "traits": ["setuid"],
    }


@pytest.mark.parametrize(("mode", "written"), [(0o100644, "0644"), (0o100000, "0000"), (0o107777, "7777")])
def test_permissions_have_four_digits_and_no_type(mode: int, written: str) -> None:
    assert told(FILE._replace(mode=mode))["mode"] == written


def test_nothing_told_is_nothing_said() -> None:
    assert executable(NO_FILE) == b""
    assert told(NO_FILE._replace(traits=("script",))) == {"traits": ["script"]}
    assert "traits" not in told(FILE._replace(traits=()))


@given(FILES, INSTANT_NS)
def test_whatever_a_file_says_of_itself_can_be_told(file: File, instant_ns: int) -> None:
    described = told(file._replace(modified_ns=instant_ns, changed_ns=instant_ns, traits=TRAITS))
    assert described["inode"] == str(file.inode)
    assert len(str(described["modified"])) == len("1970-01-01T00:00:00.000000000Z")
    assert described["traits"] == list(TRAITS)
