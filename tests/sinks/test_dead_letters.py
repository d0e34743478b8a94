from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import orjson
import pytest

from pipeline.config import MIB
from pipeline.counters import Counters
from pipeline.document import Document
from pipeline.errors import SinkError
from pipeline.sinks.base import Dead
from pipeline.sinks.dead_letters import DeadLetters
from tests.sinks.support import document, documents


def test_a_line_says_why_and_holds_the_document_itself(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead.ndjson", MIB, Counters())
    letters.open()
    first = document(1, names=("init", "nginx → ☃", 'quo"te'))
    letters.keep([Dead(first, '400 x: "odd"\nreason'), Dead(Document("b", "alert", b'{"a":\n1}'), "413")])
    letters.close()
    one, two = [orjson.loads(line) for line in (tmp_path / "dead.ndjson").read_bytes().splitlines()]
    assert one == {
        "reason": '400 x: "odd"\nreason',
        "stream": "process",
        "id": "id1",
        "document": orjson.loads(first.body),
    }
    assert two["document"] == {"a": 1}


def test_what_does_not_fit_any_more_is_counted(tmp_path: Path) -> None:
    counters = Counters()
    letters = DeadLetters(tmp_path / "dead.ndjson", 2000, counters)
    letters.open()
    kept = letters.keep([Dead(document, "no") for document in documents(20)])
    assert 0 < kept < 20
    assert counters.dead_letters_dropped == 20 - kept
    assert (tmp_path / "dead.ndjson").stat().st_size <= 2000
    letters.close()


def test_the_bound_holds_over_restarts_and_nothing_is_overwritten(tmp_path: Path) -> None:
    counters = Counters()
    for _ in range(5):
        letters = DeadLetters(tmp_path / "dead.ndjson", 2000, counters)
        letters.open()
        letters.keep([Dead(document, "no") for document in documents(3)])
        letters.close()
        letters.close()
    lines = (tmp_path / "dead.ndjson").read_bytes().splitlines()
    assert len(lines) + counters.dead_letters_dropped == 15
    assert counters.dead_letters_dropped > 0


def test_nothing_is_made_before_open_nor_with_a_bound_of_zero(tmp_path: Path) -> None:
    counters = Counters()
    letters = DeadLetters(tmp_path / "state" / "dead.ndjson", 0, counters)
    letters.open()
    DeadLetters(tmp_path / "state" / "dead.ndjson", MIB, counters)
    assert letters.keep([Dead(document(1), "no")]) == 0
    assert counters.dead_letters_dropped == 0  # nobody wanted it kept
    assert list(tmp_path.iterdir()) == []


def test_folder_and_file_are_the_starting_users_alone(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "state" / "dead.ndjson", MIB, Counters())
    letters.open()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE(letters.path.stat().st_mode) == 0o600
    letters.close()


def test_a_folder_that_cannot_be_made_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    letters = DeadLetters(tmp_path / "file" / "dead.ndjson", MIB, Counters())
    with pytest.raises(SinkError, match="LINEAGE_DEAD_LETTERS_MAX_BYTES=0"):
        letters.open()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "dead.ndjson").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SinkError, match="cannot be opened"):
        DeadLetters(tmp_path / "dead.ndjson", MIB, Counters()).open()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0 and "CI" not in os.environ, reason="mounts a small disk")
def test_a_full_disk_loses_no_line_without_counting_it_and_leaves_no_half_line(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=True)
    counters = Counters()
    letters = DeadLetters(tmp_path / "dead.ndjson", MIB, counters)
    try:
        letters.open()
        kept = letters.keep([Dead(document, "no") for document in documents(300, padding=1000)])
        letters.close()
        lines = letters.path.read_bytes().splitlines()
        assert [orjson.loads(line)["reason"] for line in lines] == ["no"] * kept
        assert counters.dead_letters_dropped == 300 - kept > 0
    finally:
        letters.close()
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.skipif(os.geteuid() != 0 and "CI" not in os.environ, reason="drops privileges, so it needs some")
def test_it_can_be_written_after_privileges_are_gone(tmp_path: Path) -> None:
    script = dedent("""
        import os, sys
        from pathlib import Path
        from pipeline.counters import Counters
        from pipeline.sinks.base import Dead
        from pipeline.sinks.dead_letters import DeadLetters
        from tests.sinks.support import document
        letters = DeadLetters(Path(sys.argv[1]), 10**6, Counters())
        letters.open()
        os.setgroups([]); os.setgid(61234); os.setuid(61234)
        assert letters.keep([Dead(document(1), "no")]) == 1
    """)
    path = tmp_path / "state" / "dead.ndjson"
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=60)
    assert orjson.loads(path.read_bytes())["id"] == "id1"
