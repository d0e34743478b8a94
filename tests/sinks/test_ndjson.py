from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import anyio
import pytest

from pipeline.document import Document
from pipeline.errors import SinkError
from pipeline.sinks.base import SinkClosed
from pipeline.sinks.ndjson import NdjsonSink
from tests.sinks.support import documents


async def test_a_file_gets_one_document_a_line_in_order(tmp_path: Path) -> None:
    sink = NdjsonSink(str(tmp_path / "out.ndjson"))
    sink.open()
    batch = documents(5)
    await sink.send(batch[:2])
    await sink.send([*batch[2:], Document("x", "process", b'{"a":\n1}')])
    await sink.aclose()
    lines = (tmp_path / "out.ndjson").read_bytes().split(b"\n")
    assert lines == [*[document.body for document in batch], b'{"a": 1}', b""]


async def test_a_file_is_added_to(tmp_path: Path) -> None:
    for number in range(2):
        sink = NdjsonSink(str(tmp_path / "out.ndjson"))
        sink.open()
        await sink.send(documents(1, first=number))
        await sink.aclose()
    assert len((tmp_path / "out.ndjson").read_bytes().splitlines()) == 2


async def test_standard_output_is_written_and_left_open(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    sink = NdjsonSink("-")
    sink.open()
    await sink.send(documents(2))
    await sink.aclose()
    assert capfdbinary.readouterr().out.splitlines() == [document.body for document in documents(2)]
    os.fstat(1)


async def test_a_batch_larger_than_the_pipe_arrives_whole(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []

    async def read() -> None:
        got.append(await anyio.Path(pipe).read_bytes())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        sink = NdjsonSink(str(pipe))
        await anyio.to_thread.run_sync(sink.open)
        await sink.send(documents(1000, padding=500))
        await sink.aclose()
    assert len(got[0].splitlines()) == 1000


async def test_a_reader_that_went_away_is_no_fault(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sink = NdjsonSink(str(pipe))
    sink.open()
    os.close(reader)
    with pytest.raises(SinkClosed):
        await sink.send(documents(1))
    await sink.aclose()


async def test_a_full_disk_is_an_error_with_the_way_out() -> None:
    sink = NdjsonSink("/dev/full")
    sink.open()
    with pytest.raises(SinkError, match=r"/dev/full cannot be written \(No space left on device\): make room"):
        await sink.send(documents(1))
    await sink.aclose()


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cannot be opened \(No such file or directory\)"):
        NdjsonSink(str(tmp_path / "none" / "out.ndjson")).open()


async def test_a_reader_that_never_reads_does_not_hold_up_the_end() -> None:
    """A pipe that is full blocks its writer in a thread; cancelling leaves the thread behind and goes on."""
    script = dedent("""
        import os, anyio
        from pipeline.sinks.ndjson import NdjsonSink
        from tests.sinks.support import documents

        async def main():
            sink = NdjsonSink("-")
            sink.open()
            with anyio.move_on_after(0.2) as scope:
                await sink.send(documents(1000, padding=1000))
            assert scope.cancelled_caught
            await sink.aclose()
            os.write(2, b"went on")

        anyio.run(main)
    """)
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        said = await anyio.to_thread.run_sync(process.stderr.read, len(b"went on"))
        process.stdout.close()
        assert process.wait(timeout=30) is not None
    assert said == b"went on"
