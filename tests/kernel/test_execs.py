"""What was executed, with every detail, compared with what /proc and os say of the same process."""

# ruff: noqa: S606 - starting programs is what this is about

from __future__ import annotations

import ctypes
import os
import pty
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.events import Exec, Exit, Fork, NamespaceChange, ThreadEnd, ThreadStart
from tests.kernel.compiled import Compiler
from tests.kernel.programs import finished, forked, namespace, numbers, python, ran, stat
from tests.kernel.tracer import TICK_NS, Tracer
from tests.kernel.watch import Watch, below

pytestmark = pytest.mark.kernel

CAT = os.path.realpath("/bin/cat")


def _capabilities(pid: int) -> tuple[int, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = dict(line.split(":\t", 1) for line in lines if line.startswith("Cap"))
    return int(found["CapPrm"], 16), int(found["CapEff"], 16)


def _device(path: str) -> int:
    device = os.stat(path).st_dev
    return os.major(device) << 20 | os.minor(device)


def _name_of(terminal: int) -> str:
    libc = ctypes.CDLL(None)
    libc.ptsname.restype = ctypes.c_char_p
    return str(libc.ptsname(terminal).decode())


def test_an_exec_is_told_as_proc_shows_it(tracer: Tracer, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    with subprocess.Popen(
        ["cat", "-", ""],
        executable="/bin/cat",
        cwd=tmp_path,
        user=4321,
        group=4322,
        extra_groups=[7, 4323, 70000],
        start_new_session=True,
        stdin=subprocess.PIPE,
    ) as child:
        try:
            told = tracer.one(Exec, child.pid)
            fork = tracer.one(Fork, child.pid)
            fields = stat(child.pid)
            proc = Path(f"/proc/{child.pid}")
            task = told.task
            assert (task.pid, task.tid, told.old_tid) == (child.pid, child.pid, child.pid)
            assert task.start_ns == fork.task.start_ns
            assert task.start_ns // TICK_NS == int(fields[19])
            assert task.parent_pid == os.getpid() == fork.birth_pid
            assert (task.session.id, task.session.group_id) == (child.pid, child.pid)
            assert (task.session.start_ns, task.session.group_start_ns) == (task.start_ns, task.start_ns)
            assert (task.credentials.uid, task.credentials.euid, task.credentials.suid, task.credentials.fsuid) == (
                4321,
            ) * 4
            assert (task.credentials.gid, task.credentials.egid, task.credentials.sgid, task.credentials.fsgid) == (
                4322,
            ) * 4
            assert sorted(told.groups) == [7, 4323, 70000]
            assert (
                (task.credentials.cap_permitted, task.credentials.cap_effective) == _capabilities(child.pid) == (0, 0)
            )
            assert task.comm == (proc / "comm").read_text().rstrip("\n") == "cat"
            assert (told.filename, told.executable) == ("/bin/cat", os.readlink(proc / "exe"))
            assert told.working_directory == os.readlink(proc / "cwd") == str(tmp_path)
            assert told.args == ("cat", "-", "")
            assert told.args_total_bytes == len("cat -  ")
            assert (told.file.inode, told.file.mode) == (os.stat(CAT).st_ino, os.stat(CAT).st_mode)
            assert told.file.device == _device(CAT)
            assert task.pid_ns == namespace("pid", child.pid)
            assert task.namespaces.mnt == namespace("mnt", child.pid)
            assert task.namespaces.net == namespace("net", child.pid)
            assert task.namespaces.cgroup == namespace("cgroup", child.pid)
            assert told.cut == ()
            assert told.sockets == 0
        finally:
            child.kill()


def test_roots_capabilities_are_told(tracer: Tracer) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        try:
            task = tracer.one(Exec, child.pid).task
            assert (task.credentials.cap_permitted, task.credentials.cap_effective) == _capabilities(child.pid)
            assert task.credentials.cap_permitted != 0
        finally:
            child.kill()


def test_a_terminal_is_told_by_its_number(tracer: Tracer) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv("/bin/sleep", ["sleep", "60"])
    told = tracer.one(Exec, pid)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    number = _name_of(terminal)
    os.close(terminal)
    assert told.task.session.tty == 136 << 20 | int(number.rpartition("/")[2])


def test_a_session_whose_leader_is_gone_has_no_start(tracer: Tracer) -> None:
    """A daemon's way: setsid, fork, let the leader go."""
    child = python(
        """
leader = os.fork()
if leader == 0:
    os.setsid()
    daemon = os.fork()
    if daemon:
        tell(os.getpid(), daemon)
        os._exit(0)
    sys.stdin.readline()
    os.execv("/bin/true", ["true"])
os.waitpid(leader, 0)
tell(leader)
sys.stdin.close()
time.sleep(60)
""",
        stdin=subprocess.PIPE,
    )
    leader, daemon = numbers(child)
    numbers(child)
    alive = tracer.one(Fork, daemon).task
    assert (alive.session.id, alive.session.start_ns) == (leader, tracer.one(Fork, leader).task.start_ns)
    child.kill()
    child.communicate("go\n")
    gone = tracer.one(Exec, daemon).task
    assert (gone.session.id, gone.session.start_ns) == (leader, 0)
    assert (gone.session.group_id, gone.session.group_start_ns) == (leader, 0)


@pytest.mark.parametrize("descriptors", [(0,), (1,), (2,), (0, 1, 2)])
def test_sockets_in_place_of_the_standard_streams_are_told(tracer: Tracer, descriptors: tuple[int, ...]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        streams = {
            name: theirs if number in descriptors else None for number, name in enumerate(("stdin", "stdout", "stderr"))
        }
        child = subprocess.Popen(["/bin/true"], **streams)  # type: ignore[call-overload]
        child.wait()
    assert tracer.one(Exec, child.pid).sockets == sum(1 << number for number in descriptors)


def test_an_exec_by_another_thread_keeps_pid_and_start(tracer: Tracer) -> None:
    child = python(
        """
def work():
    tell(threading.get_native_id())
    os.execv("/bin/true", ["true"])
threading.Thread(target=work).start()
time.sleep(60)
"""
    )
    ((tid,),) = finished(child)
    tracer.until(lambda: len(tracer.all(Exec, child.pid)) == 2)
    first, second = sorted(tracer.all(Exec, child.pid), key=lambda event: event.stamp.time_ns)
    assert (first.old_tid, second.old_tid) == (child.pid, tid)
    assert (second.task.pid, second.task.tid) == (child.pid, child.pid)
    assert second.task.start_ns == first.task.start_ns
    assert [end.tid for end in tracer.all(ThreadEnd, child.pid)] == [child.pid]


def test_a_failed_exec_is_no_event(tracer: Tracer, tmp_path: Path) -> None:
    (tmp_path / "no").write_text("no program")
    (tmp_path / "no").chmod(0o755)

    def twice() -> None:
        with suppress(OSError):
            os.execv(tmp_path / "no", ["no"])
        os.execv("/bin/true", ["true"])

    pid = forked(twice)
    os.waitpid(pid, 0)
    assert tracer.one(Exec, pid).filename == "/bin/true"


def test_an_exec_by_the_leader_makes_a_new_image_of_the_same_process(watch: Watch) -> None:
    pid = forked(lambda: os.execv("/bin/true", ["any", "word"]))
    os.waitpid(pid, 0)
    process, mine = watch.ended(pid), watch.now(os.getpid())
    assert watch.kinds(pid) == [Fork, Exec, Exit]
    (born,), (executed,) = watch.all(Fork, pid), watch.all(Exec, pid)
    assert born.process is not None
    assert executed.process is not None
    assert born.process.entity_id == executed.process.entity_id == process.entity_id
    assert (process.image.name, process.image.args) == ("true", ("any", "word"))
    assert process.image.executable == os.path.realpath("/bin/true")
    assert process.previous == (mine.image,)
    assert process.thread_name == "true"
    assert below(process, mine)


@pytest.mark.parametrize("way", ["exec", "exec_alone"])
def test_an_exec_by_another_thread_leaves_that_one_alone_as_the_leader(
    watch: Watch, compiler: Compiler, way: str
) -> None:
    """With a leader that lives until then, and with one that has ended before."""
    threads = compiler.program("threads")
    child = ran(threads, way)
    assert child.returncode == 0
    assert child.stdout is not None
    tid = int(child.stdout.read())
    process = watch.ended(child.pid)
    assert watch.kinds(child.pid) == [Fork, Exec, ThreadStart, ThreadEnd, Exec, NamespaceChange, Exit]
    first, second = (told.event for told in watch.all(Exec, child.pid))
    assert (first.old_tid, second.old_tid, second.task.tid) == (child.pid, tid, child.pid)
    ((ended,),) = (watch.all(ThreadEnd, child.pid),)
    assert ended.event.tid == child.pid
    after = watch.all(Exec, child.pid)[1].process
    assert after is not None
    assert (after.entity_id, after.tid) == (process.entity_id, child.pid)
    assert after.image.args == ("true", "later")
    assert [image.args for image in after.previous[:1]] == [(threads, way)]
    assert watch.threads(process) == ()


def test_after_an_exec_by_another_thread_there_is_one_thread(watch: Watch) -> None:
    child = python(
        """
threading.Thread(target=lambda: os.execv("/bin/cat", ["cat"])).start()
for _ in range(3):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
time.sleep(60)
""",
        stdin=subprocess.PIPE,
    )
    watch.until(lambda: len(watch.all(Exec, child.pid)) == 2)
    assert watch.threads(watch.now(child.pid)) == (child.pid,)
    child.communicate()
    assert watch.ended(child.pid).exit_status == 0


def test_images_of_one_pid_are_remembered_newest_first(watch: Watch) -> None:
    command = ["/bin/sh", "-c", 'exec "$0" -c "exec env LC_ALL=C /bin/true last"', "/bin/sh"]
    child = subprocess.Popen(command)
    child.wait()
    process, mine = watch.ended(child.pid), watch.now(os.getpid())
    assert watch.kinds(child.pid) == [Fork, Exec, Exec, Exec, Exec, Exit]
    assert (process.image.name, process.image.args) == ("true", ("/bin/true", "last"))
    assert [image.name for image in process.previous] == ["env", "sh", "sh", mine.image.name]
    assert process.previous[2].args == tuple(command)
    assert process.previous[3] == mine.image
    assert below(process, mine)


def test_a_child_has_the_parent_as_it_was_at_its_birth(watch: Watch) -> None:
    """The parent executes something else afterwards; that is no ancestor's name."""
    child = subprocess.Popen(["/bin/sh", "-c", "/bin/true & exec /bin/cat"], stdin=subprocess.PIPE)
    watch.until(lambda: len(watch.all(Exec, child.pid)) == 2)
    (born,) = watch.children(child.pid)
    process = watch.ended(born)
    assert process.parent is not None
    assert process.parent.image.name == "sh"
    assert watch.now(child.pid).image.name == "cat"
    child.communicate()


def _failing(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "no program").write_text("no program")
    (tmp_path / "no program").chmod(0o755)
    (tmp_path / "not allowed").write_bytes(Path("/bin/true").read_bytes())
    (tmp_path / "no interpreter").write_text("#!/no/such/interpreter\n")
    (tmp_path / "no interpreter").chmod(0o755)
    (tmp_path / "cut").write_bytes(Path("/bin/true").read_bytes()[:100])
    (tmp_path / "cut").chmod(0o755)
    return {path.name: os.fspath(path) for path in tmp_path.iterdir()} | {"none": "/no/such/file", "folder": "/"}


def test_no_exec_that_fails_is_an_event(watch: Watch, tmp_path: Path) -> None:
    failing = _failing(tmp_path)

    def try_all() -> None:
        for path in failing.values():
            with suppress(OSError):
                os.execv(path, ["no"])
        with suppress(OSError):
            os.execv("/bin/true", ["true", "x" * (1 << 20)])  # one argument may have 128 KiB
        os._exit(4)

    pid = forked(try_all)
    os.waitpid(pid, 0)
    process = watch.ended(pid)
    assert watch.kinds(pid) == [Fork, Exit]
    assert (process.image, process.exit_status) == (watch.now(os.getpid()).image, 4 << 8)


def test_an_exec_that_fails_when_the_old_image_is_gone_ends_the_process_without_one(
    watch: Watch, tmp_path: Path
) -> None:
    """An ELF whose segments cannot be mapped: the kernel finds out too late to go back, and kills it."""
    broken = bytearray(Path("/bin/true").read_bytes())
    start, size, count = (
        int.from_bytes(broken[at : at + width], "little") for at, width in ((32, 8), (54, 2), (56, 2))
    )
    for number in range(count):
        at = start + number * size
        if broken[at : at + 4] == b"\x01\0\0\0":  # PT_LOAD
            broken[at + 16 : at + 24] = b"\xff" * 6 + b"\0\0"  # p_vaddr
        if broken[at : at + 4] == b"\x03\0\0\0":  # PT_INTERP
            broken[at : at + 4] = b"\0\0\0\0"
    broken[16:18] = b"\x02\0"  # ET_EXEC: to be mapped where it says
    path = tmp_path / "broken"
    path.write_bytes(broken)
    path.chmod(0o755)

    def execute() -> None:
        os.chdir("/")
        os.execv(path, ["broken"])

    pid = forked(execute)
    _, status = os.waitpid(pid, 0)
    process = watch.ended(pid)
    assert os.WIFSIGNALED(status)
    assert [kind for kind in watch.kinds(pid) if kind is Exec] == []
    assert process.exit_status == status & ~0x80
    assert process.image == watch.now(os.getpid()).image
