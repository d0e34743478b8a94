"""What real processes were at moments between what they did, asked when all is over."""

from __future__ import annotations

import random
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.events import (
    CredentialChange,
    DirectoryChange,
    Exec,
    Exit,
    Fork,
    Rename,
    SessionChange,
    ThreadStart,
)
from pipeline.sources import hostfacts
from pipeline.tree import NoAnswer, ProcessAnswer, ProcessKey, ThreadKey
from tests.kernel.programs import finished, numbers, python
from tests.kernel.watch import Watch, pid_of
from tests.tree.answers import answered, differences, id_of
from tests.tree.chronicle import Chronicle, Key, Seen

pytestmark = pytest.mark.kernel

# One process: born, four execs, another user, another name, its parent lost, its leader gone. It tells the moments
# between; whoever bore it ends when it is told to.
LIFE = """
def moment():
    tell(os.getpid(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))
folder, step = sys.argv[1], int(sys.argv[2])
def become(name, step):
    os.execv("/".join((folder, name)), [name, "-c", sys.orig_argv[2], folder, str(step), *sys.argv[3:]])
if step == 0:
    hold_on, let_go = os.pipe()
    os.set_inheritable(let_go, True)
    if os.fork():
        os.close(let_go)
        os.read(hold_on, 1)
        os._exit(0)
    sys.argv.append(str(let_go))
moment()
if step < 4:
    become(("one", "two", "three", "four")[step], step + 1)
os.setgroups([7, 8])
os.setresuid(4242, 4242, 4242)
moment()
libc.prctl(15, b"another", 0, 0, 0)
moment()
parent = os.getppid()
os.write(int(sys.argv[3]), b"x")
while os.getppid() == parent:
    time.sleep(0.001)
moment()
leader_gone = threading.Event()
def stay():
    libc.prctl(15, b"who stays", 0, 0, 0)
    tell(threading.get_native_id(), os.getppid())
    moment()
    while open(f"/proc/self/task/{os.getpid()}/stat").read().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.001)
    moment()
    os._exit(3)
threading.Thread(target=stay).start()
libc.syscall(SYS_EXIT, 0)
"""
BORN, ONE, TWO, THREE, FOUR, OTHER_USER, RENAMED, ALONE, THREADED, LEFT = range(10)


def test_a_known_history_is_answered_moment_by_moment(watch: Watch, tmp_path: Path) -> None:
    for name in ("one", "two", "three", "four"):
        (tmp_path / name).symlink_to("/usr/bin/python3")
    lines = finished(python(LIFE, str(tmp_path), "0"))
    tid, reaper = lines.pop(THREADED)
    (pid,) = {told[0] for told in lines}
    moments = [told[1] for told in lines]
    end = watch.ended(pid)
    assert end.exit_status == 3 << 8
    at = [watch.tree.process(ProcessKey(end.entity_id, moment)) for moment in moments]

    names = ["python3", "one", "two", "three", *["four"] * 6]
    assert [answer.process.image.name for answer in at] == names
    assert [[image.name for image in answer.process.previous] for answer in at[: FOUR + 1]] == [
        names[BORN:step][::-1] for step in range(FOUR + 1)
    ]
    assert [answer.process.credentials.uid for answer in at] == [0] * 5 + [4242] * 5
    assert at[OTHER_USER].process.credentials.groups == (7, 8)
    assert at[FOUR].process.credentials.groups != (7, 8)
    assert [answer.process.thread_name for answer in at[FOUR:]] == ["four", "four", *["another"] * 4]
    assert all(answer.alive and answer.process.end_ns is None for answer in at)
    for answer, after in pairwise(at):
        assert answer.until_ns is not None
        assert answer.since_ns <= after.since_ns
    assert [_parent_now(answer) for answer in at[:ALONE]] == [end.ancestors[0].pid] * ALONE
    assert [_parent_now(answer) for answer in at[ALONE:]] == [reaper] * 3
    assert all(answer.process.parent == end.parent for answer in at)
    assert {answer.process.doubt for answer in at} == {end.doubt}
    assert "loss" not in end.doubt

    start_ns = watch.one(ThreadStart, pid)[0].thread_start_ns
    thread = id_of((tid, start_ns), hostfacts.boot_id())
    with pytest.raises(NoAnswer, match="had not begun"):
        watch.tree.thread_at(ThreadKey(thread, moments[ALONE]))
    stayed = watch.tree.thread_at(ThreadKey(thread, moments[LEFT]))
    assert (stayed.name, stayed.alive, stayed.process_id) == ("who stays", True, end.entity_id)
    leaders = [watch.tree.thread_at(ThreadKey(end.entity_id, moments[step])) for step in (ALONE, LEFT)]
    assert [leader.alive for leader in leaders] == [True, False]


def _parent_now(answer: ProcessAnswer) -> int:
    parent = answer.process.reaper or answer.process.parent
    assert parent is not None
    return parent.pid


STORM = """
import random
import subprocess
from itertools import pairwise
chance = random.Random(7)
def short():
    if os.fork() == 0:
        os._exit(3)
def spawns():
    os.posix_spawn("/bin/true", ["true", str(chance.random())], {})
def changes():
    if os.fork() == 0:
        libc.prctl(15, b"worker", 0, 0, 0)
        os.chdir(chance.choice(["/tmp", "/usr", "/var"]))
        os.setsid()
        os.setgroups([chance.randrange(9)])
        os.setresuid(*[chance.randrange(1, 9)] * 3)
        if os.fork() == 0:
            os.execv("/bin/sh", ["sh", "-c", "/bin/true; exec /bin/true"])
        libc.prctl(15, b"again", 0, 0, 0)
        os._exit(4)
def orphans():
    if os.fork() == 0:
        if os.fork() == 0:
            if os.fork() == 0:
                time.sleep(chance.random() / 50)
                os.execv("/bin/true", ["orphan"])
            time.sleep(chance.random() / 100)
            os._exit(5)
        os._exit(6)
def threads():
    if os.fork() == 0:
        made = [threading.Thread(target=libc.prctl, args=(15, b"thread", 0, 0, 0)) for _ in range(3)]
        for thread in made:
            thread.start()
        for thread in made:
            thread.join()
        os.execv("/bin/true", ["true"])
work = (short, spawns, changes, orphans, threads)
for number in range(200):
    work[number % len(work)]()
    if number % 20 == 19:
        time.sleep(0.01)
while True:
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        break
tell(os.getpid())
sys.stdin.readline()
"""
PAIRS = 1000


def test_the_answers_about_a_storm_are_those_of_the_chronicle(watch: Watch) -> None:
    storm = python(STORM, stdin=subprocess.PIPE)
    (pid,) = numbers(storm)
    watch.catch_up()
    chronicle = Chronicle()
    for event in (*watch.older, *(told.event for told in watch.told)):
        chronicle.tell(event)
    family = _born_of(pid, watch)
    kinds = {type(told.event) for told in watch.told if pid_of(told.event) in {key[0] for key in family}}
    assert {Fork, Exec, Exit, Rename, CredentialChange, SessionChange, DirectoryChange, ThreadStart} <= kinds
    assert len(family) >= 300

    chance = random.Random(1)
    last_ns = watch.told[-1].event.stamp.time_ns
    ages = []
    for _ in range(PAIRS):
        key = chance.choice(family)
        time_ns = chance.randint(chronicle.known_since(key), min(chronicle.end(key)[0] or last_ns, last_ns) + 1_000_000)
        seen = _of_the_storm(answered(watch.tree, key, time_ns, hostfacts.boot_id()), family)
        expected = _of_the_storm(chronicle.at(key, time_ns), family)
        if seen != expected:
            raise AssertionError(f"{key} at {time_ns}: {differences(seen, expected)}")
        ages.append(seen.alive)
    assert {True, False} == set(ages)


def _born_of(pid: int, watch: Watch) -> list[Key]:
    """All that descend from the storm."""
    pids, found = {pid}, []
    forks = [told.event for told in watch.told if type(told.event) is Fork]
    for fork in sorted(forks, key=lambda fork: fork.stamp.time_ns):
        if fork.birth_pid in pids:
            pids.add(fork.task.pid)
            found.append((fork.task.pid, fork.task.start_ns))
    return found


def _of_the_storm(seen: Seen, family: list[Key]) -> Seen:
    """Lineage and containers of whom the snapshot found follow rules that the chronicle does not know."""
    return seen._replace(lineage=tuple(one for one in seen.lineage if one[0] in family), container="")
