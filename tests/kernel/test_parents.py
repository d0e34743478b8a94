"""Who is whose parent when parents end: birth parent, and who would reap it now, which /proc shows as PPid."""

from __future__ import annotations

import os

import pytest

from pipeline import wire
from pipeline.events import Exec, Exit, Fork
from pipeline.process import ANCESTORS_MAX
from tests.kernel.compiled import Compiler
from tests.kernel.families import family, is_right, left
from tests.kernel.programs import go_on, numbers, parent_now, program
from tests.kernel.watch import Watch, below

pytestmark = pytest.mark.kernel


def test_an_orphan_goes_to_init_or_a_subreaper_above_and_keeps_its_birth_parent(watch: Watch) -> None:
    root = family("""
made = child(lambda: (tell(os.getpid(), child(stay)), next()))
wait_for(made)
tell(0)
next()
""")
    parent, orphan = numbers(root)
    before = is_right(watch, orphan, parent)
    go_on(root)
    assert numbers(root) == [0]
    after = is_right(watch, orphan, parent)
    assert parent_now(orphan) not in (parent, root.pid)
    exited, _ = watch.one(Exit, parent)
    assert exited.reaper_pid == parent_now(orphan)
    assert (after.ancestors, after.depth, after.complete) == (before.ancestors, before.depth, before.complete)
    assert below(after, watch.ended(parent))


def test_the_nearest_subreaper_adopts_and_when_that_ends_the_next_one(watch: Watch) -> None:
    """upper (subreaper) > lower (subreaper) > plain > parent > orphan; parent, lower and upper end in turn."""
    root = family(
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
    is_right(watch, orphan, parent)
    os.kill(parent, 9)
    watch.ended(parent)
    watch.until(lambda: parent_now(orphan) == lower)
    is_right(watch, orphan, parent)
    os.kill(lower, 9)
    watch.ended(lower)
    watch.until(lambda: parent_now(orphan) == upper)
    is_right(watch, orphan, parent)
    is_right(watch, plain, lower)
    os.kill(upper, 9)
    left(watch, orphan, (upper, lower))
    watch.ended(upper)
    version = is_right(watch, orphan, parent)
    assert [ancestor.pid for ancestor in version.ancestors[:5]] == [parent, plain, lower, upper, root.pid]


def test_a_process_that_is_no_subreaper_any_more_adopts_nobody(watch: Watch) -> None:
    root = family(
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
    is_right(watch, orphan, parent)


def test_parent_and_subreaper_that_end_together_leave_the_orphan_where_the_kernel_does(watch: Watch) -> None:
    """Forty times, on whatever processors: one signal ends the subreaper and the parent, in either order."""
    root = family(
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
        left(watch, orphan, (parent, group))
        is_right(watch, orphan, parent)


def test_a_parent_that_ends_while_its_child_execs_leaves_it_where_the_kernel_does(watch: Watch) -> None:
    """posix_spawn lets the parent end at once: its end is told before the kernel gives the child away, and the exec may
    name it as the parent still.
    """
    root = family(
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
        left(watch, orphan, (parent,))
        assert is_right(watch, orphan, parent).reaper is not None


def test_inside_a_pid_namespace_its_init_adopts_and_when_that_ends_all_end(watch: Watch) -> None:
    root = family(
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
    is_right(watch, orphan, parent)
    go_on(root)
    assert numbers(root) == [0]
    version = is_right(watch, orphan, parent)
    assert version.reaper is not None
    assert (version.reaper.pid, version.reaper.ns_pid, parent_now(orphan)) == (init, 1, init)
    assert watch.one(Exit, parent)[0].reaper_pid == init
    os.kill(init, 9)
    assert numbers(root) == [1]
    ends = [watch.ended(pid) for pid in (init, orphan)]
    assert [process.exit_status for process in ends] == [9, 9]
    assert watch.one(Exit, init)[0].reaper_pid == 0
    assert [ancestor.pid for ancestor in ends[1].ancestors[:3]] == [parent, init, root.pid]


def test_a_parent_that_ends_between_fork_and_exec_is_the_parent_of_the_image_too(watch: Watch) -> None:
    root = family(
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
    version = is_right(watch, orphan, parent)
    assert version.reaper is not None
    assert watch.kinds(orphan) == [Fork, Exec]


def test_a_thread_that_forks_and_ends_leaves_its_child_to_the_process(watch: Watch, compiler: Compiler) -> None:
    child = program(compiler.program("threads"), "bear")
    (tid,), (born,), _ = numbers(child), numbers(child), numbers(child)
    assert tid != child.pid
    fork, _ = watch.one(Fork, born)
    assert (fork.birth_pid, fork.birth_tid) == (child.pid, tid)
    process = is_right(watch, born, child.pid)
    assert (process.reaper, parent_now(born)) == (None, child.pid)
    assert watch.threads(watch.now(child.pid)) == (child.pid,)
    go_on(child)
    assert child.wait(30) == 3
    assert below(watch.ended(born), watch.ended(child.pid))


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
    root = family(
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
    is_right(watch, orphan, parent)
