"""A recording gives back exactly what went in, and says exactly where it is broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import anyio
import pytest

from pipeline.errors import RecordingError
from pipeline.sources.recording import FLUSH_EVERY_BYTES, HEADER, MAGIC, Recorder, RecordingSource
from pipeline.sources.synthetic import Synthetic


@pytest.fixture
def records() -> list[bytes]:
    stream = Synthetic()
    init = stream.running("/usr/lib/systemd/systemd", pid=1)
    for _ in range(2000):
        stream.exit(stream.spawn(init, "/usr/bin/true", ("true",)))
    return list(stream.records)


def _write(path: Path, records: list[bytes]) -> None:
    recorder = Recorder(path)
    for at in range(0, len(records), 500):
        recorder.write(records[at : at + 500])
    recorder.close()


async def _read(path: Path) -> list[bytes]:
    source = RecordingSource(path)
    read: list[bytes] = []
    try:
        while True:
            read += await source.receive()
    except anyio.EndOfStream:
        return read
    finally:
        await source.aclose()


async def _read_until_error(path: Path) -> tuple[list[bytes], RecordingError]:
    source = RecordingSource(path)
    read: list[bytes] = []
    try:
        while True:
            read += await source.receive()
    except RecordingError as error:
        return read, error
    finally:
        await source.aclose()


async def test_what_was_recorded_comes_back_byte_for_byte(tmp_path: Path, records: list[bytes]) -> None:
    _write(tmp_path / "r", records)
    assert await _read(tmp_path / "r") == records


def test_a_recording_is_for_its_maker_alone(tmp_path: Path) -> None:
    Recorder(tmp_path / "r").close()
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o600


def test_a_recording_that_is_there_already_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(b"evidence")
    with pytest.raises(RecordingError, match="is there already"):
        Recorder(tmp_path / "r")
    assert (tmp_path / "r").read_bytes() == b"evidence"


async def test_a_recorder_that_was_killed_leaves_what_it_had_flushed(tmp_path: Path, records: list[bytes]) -> None:
    recorder = Recorder(tmp_path / "r")
    many = records * (FLUSH_EVERY_BYTES // len(b"".join(records)) + 1)
    recorder.write(many)
    shutil.copy(tmp_path / "r", tmp_path / "left")
    recorder.close()
    read, error = await _read_until_error(tmp_path / "left")
    assert read == many
    assert f"cut after {len(many)} records" in str(error)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
async def test_a_recording_cut_in_the_middle_gives_its_whole_records_and_then_says_so(
    keep: float, tmp_path: Path, records: list[bytes]
) -> None:
    path = tmp_path / "r"
    _write(path, records)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    read, error = await _read_until_error(path)
    assert read == records[: len(read)]
    assert f"is cut after {len(read)} records" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("ends", [True, False])
async def test_cut_inside_the_snapshot_nothing_is_said_to_be_delivered(ends: bool, tmp_path: Path) -> None:
    stream = Synthetic()
    stream.running("/usr/lib/systemd/systemd", pid=1)
    if ends:
        stream.snapshot_end()
    recorder = Recorder(tmp_path / "r")
    recorder.write(list(stream.records))
    recorder.flush()
    shutil.copy(tmp_path / "r", tmp_path / "left")
    recorder.close()
    read, error = await _read_until_error(tmp_path / "left")
    assert read == stream.records
    assert ("those before are delivered" in error.mend) is ends
    assert ("without it there are no documents" in error.mend) is not ends


async def test_a_flipped_bit_is_found(tmp_path: Path, records: list[bytes]) -> None:
    path = tmp_path / "r"
    _write(path, records)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # of the checksum
    path.write_bytes(content)
    _, error = await _read_until_error(path)
    assert "damaged" in str(error)


@pytest.mark.parametrize("content", [b"", b"LINE", b"#!/bin/sh\nexit 0\n", bytes(64)])
def test_a_foreign_file_is_refused_at_once(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(content)
    with pytest.raises(RecordingError, match="is no recording of lineage"):
        RecordingSource(tmp_path / "r")


def test_another_version_is_refused_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(HEADER.pack(MAGIC, 9, 7))
    with pytest.raises(RecordingError, match="format 9, wire version 7"):
        RecordingSource(tmp_path / "r")


def test_an_absent_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(RecordingError, match="cannot read"):
            RecordingSource(path)


def test_a_full_disk_is_an_error_when_recording() -> None:
    recorder = Recorder(Path("/dev/full"))
    recorder.write([bytes(32)])
    with pytest.raises(RecordingError, match="No space left on device"):
        recorder.flush()
    with pytest.raises(RecordingError, match="No space left on device"):
        recorder.close()
