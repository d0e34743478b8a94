"""How it ended: once, with its code or signal, and what it had used by then."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from pipeline.events import Exit, ThreadEnd, ThreadStart
from tests.kernel.programs import namespace, numbers, python
from tests.kernel.tracer import Tracer

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("code", [0, 1, 2, 7, 127, 128, 255])
def test_an_exit_code_is_told(tracer: Tracer, code: int) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    exited = tracer.one(Exit, pid)
    assert exited.status == status == code << 8
    assert not exited.core_dumped


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT])
def test_a_signal_is_told_and_whether_core_was_dumped(tracer: Tracer, number: int) -> None:
    child = python("signal.pthread_sigmask(signal.SIG_SETMASK, []); tell(1); time.sleep(60)", cwd="/")
    numbers(child)
    child.send_signal(number)
    _, status = os.waitpid(child.pid, 0)
    child.returncode = 0  # reaped here, for its core flag
    exited = tracer.one(Exit, child.pid)
    assert exited.status == status & ~0x80 == number
    assert exited.core_dumped == os.WCOREDUMP(status)


def test_many_threads_that_end_at_once_are_one_end(tracer: Tracer) -> None:
    child = python(
        """
for _ in range(16):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
os._exit(9)
"""
    )
    assert child.wait(30) == 9
    exited = tracer.one(Exit, child.pid)
    tracer.until(lambda: len(tracer.all(ThreadEnd, child.pid)) == 16)
    assert exited.status == 9 << 8
    assert len(tracer.all(ThreadStart, child.pid)) == 16


def test_a_process_lives_on_when_its_leader_has_ended(tracer: Tracer) -> None:
    child = python(
        """
def work():
    sys.stdin.readline()
    os._exit(5)
threading.Thread(target=work).start()
tell(1)
libc.syscall(SYS_EXIT, 0)
""",
        stdin=subprocess.PIPE,
    )
    numbers(child)
    tracer.until(lambda: [end for end in tracer.all(ThreadEnd, child.pid) if end.tid == child.pid])
    running = tracer.snapshot()[child.pid]
    assert not running.zombie
    assert running.executable == os.path.realpath("/usr/bin/python3")
    assert running.working_directory == os.getcwd()
    assert running.task.mnt_ns == namespace("mnt")
    assert not tracer.all(Exit, child.pid)
    child.communicate("go\n")
    exited = tracer.one(Exit, child.pid)
    assert exited.status == 5 << 8
    assert exited.task.start_ns == running.task.start_ns
    assert exited.task.tid != exited.task.pid
