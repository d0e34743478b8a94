"""How it ended: once, with its code or signal, and what it had used by then."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from pipeline.events import Exec, Exit, Fork, ThreadEnd, ThreadStart
from tests.kernel.compiled import Compiler
from tests.kernel.programs import forked, go_on, namespace, numbers, program, python, ran
from tests.kernel.tracer import Tracer
from tests.kernel.watch import Watch

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
    assert running.task.namespaces.mnt == namespace("mnt")
    assert not tracer.all(Exit, child.pid)
    child.communicate("go\n")
    exited = tracer.one(Exit, child.pid)
    assert exited.status == 5 << 8
    assert exited.task.start_ns == running.task.start_ns
    assert exited.task.tid != exited.task.pid


def test_every_code_is_told(watch: Watch, compiler: Compiler) -> None:
    parent = ran(compiler.program("births"), "codes")
    children = watch.children(parent.pid)
    watch.ended(parent.pid)
    ended = [watch.all(Exit, pid)[0] for pid in children]
    assert [told.event.status for told in ended] == [code << 8 for code in range(256)]
    assert [told.process.exit_status for told in ended if told.process] == [code << 8 for code in range(256)]
    assert {tuple(watch.kinds(pid)) for pid in children} == {(Fork, Exit)}


def _signals() -> list[int]:
    """Those that end a process, where it does nothing about them."""
    harmless = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
    stopping = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
    return sorted(set(signal.valid_signals()) - harmless - stopping)


def test_every_signal_that_ends_a_process_is_told_with_its_core_flag(watch: Watch) -> None:
    statuses = {}
    for number in _signals():

        def die(number: int = number) -> None:
            os.chdir("/")
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            if number != signal.SIGKILL:
                signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

        pid = forked(die)
        statuses[pid] = (number, os.waitpid(pid, 0)[1])
    for pid, (number, status) in statuses.items():
        event, process = watch.one(Exit, pid)
        assert event.status == process.exit_status == status & ~0x80 == number
        assert event.core_dumped == os.WCOREDUMP(status)
    assert len(statuses) > 50


def test_threads_that_end_by_themselves_at_once_are_one_end(watch: Watch, compiler: Compiler) -> None:
    """All 33 of them, the leader too: one tells of the process, and nobody else does.

    The kernel tells of an end a little after it has counted who is left, so that another may be told of later.
    """
    threads = compiler.program("threads")
    for _ in range(10):
        child = ran(threads, "end_at_once")
        assert child.returncode == 7
        process = watch.ended(child.pid)
        assert process.exit_status == 7 << 8
        kinds = watch.kinds(child.pid)
        assert [kinds.count(kind) for kind in (ThreadStart, ThreadEnd, Exit)] == [32, 32, 1]
        assert watch.threads(process) == ()


def test_when_the_leader_has_ended_the_process_goes_on_without_it(watch: Watch, compiler: Compiler) -> None:
    child = program(compiler.program("threads"), "end_all_alone")
    (tid,) = numbers(child)
    end, process = watch.one(ThreadEnd, child.pid)
    assert end.tid == child.pid
    assert watch.threads(process) == (tid,)
    assert process.exit_status is None
    go_on(child)
    assert child.wait(30) == 6
    event, ended = watch.one(Exit, child.pid)
    assert (event.task.tid, ended.exit_status, watch.threads(ended)) == (tid, 6 << 8, ())
    assert ended.entity_id == process.entity_id


def test_a_thread_that_is_no_leader_ends_all(watch: Watch, compiler: Compiler) -> None:
    child = program(compiler.program("threads"), "end_all")
    (tid,) = numbers(child)
    process = watch.now(child.pid)
    assert watch.threads(process) == (child.pid, tid)
    go_on(child)
    assert child.wait(30) == 5
    ended = watch.ended(child.pid)
    assert (ended.exit_status, watch.threads(ended)) == (5 << 8, ())
    assert watch.kinds(child.pid) == [Fork, Exec, ThreadStart, ThreadEnd, Exit]


def test_a_process_that_ends_before_it_execs_has_its_parents_name(watch: Watch) -> None:
    pid = forked(lambda: os._exit(9))
    os.waitpid(pid, 0)
    child, mine = watch.ended(pid), watch.now(os.getpid())
    assert watch.kinds(pid) == [Fork, Exit]
    assert (child.image, child.exit_status) == (mine.image, 9 << 8)
    assert child.working_directory == os.getcwd()


def test_an_end_tells_of_a_process_whose_birth_was_not_told(watch: Watch, tracer: Tracer) -> None:
    """It goes to whom the kernel calls its parent, with the doubt that this may be an adoption."""
    reader, writer = os.pipe()

    def wait() -> None:
        os.close(writer)
        os.read(reader, 1)
        os._exit(2)

    pid = forked(wait)
    tracer.drain()
    tracer.events.clear()  # nobody was listening
    tracer.records.clear()
    watch.told.clear()
    os.close(writer)
    os.close(reader)
    os.waitpid(pid, 0)
    event, process = watch.one(Exit, pid)
    mine = watch.now(os.getpid())
    assert watch.kinds(pid) == [Exit]
    assert process.parent is not None
    assert process.parent.entity_id == mine.entity_id
    assert (process.exit_status, process.start_ns) == (2 << 8, event.task.start_ns)
    assert set(process.doubt) == {*mine.doubt, "unknown_parent"}


def test_an_end_tells_the_processor_time_and_the_memory_that_the_parent_is_told(
    watch: Watch, compiler: Compiler
) -> None:
    child = program(compiler.program("uses"))
    (used_ns,) = numbers(child)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    event, _ = watch.one(Exit, child.pid)
    assert used_ns <= event.cpu_ns <= round((usage.ru_utime + usage.ru_stime) * 1e9) + 2000  # told in microseconds
    assert event.memory_peak_bytes == usage.ru_maxrss * 1024
    assert event.memory_peak_bytes > 32 << 20


def test_the_processor_time_of_a_leader_that_ended_first_counts(watch: Watch, compiler: Compiler) -> None:
    child = program(compiler.program("threads"), "burn_alone")
    (used_ns,) = numbers(child)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    event, _ = watch.one(Exit, child.pid)
    assert 70_000_000 <= used_ns <= event.cpu_ns <= round((usage.ru_utime + usage.ru_stime) * 1e9) + 2000
