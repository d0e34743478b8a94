"""A snapshot without a gap: what is born, executes, ends or is adopted while the source starts comes out right."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.events import Event, Exec, Exit, Fork, Running, SnapshotEnd
from tests.kernel.live import Followed, Proc, differences
from tests.kernel.programs import end_all, go_on, numbers, python
from tests.kernel.test_source import Unprivileged

pytestmark = pytest.mark.kernel

STORM = """
import collections, select
KEPT_MAX, ROUND = 12, 30  # who lives at a time, beside those that stay; what is done before it answers
libc.prctl(36, 1, 0, 0, 0)  # a subreaper: orphans come to it, and it reaps them
kept, stay = collections.deque(), []
def live_on():
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)
    while True:
        signal.pause()
def orphan(session):
    reader, writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        made = os.fork()
        if made == 0:
            if session:
                os.setsid()
            os.close(writer)
            while os.getppid() != storm:
                time.sleep(0.001)
            live_on()
        os.write(writer, made.to_bytes(4, "little"))
        os._exit(0)
    made = int.from_bytes(os.read(reader, 4), "little")
    os.close(reader), os.close(writer)
    kept.append((made, middle))
def child():
    made = os.fork()
    if made == 0:
        live_on()
    kept.append((made, storm))
def executing():
    kept.append((os.posix_spawn("/bin/sleep", ["sleep", "600"], {}), storm))
def short():
    if os.fork() == 0:
        os._exit(0)
    os.posix_spawn("/bin/true", ["true"], {})
storm, number = os.getpid(), 0
work = (short, lambda: orphan(False), executing, short, lambda: orphan(True), child)
def step():
    global number
    work[number % len(work)]()
    number += 1
    if len(kept) > KEPT_MAX:
        os.kill(kept.popleft()[0], signal.SIGKILL)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
def one_round():  # who is kept at its end was born in it, and stays; the next ones are killed in the round after it
    for _ in range(ROUND):
        step()
    stay.append(list(kept))
    kept.clear()
    for _ in work:
        step()
    tell(storm)
one_round()
while len(stay) < 3:
    step()
    if select.select([0], [], [], 0)[0]:
        sys.stdin.readline()
        one_round()
for round, those in enumerate(stay):
    for pid, birth in those:
        tell(pid, birth, round)
tell(0, 0, 0)
sys.stdin.readline()
for those in stay:
    for pid, _ in those:
        os.kill(pid, signal.SIGKILL)
"""
KEPT_MIN = 30
SLEEP = os.path.realpath("/bin/sleep")
BEFORE, PROBED, AFTER = range(3)  # rounds: nobody listens; the probes are on, the walk is to come; it has been


class Kept(NamedTuple):
    """Whom the storm leaves alive, by its own account."""

    pid: int
    birth: int  # who called fork
    round: int


def _marker(source: Unprivileged) -> None:
    """All that has happened so far has been received: a birth and an end from now are."""
    marker = subprocess.Popen(["/bin/true"])
    marker.wait(30)
    source.until(Exit, marker.pid)


def _told(storm: subprocess.Popen[str]) -> list[Kept]:
    """All who stay, when its last round is over."""
    kept = []
    while (told := numbers(storm))[0]:
        kept.append(Kept(*told))
    return kept


def _born_of(pid: int, events: list[Event]) -> set[int]:
    """Pids of that process and of all that descend from it."""
    found = {pid}
    forks = [event for event in events if isinstance(event, Fork)]
    for event in sorted(forks, key=lambda fork: fork.stamp.time_ns):
        if event.birth_pid in found:
            found.add(event.task.pid)
    return found


def _identity(event: Running | Exit) -> tuple[int, int]:
    return event.task.pid, event.task.start_ns


def test_a_storm_while_the_source_starts_leaves_a_tree_that_is_what_proc_shows(tmp_path: Path) -> None:
    storm = python(STORM, stdin=subprocess.PIPE)
    numbers(storm)
    source = Unprivileged(tmp_path, stop=True)  # the probes are on, and it is not allowed to go on
    try:
        go_on(storm)
        numbers(storm)
        os.kill(source.process.pid, signal.SIGCONT)
        source.until(SnapshotEnd)
        first = len(source.events)
        go_on(storm)
        numbers(storm)
        kept = _told(storm)
        before = Proc()
        _marker(source)
        after = Proc()
        followed = Followed()
        followed.take(source.events)
        _assert_that_there_was_a_storm(storm.pid, kept, source.events, first)
        assert differences(before, followed, after) == {}
        versions = followed.by_pid()
        for pid, birth, round_ in kept:
            version = versions[pid]
            assert version.parent is not None
            assert version.parent.pid == birth or (round_ == BEFORE and "snapshot" in version.doubt)
            assert version.image.executable
            # unknown_parent: it is right, but of a parent that ended before it was found nobody told the birth
            assert not {"loss", "evicted"} & set(version.doubt)
        assert not followed.counters.closed_unseen
        go_on(storm)
        said = source.end()
        assert said[0] == "lost 0"
    finally:
        end_all()
        source.close()


def _assert_that_there_was_a_storm(storm: int, kept: list[Kept], events: list[Event], first: int) -> None:
    """What the test is about has happened: ``first`` is the first event after the snapshot's end."""
    assert len(kept) >= KEPT_MIN
    met = {event.task.pid: event for event in events[:first] if isinstance(event, Running)}
    stayed = [each for each in kept if each.round != AFTER]
    assert {each.pid for each in stayed} <= set(met)
    for round_ in (BEFORE, PROBED):
        those = [(each, met[each.pid]) for each in stayed if each.round == round_]
        adopted = [pid for (pid, birth, _), event in those if event.task.parent_pid == storm != birth]
        executed = [pid for (pid, _, _), event in those if event.executable == SLEEP]
        assert adopted
        assert executed
    killed = {_identity(event) for event in events if isinstance(event, Exit) and event.status == signal.SIGKILL}
    assert killed & set(map(_identity, met.values()))
    # Born, executed and ended before the snapshot's end, and told of after it.
    pids, end_ns = _born_of(storm, events), events[first - 1].stamp.time_ns
    of_storm = [each for each in events[first:] if isinstance(each, (Fork, Exec, Exit)) and each.task.pid in pids]
    assert {type(event) for event in of_storm if event.stamp.time_ns < end_ns} == {Fork, Exec, Exit}
