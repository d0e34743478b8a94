"""The snapshot is what /proc shows, and everything that happens meanwhile comes after it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import HostError
from pipeline.events import Event, Exec, Exit, Fork, Running
from pipeline.sources.decode import decode_batch
from pipeline.sources.ebpf.snapshot import BEGIN_AGAIN, END, FULL, MORE, Snapshot
from pipeline.sources.ebpf.syscall import Program
from pipeline.sources.encode import encode
from pipeline.sources.synthetic import Synthetic
from tests.kernel.programs import numbers, python
from tests.kernel.tracer import DEADLINE_S, TICK_NS, Tracer

pytestmark = pytest.mark.kernel


def _proc() -> dict[int, tuple[int, ...]]:
    """pid: start in ticks, parent, group, session, of every process."""
    found: dict[int, tuple[int, ...]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[int(path.parent.name)] = (int(fields[19]), int(fields[1]), int(fields[2]), int(fields[3]))
    return found


def _described(event: Running) -> tuple[int, ...]:
    task = event.task
    return (task.start_ns // TICK_NS, task.parent_pid, task.session.group_id, task.session.id)


def test_it_is_what_proc_shows(tracer: Tracer) -> None:
    before = _proc()
    told = tracer.snapshot()
    after = _proc()
    stayed = {pid for pid, shown in before.items() if after.get(pid) == shown}
    assert len(stayed) > 2
    assert {pid: before[pid] for pid in stayed} == {pid: _described(told[pid]) for pid in stayed if pid in told}
    assert not set(told) - set(before) - set(after) - {event.task.pid for event in tracer.events if type(event) is Fork}


def test_paths_are_what_proc_shows(tracer: Tracer) -> None:
    with subprocess.Popen(["/bin/sleep", "60"], cwd="/usr/lib", stdin=subprocess.DEVNULL) as child:
        try:
            fork = tracer.one(Fork, child.pid)
            tracer.one(Exec, child.pid)
            event = tracer.snapshot()[child.pid]
        finally:
            child.kill()
    assert (event.executable, event.working_directory) == (os.path.realpath("/bin/sleep"), "/usr/lib")
    assert event.task.start_ns == fork.task.start_ns == tracer.one(Exit, child.pid).task.start_ns
    assert not event.kernel_thread
    assert not event.zombie


def test_kernel_threads_are_told_as_such(tracer: Tracer) -> None:
    kthreadd = tracer.snapshot()[2]
    assert kthreadd.kernel_thread
    assert (kthreadd.task.comm, kthreadd.executable, kthreadd.working_directory) == ("kthreadd", "", "")
    assert not kthreadd.parent_is_reaper


def test_a_kernel_threads_parent_adopts_nobody(tracer: Tracer) -> None:
    children = [event for event in tracer.snapshot().values() if event.task.parent_pid == 2]
    assert children
    assert not [event for event in children if event.parent_is_reaper or not event.kernel_thread]


def test_what_ended_and_waits_for_its_parent_is_a_zombie(tracer: Tracer) -> None:
    child = subprocess.Popen(["/bin/true"])
    tracer.one(Exit, child.pid)
    deadline = time.monotonic() + DEADLINE_S
    while not (told := tracer.snapshot()[child.pid]).zombie and time.monotonic() < deadline:
        pass  # the exit is told a moment before the process is a zombie
    child.wait()
    assert told.zombie


def test_a_child_of_init_or_of_a_subreaper_may_be_adopted(tracer: Tracer) -> None:
    child = python(
        """
PR_SET_CHILD_SUBREAPER = 36
def sleeping():
    made = os.fork()
    if made == 0:
        time.sleep(60)
    return made
plain = sleeping()
tell(plain)
sys.stdin.readline()
libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
tell(1)
sys.stdin.readline()
os.kill(plain, 9)
""",
        stdin=subprocess.PIPE,
    )
    (plain,) = numbers(child)
    assert not tracer.snapshot()[plain].parent_is_reaper
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()
    numbers(child)
    told = tracer.snapshot()[plain]
    child.communicate("go\n")
    assert told.parent_is_reaper
    orphans = [event for event in tracer.snapshot().values() if event.task.parent_pid == 1]
    assert all(event.parent_is_reaper for event in orphans)


@pytest.fixture
def busy() -> Iterator[int]:
    """A process that has children come and go as fast as it can."""
    child = python(
        """
tell(1)
while True:
    made = os.fork()
    if made == 0:
        os._exit(0)
    os.waitpid(made, 0)
"""
    )
    numbers(child)
    yield child.pid
    child.send_signal(signal.SIGKILL)


def test_nobody_who_lives_is_missed_while_others_come_and_go(tracer: Tracer, busy: int) -> None:
    children = [subprocess.Popen(["/bin/sleep", "60"]) for _ in range(20)]
    alive = {os.getpid(), busy, 1, 2, *(child.pid for child in children)}
    try:
        for _ in range(30):
            assert alive <= set(tracer.snapshot())
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_what_happens_meanwhile_is_held_back(tracer: Tracer, busy: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    held: list[Event] = []
    while not [event for event in held if isinstance(event, Fork) and event.birth_pid == busy]:
        assert time.monotonic() < deadline
        snapshot = Snapshot(Program(tracer.handover.snapshot), tracer.ring)
        snapshot.walk()
        held = decode_batch(snapshot.held, tracer.counters)
    assert not [event for event in held if isinstance(event, Running)]
    found = [found.start_ns for found in snapshot.found()]
    assert found == sorted(found)


def test_a_walk_in_a_ring_that_is_full_waits_for_room_and_loses_nobody(small: Tracer, busy: int) -> None:
    """One page has room for some ten processes."""
    told = small.snapshot()
    assert {os.getpid(), busy, 1, 2} <= set(told)


class Scripted:
    """A program that answers as it is told and, as the kernel does, tells one process with each MORE."""

    def __init__(self, answers: list[int], records: list[bytes]) -> None:
        self.answers = answers
        self.records = records
        self.asked: list[int] = []
        self.waiting_records: list[bytes] = []

    def run(self, argument: int) -> int:
        self.asked.append(argument)
        answer = self.answers.pop(0)
        if answer == MORE:
            self.waiting_records.append(self.records.pop(0))
        return answer

    def drain(self, _records_max: int) -> list[bytes]:
        drained, self.waiting_records = self.waiting_records, []
        return drained

    def written(self) -> int:
        return 0

    def has_passed(self, position: int) -> bool:
        return True

    def waiting(self) -> bool:
        return bool(self.waiting_records)

    def close(self) -> None: ...


def _two_processes() -> list[bytes]:
    stream = Synthetic()
    init = stream.running("/sbin/init", pid=1, start_ns=1)
    stream.running("/bin/bash", parent=init, pid=5, start_ns=9)
    return [encode(event) for event in stream.events if isinstance(event, Running)]


def test_a_walk_that_lost_its_place_begins_again_and_tells_each_once() -> None:
    one, two = _two_processes()
    scripted = Scripted([MORE, MORE, BEGIN_AGAIN, MORE, FULL, MORE, END], [two, one, two, one])
    snapshot = Snapshot(scripted, scripted)
    snapshot.walk()
    assert scripted.asked == [0, 1, 1, 0, 1, 1, 1]
    assert [found.pid for found in snapshot.found()] == [1, 5]


def test_what_cannot_be_held_is_counted_by_kind() -> None:
    stream = Synthetic()
    stream.storm(stream.running("/sbin/init", pid=1), 1)
    forks = [encode(event) for event in stream.events if isinstance(event, Fork)]
    scripted = Scripted([END], [])
    scripted.waiting_records = forks
    snapshot = Snapshot(scripted, scripted, held_bytes_max=len(forks[0]))
    snapshot.walk()
    assert snapshot.held == forks[:1]
    assert snapshot.not_held == {1: len(forks) - 1}


def test_a_walk_that_never_ends_is_given_up() -> None:
    class Endless(Scripted):
        def run(self, argument: int) -> int:
            return BEGIN_AGAIN

    endless = Endless([], [])
    with pytest.raises(HostError, match="faster than they can be listed"):
        Snapshot(endless, endless).walk()


def test_a_kernel_that_refuses_the_program_is_told_so() -> None:
    with open("/dev/null") as no_program, pytest.raises(HostError, match="does not run the snapshot program"):
        Snapshot(Program(no_program.fileno()), Scripted([], [])).walk()
