"""One offset a boot, whatever restarts; a step of the wall clock is told once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import HostError
from pipeline.sources.clockoffset import FILE_NAME, STEP_NS, ClockOffset

BOOT, OTHER_BOOT = b"a" * 16, b"b" * 16


class SetClock:
    def __init__(self, offset_ns: int) -> None:
        self.offset_ns = offset_ns

    def boot_ns(self) -> int:
        return 0

    def wall_offset_ns(self) -> int:
        return self.offset_ns


def _offset(folder: Path, boot: bytes, clock: SetClock) -> int:
    opened = ClockOffset.open(folder, boot, clock)
    opened.close()
    opened.close()
    return opened.offset_ns


def test_a_restart_in_the_same_boot_keeps_the_offset_while_it_is_right(tmp_path: Path) -> None:
    assert _offset(tmp_path, BOOT, SetClock(1000)) == 1000
    assert _offset(tmp_path, BOOT, SetClock(1000 + STEP_NS)) == 1000
    assert _offset(tmp_path, BOOT, SetClock(1001 + STEP_NS)) == 1001 + STEP_NS


def test_another_boot_has_an_offset_of_its_own(tmp_path: Path) -> None:
    _offset(tmp_path, BOOT, SetClock(1000))
    assert _offset(tmp_path, OTHER_BOOT, SetClock(1001)) == 1001
    assert _offset(tmp_path, OTHER_BOOT, SetClock(1002)) == 1001


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"', '{"offset_ns": 1}', '{"boot_id": "%s", "offset_ns": "1"}'])
def test_a_file_that_is_not_ours_is_written_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content.replace("%s", BOOT.hex()) + " " * 300)
    assert _offset(tmp_path, BOOT, SetClock(7)) == 7
    assert _offset(tmp_path, BOOT, SetClock(8)) == 7


def test_a_step_of_the_wall_clock_is_told_once_and_stored(tmp_path: Path) -> None:
    clock = SetClock(0)
    opened = ClockOffset.open(tmp_path, BOOT, clock)
    assert opened.check() is None
    clock.offset_ns = STEP_NS
    assert opened.check() is None
    clock.offset_ns = -STEP_NS - 1
    assert opened.check() == -STEP_NS - 1
    assert opened.check() is None
    opened.close()
    assert _offset(tmp_path, BOOT, clock) == -STEP_NS - 1


def test_the_folder_is_made_where_it_is_missing(tmp_path: Path) -> None:
    _offset(tmp_path / "a" / "b", BOOT, SetClock(1))
    assert os.path.exists(tmp_path / "a" / "b" / FILE_NAME)


def test_a_folder_that_cannot_be_is_named_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="state_directory"):
        ClockOffset.open(tmp_path / "file", BOOT, SetClock(1))


def test_a_link_laid_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "victim")
    with pytest.raises(HostError):
        ClockOffset.open(tmp_path, BOOT, SetClock(1))
    assert (tmp_path / "victim").read_text() == "precious"
