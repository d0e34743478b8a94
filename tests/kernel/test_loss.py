"""What is lost is counted, marked in the stream, and repaired; what was lost is in doubt until then."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.containers import Container
from pipeline.events import Cgroup, Event, Exec, Exit, Fork, Loss, Running, SnapshotBegin, SnapshotEnd
from pipeline.process import ProcessVersion
from tests.kernel.counters import KernelCounters
from tests.kernel.hierarchies import made, mounted, put
from tests.kernel.live import Followed, Proc, differences
from tests.kernel.programs import end_all, forked, stat
from tests.kernel.puppet import Puppet
from tests.kernel.test_source import Unprivileged

pytestmark = pytest.mark.kernel

RING_BYTES = 256 * 1024  # the smallest has no room for what else goes on on a busy machine
LONG = 32  # execs with as many arguments as a record carries, 16 KiB: two rings full
SHORT = 60  # births and ends, of some 350 bytes each: they fill what the long ones left
MOVES = 16  # of some 70 bytes, into the room that is left
REPAIRS_MAX = 20
BINARY = os.path.realpath("/bin/sleep")
AGAIN = "read line; : again"
CONTAINER = "5" * 64


class Interrupted:
    """An agent that was stopped while its ring ran over, and what happened unseen meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._end = ExitStack()
        self.hierarchy = self._end.enter_context(mounted(folder / "v1", 1))
        docker = self._end.enter_context(made(self.hierarchy.folder / "docker"))
        (docker / CONTAINER).mkdir()
        self.leaves, self.stays = Puppet(), Puppet()
        for each in (self.leaves, self.stays):
            put(each.pid, docker / CONTAINER)
        self.source = Unprivileged(folder, ring_bytes=RING_BYTES)
        self.source.until(SnapshotEnd)
        self.counters = KernelCounters(self.source.process.pid)
        self.puppet, self.parent = Puppet(), Puppet()
        waits = "signal.sigwait([10]), os.execv('/bin/sleep', ['sleep', '600'])"
        self.puppet.ask("signal.pthread_sigmask(signal.SIG_BLOCK, [10]) and 0")
        self.killed = self.puppet.ask("clone3()")
        self.executes = self.puppet.ask(f"clone3(work={waits!r})")
        self.again = subprocess.Popen(["/bin/sh", "-c", f"read line; exec /bin/sh -c '{AGAIN}'"], stdin=subprocess.PIPE)
        twice = "read line; exec /bin/sh -c 'read line; exec /bin/sleep 600'"
        self.twice = subprocess.Popen(["/bin/sh", "-c", twice], stdin=subprocess.PIPE)
        self.orphan = self.parent.ask("os.posix_spawn('/bin/sleep', ['sleep', '600'], {})")
        self.marker()
        os.kill(self.source.process.pid, signal.SIGSTOP)
        self.began_ns = _now_ns()
        try:
            self._go_on_unseen()
        finally:
            self.ended_ns = _now_ns()
            os.kill(self.source.process.pid, signal.SIGCONT)

    def _go_on_unseen(self) -> None:
        self._goes_on(self.twice, "read line; exec /bin/sleep 600")  # for this one there is room
        for _ in range(LONG):
            subprocess.run(["/bin/true", "x" * wire.ARGS_MAX], check=True)
        for _ in range(SHORT):
            os.waitpid(forked(lambda: os._exit(0)), 0)
        self.puppet.ask(f"end({self.killed})")
        os.kill(self.executes, signal.SIGUSR1)
        while os.readlink(f"/proc/{self.executes}/exe") != BINARY:
            pass
        for _ in range(MOVES):
            put(self.puppet.pid, self.hierarchy.folder)
        put(self.leaves.pid, self.hierarchy.folder)
        self._goes_on(self.again, AGAIN)
        self._goes_on(self.twice, "600")
        self.puppet.ask("os.setsid()")
        self.unseen = self.puppet.ask("clone3()")
        os.kill(self.parent.pid, signal.SIGKILL)
        os.waitid(os.P_PID, self.parent.pid, os.WEXITED | os.WNOWAIT)

    @staticmethod
    def _goes_on(shell: subprocess.Popen[bytes], argument: str) -> None:
        """To the exec that has this argument."""
        assert shell.stdin is not None
        shell.stdin.write(b"\n")
        shell.stdin.flush()
        while argument.encode() not in Path(f"/proc/{shell.pid}/cmdline").read_bytes().split(b"\0"):
            pass

    def marker(self) -> int:
        """All that has happened so far has been received, or lost: a birth and an end from now are."""
        child = subprocess.Popen(["/bin/true"])
        child.wait(30)
        self.source.until(Exit, child.pid)
        return child.pid

    def until_repaired(self) -> int:
        """Pid of a process that was born and ended after a repair that nothing was lost during or since.

        A walk that was under way when the loss was seen goes on to its end; the one that is meant begins after it.
        """
        for _ in range(REPAIRS_MAX):
            self.source.until(SnapshotEnd)
            pid = self.marker()
            events = self.source.events
            lost = max(at for at, event in enumerate(events) if isinstance(event, Loss))
            if {SnapshotBegin, SnapshotEnd} <= {type(event) for event in events[lost:]}:
                return pid
        raise AssertionError("it loses again and again")

    def close(self) -> None:
        for shell in (self.again, self.twice):
            shell.kill()
            shell.communicate(timeout=60)
        os.kill(self.orphan, signal.SIGKILL)
        end_all()
        self.counters.close()
        self.source.close()
        self._end.close()


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@pytest.fixture
def interrupted(tmp_path: Path) -> Iterator[Interrupted]:
    made = Interrupted(tmp_path)
    yield made
    made.close()


def _cover(interrupted: Interrupted) -> int:
    """Where the loss that the stop made stands in the stream: a busy machine may have made others."""
    for at, event in enumerate(interrupted.source.events):
        if isinstance(event, Loss) and event.since_ns <= interrupted.began_ns < event.stamp.time_ns:
            return at
    raise AssertionError("nothing was lost")


def _position(events: list[Event], kind: type, after: int = 0) -> int:
    return next(at for at in range(after, len(events)) if isinstance(events[at], kind))


def test_what_an_agent_missed_is_marked_in_the_stream_then_told_again(interrupted: Interrupted) -> None:
    interrupted.until_repaired()
    events = interrupted.source.events
    first = _cover(interrupted)
    loss = events[first]
    assert isinstance(loss, Loss)
    assert loss.since_ns <= interrupted.began_ns < interrupted.ended_ns <= loss.stamp.time_ns
    assert {wire.FORK, wire.EXIT} <= set(loss.lost)
    begin = _position(events, SnapshotBegin, first)
    end = _position(events, SnapshotEnd, begin)
    assert first < begin < end
    told = {event.task.pid for event in events[begin:end] if isinstance(event, Running)}
    alive = (os.getpid(), 1, 2, interrupted.puppet.pid, interrupted.executes, interrupted.orphan, interrupted.unseen)
    assert set(alive) <= told


def test_what_is_said_to_be_lost_is_what_the_kernel_has_counted(interrupted: Interrupted) -> None:
    interrupted.until_repaired()
    said = interrupted.source.end()
    told: Counter[int] = Counter()
    for event in interrupted.source.events:
        if isinstance(event, Loss):
            told.update(event.lost)
    counted = interrupted.counters.lost()
    assert {wire.FORK, wire.EXIT} <= set(counted)
    assert all(told[kind] >= count for kind, count in counted.items())
    assert told.total() == sum(counted.values()) + interrupted.counters.skipped()
    assert said[0] == f"lost {told.total()}"


def test_lineages_are_in_doubt_until_they_are_right_again(interrupted: Interrupted) -> None:
    last = interrupted.until_repaired()
    before = Proc()
    interrupted.marker()
    after = Proc()
    events = interrupted.source.events
    followed = Followed()
    first = _cover(interrupted)
    followed.take(events[: first + 1])
    start = {pid: version.start_ns for pid, version in followed.by_pid().items()}
    for pid in (interrupted.executes, interrupted.again.pid, interrupted.killed, interrupted.orphan):
        assert "loss" in followed.by_pid()[pid].doubt
    closed: list[ProcessVersion] = []
    for event in events[first + 1 :]:
        followed.take([event])
        if isinstance(event, SnapshotEnd):
            closed += followed.tree.closed()
    now = followed.by_pid()

    ended = {version.pid: version for version in closed}
    for pid in (interrupted.killed, interrupted.parent.pid):
        assert (ended[pid].start_ns, ended[pid].exit_status) == (start[pid], None)
        assert interrupted.ended_ns < (ended[pid].end_ns or 0)
    executed = now[interrupted.executes]
    assert (executed.image.executable, executed.image.args) == (BINARY, ("sleep", "600"))
    assert executed.previous[0].name == "python3"
    assert executed.start_ns == start[interrupted.executes]
    again = now[interrupted.again.pid]  # the same binary, and the same comm
    assert (again.image.executable, again.image.args) == (os.path.realpath("/bin/sh"), ("/bin/sh", "-c", AGAIN))
    assert again.previous[0].executable == again.image.executable
    twice = now[interrupted.twice.pid]
    assert (twice.image.executable, twice.previous[0].args[2]) == (BINARY, "read line; exec /bin/sleep 600")
    told = [event.args for event in events if isinstance(event, Exec) and event.task.pid == twice.pid]
    assert told[-1] == twice.previous[0].args  # the last was lost indeed
    assert now[interrupted.puppet.pid].session.id == interrupted.puppet.pid
    orphan = now[interrupted.orphan]
    assert orphan.parent is not None
    assert orphan.reaper is not None
    assert (orphan.parent.pid, orphan.reaper.pid) == (interrupted.parent.pid, int(stat(interrupted.orphan)[1]))
    moves = [event for event in events if isinstance(event, Cgroup) and event.pid == interrupted.leaves.pid]
    assert not [event for event in moves if event.path == "/" and event.cgroup_id]  # the kernel's was lost indeed
    assert now[interrupted.leaves.pid].container is None
    assert now[interrupted.stays.pid].container == Container(CONTAINER, "docker")
    unseen = now[interrupted.unseen]
    assert [ancestor.pid for ancestor in unseen.ancestors[:2]] == [interrupted.puppet.pid, os.getpid()]
    for version in (executed, again, twice, orphan, unseen, now[interrupted.puppet.pid], now[os.getpid()]):
        assert "loss" not in version.doubt, version
    (fork,) = [event for event in events if isinstance(event, Fork) and event.task.pid == last]
    child = followed.tree.get(last, fork.task.start_ns)
    assert child is not None
    assert "loss" not in child.doubt
    assert differences(before, followed, after) == {}
