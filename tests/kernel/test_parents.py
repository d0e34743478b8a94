"""Who is whose parent when parents end: birth parent, and who would reap it now, which /proc shows as PPid."""

from __future__ import annotations

import os
import subprocess

import pytest

from pipeline import wire
from pipeline.events import Exec, Exit, Fork, SessionChange
from pipeline.process import ANCESTORS_MAX, ProcessVersion
from tests.kernel.compiled import Compiler
from tests.kernel.programs import go_on, numbers, parent_now, program, python, stat
from tests.kernel.watch import Watch, below

pytestmark = pytest.mark.kernel

# Each of these grows a small family, tells its pids, and does the next thing at each line that it reads.
FAMILY = """
PR_SET_CHILD_SUBREAPER = 36
def next():
    os.read(0, 1)
def subreaper(on=1):
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, on, 0, 0, 0) == 0
def child(work):
    made = os.fork()
    if made == 0:
        try:
            work()
        finally:
            os._exit(0)
    return made
def wait_for(made):
    while os.waitpid(-1, 0)[0] != made:
        pass
def stay():
    time.sleep(60)
def end(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
"""


def _family(script: str) -> subprocess.Popen[str]:
    return python(FAMILY + script, stdin=subprocess.PIPE)


def _is_right(watch: Watch, pid: int, birth_pid: int) -> ProcessVersion:
    """The tree says of a living process what /proc says; who gave birth to it has not changed."""
    process = watch.now(pid)
    now = parent_now(pid)
    assert process.exit_status is None
    assert process.parent is not None
    assert process.parent.pid == birth_pid
    if now == birth_pid:
        assert process.reaper is None
    else:
        assert process.reaper is not None
        assert process.reaper.pid == now
        assert process.reaper.entity_id == watch.now(now).entity_id
    return process


def _left(watch: Watch, orphan: int, gone: tuple[int, ...]) -> None:
    """Wait until the kernel has given it to somebody else."""
    watch.until(lambda: parent_now(orphan) not in gone)


def test_an_orphan_goes_to_init_or_a_subreaper_above_and_keeps_its_birth_parent(watch: Watch) -> None:
    root = _family("""
made = child(lambda: (tell(os.getpid(), child(stay)), next()))
wait_for(made)
tell(0)
next()
""")
    parent, orphan = numbers(root)
    before = _is_right(watch, orphan, parent)
    go_on(root)
    assert numbers(root) == [0]
    after = _is_right(watch, orphan, parent)
    assert parent_now(orphan) not in (parent, root.pid)
    exited, _ = watch.one(Exit, parent)
    assert exited.reaper_pid == parent_now(orphan)
    assert (after.ancestors, after.depth, after.complete) == (before.ancestors, before.depth, before.complete)
    assert below(after, watch.ended(parent))


def test_the_nearest_subreaper_adopts_and_when_that_ends_the_next_one(watch: Watch) -> None:
    """upper (subreaper) > lower (subreaper) > plain > parent > orphan; parent, lower and upper end in turn."""
    root = _family(
        """
def upper():
    subreaper()
    child(lower)
    reap()
def lower():
    subreaper()
    child(plain)
    reap()
def plain():
    child(parent)
    reap()
def parent():
    tell(os.getpid(), child(stay))
    stay()
def reap():
    while True:
        try:
            os.wait()
        except ChildProcessError:
            stay()
child(upper)
reap()
"""
    )
    parent, orphan = numbers(root)
    plain, lower, upper, top = (ancestor.pid for ancestor in watch.now(parent).ancestors[:4])
    assert top == root.pid
    _is_right(watch, orphan, parent)
    os.kill(parent, 9)
    watch.ended(parent)
    watch.until(lambda: parent_now(orphan) == lower)
    _is_right(watch, orphan, parent)
    os.kill(lower, 9)
    watch.ended(lower)
    watch.until(lambda: parent_now(orphan) == upper)
    _is_right(watch, orphan, parent)
    _is_right(watch, plain, lower)
    os.kill(upper, 9)
    _left(watch, orphan, (upper, lower))
    watch.ended(upper)
    version = _is_right(watch, orphan, parent)
    assert [ancestor.pid for ancestor in version.ancestors[:5]] == [parent, plain, lower, upper, root.pid]


def test_a_process_that_is_no_subreaper_any_more_adopts_nobody(watch: Watch) -> None:
    root = _family(
        """
subreaper()
def parent():
    tell(os.getpid(), child(stay))
    stay()
made = child(parent)
next()
subreaper(0)
end(made); wait_for(made)
tell(0)
next()
"""
    )
    parent, orphan = numbers(root)
    go_on(root)
    numbers(root)
    assert parent_now(orphan) != root.pid
    _is_right(watch, orphan, parent)


def test_parent_and_subreaper_that_end_together_leave_the_orphan_where_the_kernel_does(watch: Watch) -> None:
    """Forty times, on whatever processors: one signal ends the subreaper and the parent, in either order."""
    root = _family(
        """
def reaper():
    os.setpgid(0, 0)
    subreaper()
    child(parent)
    stay()
def parent():
    child(lambda: (os.setpgid(0, 0), tell(os.getpid(), os.getppid(), os.getpgid(os.getppid())), stay()))
    stay()
for _ in range(40):
    made = child(reaper)
    wait_for(made)
tell(0)
next()
"""
    )
    orphans = []
    for _ in range(40):
        orphan, parent, group = numbers(root)
        os.killpg(group, 9)
        orphans.append((orphan, parent, group))
    assert numbers(root) == [0]
    for orphan, parent, group in orphans:
        watch.ended(parent)
        watch.ended(group)
        _left(watch, orphan, (parent, group))
        _is_right(watch, orphan, parent)


def test_a_parent_that_ends_while_its_child_execs_leaves_it_where_the_kernel_does(watch: Watch) -> None:
    """posix_spawn lets the parent end at once: its end is told before the kernel gives the child away, and the exec may
    name it as the parent still.
    """
    root = _family(
        """
for _ in range(60):
    made = child(lambda: tell(os.getpid(), os.posix_spawn("/bin/sleep", ["sleep", "60"], {})))
    wait_for(made)
next()
"""
    )
    spawned = [numbers(root) for _ in range(60)]
    for parent, orphan in spawned:
        watch.ended(parent)
        watch.one(Exec, orphan)
        _left(watch, orphan, (parent,))
        assert _is_right(watch, orphan, parent).reaper is not None


def test_inside_a_pid_namespace_its_init_adopts_and_when_that_ends_all_end(watch: Watch) -> None:
    root = _family(
        """
assert libc.unshare(CLONE_NEWPID) == 0
def init():
    made = child(parent)
    next()
    end(made); wait_for(made); tell(0)
    stay()
def parent():
    child(stay)
    tell(os.getpid())
    stay()
made = child(init)
tell(made)
wait_for(made)
tell(1)
next()
"""
    )
    told = numbers(root) + numbers(root)
    init = max(told)
    (parent,) = watch.children(init)
    (orphan,) = watch.children(parent)
    _is_right(watch, orphan, parent)
    go_on(root)
    assert numbers(root) == [0]
    version = _is_right(watch, orphan, parent)
    assert version.reaper is not None
    assert (version.reaper.pid, version.reaper.ns_pid, parent_now(orphan)) == (init, 1, init)
    assert watch.one(Exit, parent)[0].reaper_pid == init
    os.kill(init, 9)
    assert numbers(root) == [1]
    ends = [watch.ended(pid) for pid in (init, orphan)]
    assert [process.exit_status for process in ends] == [9, 9]
    assert watch.one(Exit, init)[0].reaper_pid == 0
    assert [ancestor.pid for ancestor in ends[1].ancestors[:3]] == [parent, init, root.pid]


def test_a_daemon_before_during_and_after_it_becomes_one(watch: Watch) -> None:
    """Fork, setsid, fork; first the middle one ends, then the one that began it; the lineage stays."""
    root = _family(
        """
def middle():
    next()
    os.setsid()
    made = child(daemon)
    tell(os.getpid(), made)
    next()
def daemon():
    time.sleep(60)
made = child(middle)
tell(made)
wait_for(made)
tell(0)
next()
"""
    )
    (middle,) = numbers(root)
    begun = watch.now(middle)
    assert begun.session_id == int(stat(os.getpid())[3])  # before: in our session still
    go_on(root)
    _, daemon = numbers(root)
    led = watch.now(middle)
    assert (led.session_id, led.group_id) == (middle, middle)
    assert watch.one(SessionChange, middle)
    during = _is_right(watch, daemon, middle)
    assert during.reaper is None
    assert during.session_leader is not None
    assert (during.session_leader.entity_id, during.session_id) == (led.entity_id, middle)
    go_on(root)
    assert numbers(root) == [0]
    after = _is_right(watch, daemon, middle)
    assert parent_now(daemon) not in (middle, root.pid)
    assert below(after, watch.ended(middle))
    go_on(root)
    root.wait(30)
    watch.ended(root.pid)
    last = _is_right(watch, daemon, middle)
    assert [ancestor.pid for ancestor in last.ancestors[:3]] == [middle, root.pid, os.getpid()]
    assert (last.session_id, last.entity_id) == (middle, during.entity_id)
    os.kill(daemon, 9)
    assert watch.ended(daemon).ancestors == last.ancestors


def test_a_parent_that_ends_between_fork_and_exec_is_the_parent_of_the_image_too(watch: Watch) -> None:
    root = _family(
        """
ours, theirs = os.pipe()
def parent():
    made = child(lambda: (os.read(ours, 1), os.execv("/bin/sleep", ["sleep", "60"])))
    tell(made)
made = child(parent)
wait_for(made)
tell(made)
next()
os.write(theirs, b"x")
next()
"""
    )
    (orphan,), (parent,) = numbers(root), numbers(root)
    go_on(root)
    _, process = watch.one(Exec, orphan)
    assert process.parent is not None
    assert process.parent.pid == parent
    assert process.image.name == "sleep"
    version = _is_right(watch, orphan, parent)
    assert version.reaper is not None
    assert watch.kinds(orphan) == [Fork, Exec]


def test_a_thread_that_forks_and_ends_leaves_its_child_to_the_process(watch: Watch, compiler: Compiler) -> None:
    child = program(compiler.program("threads"), "bear")
    (tid,), (born,), _ = numbers(child), numbers(child), numbers(child)
    assert tid != child.pid
    fork, _ = watch.one(Fork, born)
    assert (fork.birth_pid, fork.birth_tid) == (child.pid, tid)
    process = _is_right(watch, born, child.pid)
    assert (process.reaper, parent_now(born)) == (None, child.pid)
    assert watch.threads(watch.now(child.pid)) == (child.pid,)
    go_on(child)
    assert child.wait(30) == 3
    assert below(watch.ended(born), watch.ended(child.pid))


def test_leaders_that_are_gone_are_named_and_not_guessed(watch: Watch) -> None:
    root = _family(
        """
def leader():
    os.setsid()
    tell(os.getpid(), child(lambda: os.execv("/bin/cat", ["cat"])))
made = child(leader)
wait_for(made)
tell(0)
next()
"""
    )
    leader, member = numbers(root)
    assert numbers(root) == [0]
    root.communicate("x")  # cat comes to the end of it
    process = watch.ended(member)
    assert watch.ended(leader).session_id == leader
    assert (process.session_id, process.group_id) == (leader, leader)
    exited, _ = watch.one(Exit, member)
    assert (exited.task.session_start_ns, exited.task.group_start_ns) == (0, 0)
    assert (process.session_leader, process.group_leader) == (None, None)
    assert process.parent is not None
    assert process.parent.pid == leader


def test_more_ancestors_than_a_version_carries_are_counted(watch: Watch, compiler: Compiler) -> None:
    child = program(compiler.program("births"), "chain", "70")
    (last,) = numbers(child)
    mine, process = watch.now(os.getpid()), watch.now(last)
    assert len(process.ancestors) == ANCESTORS_MAX
    assert (process.depth, process.complete) == (mine.depth + 71, mine.complete)
    line = [process.pid, *(ancestor.pid for ancestor in process.ancestors)]
    assert line == [last, *(parent_now(pid) for pid in line[:-1])]
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(30) == 3


@pytest.mark.parametrize(("levels", "found"), [(10, True), (80, False)])
def test_a_subreaper_further_up_than_is_looked_is_told_as_unknown_and_known_with_the_next_record(
    watch: Watch, levels: int, found: bool
) -> None:
    assert (levels < wire.REAPER_STEPS_MAX) == found
    root = _family(
        f"""
subreaper()
ours, theirs = os.pipe()
def level(left):
    if left:
        child(lambda: level(left - 1))
    else:
        tell(os.getpid(), child(lambda: (os.read(ours, 1), os.execv("/bin/sleep", ["sleep", "60"]))))
    stay()
child(lambda: level({levels}))
next()
os.write(theirs, b"x")
next()
os.killpg(0, signal.SIGKILL)
"""
    )
    parent, orphan = numbers(root)
    os.kill(parent, 9)
    exited, _ = watch.one(Exit, parent)
    watch.until(lambda: parent_now(orphan) != parent)
    assert parent_now(orphan) == root.pid
    assert (exited.reaper_pid, exited.reaper_unknown) == ((root.pid, False) if found else (0, True))
    go_on(root)
    watch.one(Exec, orphan)
    _is_right(watch, orphan, parent)
