"""The snapshot on kernels before 5.19: asked for by a system call that fails, answered through a map."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.clock import SystemClock
from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.events import Running
from pipeline.sources.decode import decode_batch
from pipeline.sources.ebpf import EbpfSource, launch
from pipeline.sources.ebpf.snapshot import Snapshot
from pipeline.sources.ebpf.syscall import SNAPSHOT_CALL, CalledProgram
from pipeline.sources.recording import kind_of
from tests.kernel.tracer import Tracer

pytestmark = pytest.mark.kernel


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Tracer, CalledProgram]]:
    """Probes that were loaded as for an old kernel."""
    monkeypatch.setattr(launch, "needs_snapshot_call", lambda: True)
    tracer = Tracer(8 << 20, Config(state_directory=Path("/nowhere")))
    program = CalledProgram(tracer.handover.answers)
    yield tracer, program
    program.close()
    tracer.close()


def _mapped() -> int:
    """How many maps of BPF this process looks at: the ring, its losses, the answers."""
    return Path("/proc/self/maps").read_text().count("anon_inode:bpf-map")


def test_it_tells_the_same_processes_as_the_program_run_directly(called: tuple[Tracer, CalledProgram]) -> None:
    tracer, program = called
    snapshot = Snapshot(program, tracer.ring)
    snapshot.walk()
    events = decode_batch([found.record for found in snapshot.found()], tracer.counters)
    told = {event.task.pid: event for event in events if isinstance(event, Running)}
    mine, direct = told[os.getpid()], tracer.snapshot()[os.getpid()]
    assert mine._replace(stamp=direct.stamp, task=mine.task._replace(comm=direct.task.comm)) == direct
    assert {1, 2, os.getpid()} <= set(told)


def test_nobody_elses_call_moves_it(called: tuple[Tracer, CalledProgram]) -> None:
    """Another process asks while the walk is under way: it is not answered, and the walk goes on where it was."""
    tracer, program = called
    ask = f"import ctypes; print(ctypes.CDLL(None).getpriority({SNAPSHOT_CALL}, 0))"
    program.run(0)
    tracer.begin()
    done = subprocess.run([sys.executable, "-I", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout == "-1\n"
    tracer.drain()
    assert not [record for record in tracer.records if record[4] == 6]  # LINEAGE_RUNNING


async def test_a_source_that_is_closed_keeps_no_map(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(launch, "needs_snapshot_call", lambda: True)
    before = _mapped()
    source = EbpfSource.prepare(Config(state_directory=tmp_path), Counters(), SystemClock())
    try:
        while not any(kind_of(record) == wire.SNAPSHOT_END for record in await source.receive()):
            pass
        assert _mapped() > before
    finally:
        await source.aclose()
    assert _mapped() == before


def test_without_the_program_it_says_so(called: tuple[Tracer, CalledProgram]) -> None:
    tracer, program = called
    os.close(tracer.handover.calls[0])  # what listens to getpriority(2), loaded first
    calls = list(tracer.handover.calls[1:])
    tracer.handover = tracer.handover._replace(calls=tuple(calls))
    with pytest.raises(OSError, match="is gone"):
        program.run(0)
