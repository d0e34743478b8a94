"""The source as `run` uses it: prepared as root, then unprivileged for good, in a process of its own."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.counters import Counters
from pipeline.events import (
    Account,
    Cgroup,
    CommandLine,
    Event,
    Exec,
    Exit,
    Fork,
    HostFacts,
    Loss,
    Running,
    SnapshotBegin,
    SnapshotEnd,
    ThreadRunning,
)
from pipeline.sources.decode import decode, decode_batch
from tests.kernel.programs import forked

pytestmark = pytest.mark.kernel

PROGRAM = """
import os, sys
from pathlib import Path
import anyio
import structlog
from pipeline.clock import SystemClock
from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.sources.ebpf import EbpfSource, privileges

structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # standard output is the records'

def say(line):
    os.write(2, line.encode() + b"\\n")

def forbid(name, *_):
    raise ImportError(name)

async def main(source, counters):
    identity = privileges.drop("lineage-test-account-that-is-nobodys")
    sys.meta_path[:] = [type("Forbidding", (), {"find_spec": staticmethod(forbid)})]  # no later import may be needed
    left = privileges.remaining(identity)
    say(f"dropped {os.getuid()} {os.getgid()} {len(left)}")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end, source)
        try:
            while True:
                for record in await source.receive():
                    sys.stdout.buffer.write(record)
                sys.stdout.buffer.flush()
        except anyio.EndOfStream:
            say(f"lost {counters.lost()}")
            say(f"unnamed {counters.unnamed_processes}")
            say(repr(source))
        await source.aclose()
        await source.aclose()
        tasks.cancel_scope.cancel()

async def end(source):
    await anyio.wait_readable(0)
    source.finish()
    source.finish()

counters = Counters()
config = Config(state_directory=Path(sys.argv[1]), ring_bytes=int(sys.argv[2]))
source = EbpfSource.prepare(config, counters, SystemClock())
say(repr(source))
os.kill(os.getpid(), int(sys.argv[3]))
anyio.run(main, source, counters)
"""


def _pid(event: Event) -> int:
    return event.task.pid if isinstance(event, (Fork, Exec, Exit, Running)) else 0


class Unprivileged:
    """That program. ``between`` happens when the probes are on and nothing was received yet."""

    def __init__(self, state: Path, ring_bytes: int = 8 << 20, stop: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(state), str(ring_bytes), str(19 if stop else 0)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        self.events: list[Event] = []
        self.records: list[bytes] = []
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.out = self.process.stdout
        self.err = self.process.stderr
        assert self.line() == "<EbpfSource tracing, snapshot to come>"
        if stop:
            os.waitpid(self.process.pid, os.WUNTRACED)

    def line(self) -> str:
        return self.err.readline().decode().rstrip("\n")

    def dropped(self) -> tuple[int, int, int]:
        word, uid, gid, left = self.line().split()
        assert word == "dropped"
        return int(uid), int(gid), int(left)

    def receive(self) -> Event:
        size = self.out.read(4)
        record = size + self.out.read(int.from_bytes(size, sys.byteorder) - 4)
        self.records.append(record)
        self.events.append(decode(record))
        return self.events[-1]

    def until(self, kind: type, pid: int | None = None) -> None:
        while True:
            event = self.receive()
            if isinstance(event, kind) and (pid is None or _pid(event) == pid):
                return

    def end(self) -> list[str]:
        """Ask for the end; what it says then."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        rest = self.out.read()
        said = [line for line in self.err.read().decode().splitlines() if not line.startswith("dropped")]
        assert self.process.wait(30) == 0, said
        while rest:
            size = int.from_bytes(rest[:4], sys.byteorder)
            self.records.append(rest[:size])
            self.events.append(decode(rest[:size]))
            rest = rest[size:]
        return said

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.out, self.err):
            if stream is not None and not stream.closed:
                stream.close()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Unprivileged]]:
    made: list[Unprivileged] = []
    yield made
    for each in made:
        each.close()


def test_unprivileged_for_good_it_still_hears_everything(started: list[Unprivileged], tmp_path: Path) -> None:
    source = Unprivileged(tmp_path)
    started.append(source)
    uid, gid, left = source.dropped()
    assert uid not in {0, os.getuid(), *(entry.pw_uid for entry in pwd.getpwall())}
    assert gid == uid
    assert left == 0
    source.until(SnapshotEnd)
    status = Path(f"/proc/{source.process.pid}/status").read_text()
    assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n" in status
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert f"{name}:\t{0:016x}\n" in status
    assert "NoNewPrivs:\t1\n" in status
    child = subprocess.Popen(["/bin/sh", "-c", "exit 7"])
    child.wait()
    source.until(Exit, child.pid)
    said = source.end()
    assert (said[0], said[-1]) == ("lost 0", "<EbpfSource ended>")
    kinds = [type(event) for event in source.events if _pid(event) == child.pid]
    assert kinds == [Fork, Exec, Exit]


def test_the_stream_begins_with_host_accounts_and_snapshot(started: list[Unprivileged], tmp_path: Path) -> None:
    source = Unprivileged(tmp_path)
    started.append(source)
    source.until(SnapshotEnd)
    source.end()
    end = next(number for number, event in enumerate(source.events) if isinstance(event, SnapshotEnd))
    kinds = [type(event) for event in source.events[:end]]
    accounts = kinds.count(Account)
    assert kinds[: 2 + accounts] == [HostFacts, *[Account] * accounts, SnapshotBegin]
    told = set(kinds[2 + accounts :])
    assert {Running, CommandLine} <= told <= {Running, CommandLine, Cgroup, ThreadRunning}
    assert not {*told, HostFacts, Account, SnapshotBegin} & {type(event) for event in source.events[end:]}
    of_user_space = (wire.CGROUP, *range(wire.HOST, wire.CONTAINER + 1))
    own = [event.stamp.sequence for event in source.events[: end + 1] if event.stamp.kind in of_user_space]
    assert own == list(range(len(own)))


def test_command_lines_stand_behind_their_process(started: list[Unprivileged], tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "600"]) as child:
        try:
            source = Unprivileged(tmp_path)
            started.append(source)
            source.until(SnapshotEnd)
        finally:
            child.kill()
    at = next(n for n, event in enumerate(source.events) if isinstance(event, Running) and event.task.pid == child.pid)
    running, line = source.events[at : at + 2]
    assert isinstance(running, Running)
    assert isinstance(line, CommandLine)
    assert (line.pid, line.start_ns, line.args) == (child.pid, running.task.start_ns, ("/bin/sleep", "600"))


def test_what_happened_before_the_snapshot_is_not_lost_and_comes_after_it(
    started: list[Unprivileged], tmp_path: Path
) -> None:
    source = Unprivileged(tmp_path, stop=True)  # the probes are on, and it is not allowed to go on
    started.append(source)
    pids = []
    for _ in range(50):
        pids.append(forked(lambda: os._exit(0)))
        os.waitpid(pids[-1], 0)
    os.kill(source.process.pid, 18)
    source.until(SnapshotEnd)
    before = len(source.events)
    source.until(Exit, pids[-1])
    told = [event.task.pid for event in source.events[before:] if isinstance(event, Fork)]
    assert [pid for pid in told if pid in pids] == pids
    assert source.end()[0] == "lost 0"


def test_what_the_ring_had_no_room_for_is_told_in_the_stream(started: list[Unprivileged], tmp_path: Path) -> None:
    source = Unprivileged(tmp_path, ring_bytes=64 * 1024, stop=True)
    started.append(source)
    for _ in range(400):
        os.waitpid(forked(lambda: os._exit(0)), 0)
    os.kill(source.process.pid, 18)
    source.until(SnapshotEnd)
    last = forked(lambda: os._exit(0))
    os.waitpid(last, 0)
    source.until(Exit, last)
    said = source.end()
    losses = [event for event in source.events if isinstance(event, Loss)]
    assert said[0] == f"lost {sum(sum(event.lost.values()) for event in losses)}"
    assert sum(losses[0].lost.values()) > 100
    assert wire.FORK in losses[0].lost
    assert losses[0].since_ns < losses[0].stamp.time_ns


def test_what_was_told_before_the_end_is_handed_over(started: list[Unprivileged], tmp_path: Path) -> None:
    source = Unprivileged(tmp_path)
    started.append(source)
    source.until(SnapshotEnd)
    pids = []
    for _ in range(20):
        pids.append(forked(lambda: os._exit(0)))
        os.waitpid(pids[-1], 0)
    source.end()
    ended = {event.task.pid for event in source.events if isinstance(event, Exit)}
    assert set(pids) <= ended


def test_a_restart_keeps_the_clock(started: list[Unprivileged], tmp_path: Path) -> None:
    offsets = set()
    for _ in range(2):
        source = Unprivileged(tmp_path)
        started.append(source)
        host = source.receive()
        assert isinstance(host, HostFacts)
        offsets.add(host.clock_offset_ns)
        source.end()
    assert offsets == {json.loads((tmp_path / "clock.json").read_text())["offset_ns"]}


def test_every_record_is_good(started: list[Unprivileged], tmp_path: Path) -> None:
    source = Unprivileged(tmp_path)
    started.append(source)
    source.until(SnapshotEnd)
    source.end()
    counters = Counters()
    assert len(decode_batch(source.records, counters)) == len(source.records)
    assert not counters.bad_records
