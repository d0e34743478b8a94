"""A snapshot without a gap: what is born, executes, ends or is adopted while the source starts comes out right."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.events import Exec, Exit, Fork, SnapshotEnd
from tests.kernel.live import Followed, Proc, differences
from tests.kernel.programs import end_all, numbers, python
from tests.kernel.test_source import Unprivileged

pytestmark = pytest.mark.kernel

STORM = """
import collections, select
libc.prctl(36, 1, 0, 0, 0)  # a subreaper: orphans come to it, and it reaps them
kept = collections.deque()
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
tell(storm)
while not select.select([0], [], [], 0)[0]:
    work[number % len(work)]()
    number += 1
    if len(kept) > 60:
        os.kill(kept.popleft()[0], signal.SIGKILL)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
sys.stdin.readline()
for pid, birth in kept:
    tell(pid, birth)
tell(0, number)
sys.stdin.readline()
for pid, _ in kept:
    os.kill(pid, signal.SIGKILL)
"""


def _marker(source: Unprivileged) -> None:
    """All that has happened so far has been received: a birth and an end from now are."""
    marker = subprocess.Popen(["/bin/true"])
    marker.wait(30)
    source.until(Exit, marker.pid)


def test_a_storm_while_the_source_starts_leaves_a_tree_that_is_what_proc_shows(tmp_path: Path) -> None:
    storm = python(STORM, stdin=subprocess.PIPE)
    numbers(storm)
    source = Unprivileged(tmp_path)
    try:
        source.until(SnapshotEnd)
        first = len(source.events)
        _marker(source)
        assert storm.stdin is not None
        storm.stdin.write("stop\n")
        storm.stdin.flush()
        kept = {}
        while (told := numbers(storm))[0]:
            kept[told[0]] = told[1]
        before = Proc()
        _marker(source)
        after = Proc()
        followed = Followed()
        followed.take(source.events)
        assert differences(before, followed, after) == {}
        versions = followed.by_pid()
        assert set(kept) <= set(versions)
        for pid, birth in kept.items():
            version = versions[pid]
            assert version.parent is not None
            assert version.parent.pid == birth or "snapshot" in version.doubt
            assert version.image.executable
            # unknown_parent: it is right, but of a parent that ended before it was found nobody told the birth
            assert not {"loss", "evicted"} & set(version.doubt)
        # Some were born before the snapshot's end and told of after it.
        overtaken = {event.stamp.time_ns for event in source.events[first:] if isinstance(event, (Fork, Exec, Exit))}
        assert min(overtaken) < source.events[first - 1].stamp.time_ns
        assert not followed.counters.closed_unseen
        storm.stdin.write("end\n")
        storm.stdin.flush()
        said = source.end()
        assert said[0] == "lost 0"
    finally:
        end_all()
        source.close()
