"""Who was born of whom, in every way there is to be born."""

from __future__ import annotations

import os
import subprocess

import pytest

from pipeline.events import Exec, Exit, Fork, ThreadEnd, ThreadStart
from tests.kernel.programs import finished, namespace, numbers, python, stat
from tests.kernel.tracer import TICK_NS, Tracer

pytestmark = pytest.mark.kernel


def test_a_fork_names_child_and_parent_exactly(tracer: Tracer) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    fork = tracer.one(Fork, pid)
    fields = stat(pid)
    mine = stat(os.getpid())
    os.close(writer)
    os.waitpid(pid, 0)
    task = fork.task
    assert (task.pid, task.tid, task.ns_pid, task.ns_tid) == (pid, pid, pid, pid)
    assert task.start_ns // TICK_NS == int(fields[19])
    assert task.thread_start_ns == task.start_ns
    assert (task.parent_pid, task.parent_start_ns // TICK_NS) == (os.getpid(), int(mine[19]))
    assert (fork.birth_pid, fork.birth_tid, fork.birth_start_ns) == (os.getpid(), os.getpid(), task.parent_start_ns)
    assert (task.session.group_id, task.session.id) == (int(fields[2]), int(fields[3]))
    assert not fork.kernel_thread
    assert fork.stamp.time_ns >= task.start_ns
    exited = tracer.one(Exit, pid)
    assert exited.task.start_ns == task.start_ns
    assert exited.stamp.time_ns > fork.stamp.time_ns


def test_the_birth_parent_is_right_when_it_ends_at_once(tracer: Tracer) -> None:
    """posix_spawn lets the parent go before the exec is told: half of these have another parent by then."""
    lines = finished(
        python(
            """
for _ in range(100):
    middle = os.fork()
    if middle == 0:
        child = os.posix_spawn("/bin/true", ["true"], {})
        os.write(1, f"{os.getpid()} {child}\\n".encode())
        os._exit(0)
    os.waitpid(middle, 0)
"""
        )
    )
    assert len(lines) == 100
    for middle, child in lines:
        fork = tracer.one(Fork, child)
        assert (fork.birth_pid, fork.birth_start_ns) == (middle, tracer.one(Fork, middle).task.start_ns)
        assert tracer.one(Exec, child).task.start_ns == fork.task.start_ns


def test_under_clone_parent_the_caller_gave_birth_and_another_would_reap(tracer: Tracer) -> None:
    child = python(
        """
made = libc.syscall(SYS_CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
if made == 0:
    os._exit(0)
tell(os.getpid(), made)
"""
    )
    caller, made = numbers(child)
    fork = tracer.one(Fork, made)
    child.communicate()
    os.waitpid(made, 0)  # ours: CLONE_PARENT made it a sibling of its caller
    assert caller == child.pid
    assert (fork.birth_pid, fork.task.parent_pid) == (caller, os.getpid())


def test_threads_are_no_processes(tracer: Tracer) -> None:
    child = python(
        """
def work():
    tell(threading.get_native_id())
thread = threading.Thread(target=work)
thread.start()
thread.join()
while os.path.exists(f"/proc/self/task/{thread.native_id}"):  # joined, but not gone yet
    time.sleep(0.001)
"""
    )
    ((tid,),) = finished(child)
    started = tracer.one(ThreadStart, child.pid)
    ended = tracer.one(ThreadEnd, child.pid)
    fork = tracer.one(Fork, child.pid)
    assert (started.tid, ended.tid, started.ns_tid, started.birth_tid) == (tid, tid, tid, child.pid)
    assert started.start_ns == ended.start_ns == fork.task.start_ns
    assert started.thread_start_ns == ended.thread_start_ns > started.start_ns
    assert not tracer.all(Fork, tid)
    assert not tracer.all(Exit, tid)


def test_a_fork_by_a_thread_is_the_processs_child(tracer: Tracer) -> None:
    child = python(
        """
def work():
    made = os.fork()
    if made == 0:
        os._exit(0)
    os.waitpid(made, 0)
    tell(threading.get_native_id(), made)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
    )
    ((tid, made),) = finished(child)
    fork = tracer.one(Fork, made)
    assert (fork.birth_pid, fork.birth_tid) == (child.pid, tid)
    assert fork.birth_start_ns == tracer.one(Fork, child.pid).task.start_ns


def test_in_a_pid_namespace_of_its_own_a_process_has_two_numbers(tracer: Tracer) -> None:
    child = python(
        """
assert libc.unshare(CLONE_NEWPID) == 0
made = os.fork()
if made == 0:
    tell(os.getpid())
    sys.stdin.read()
    os._exit(0)
tell(made)
os.waitpid(made, 0)
""",
        stdin=subprocess.PIPE,
    )
    told = sorted(numbers(child) + numbers(child))
    inner, outer = told
    inode = namespace("pid", outer)
    child.communicate("")
    task = tracer.one(Fork, outer).task
    assert (inner, task.ns_pid, task.ns_tid, task.pid) == (1, 1, 1, outer)
    assert task.pid_ns == inode != namespace("pid")
