"""What was executed, with every detail, compared with what /proc and os say of the same process."""

# ruff: noqa: S606 - starting programs is what this is about

from __future__ import annotations

import ctypes
import os
import pty
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.events import Exec, Fork, ThreadEnd
from tests.kernel.programs import finished, forked, namespace, numbers, python, stat
from tests.kernel.tracer import TICK_NS, Tracer

pytestmark = pytest.mark.kernel

CAT = os.path.realpath("/bin/cat")


def _flags(tracer: Tracer, event: Exec) -> int:
    return int(wire.STRUCT_HEADER.unpack_from(tracer.record_of(event))[3])


def _capabilities(pid: int) -> tuple[int, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = dict(line.split(":\t", 1) for line in lines if line.startswith("Cap"))
    return int(found["CapPrm"], 16), int(found["CapEff"], 16)


def _device(path: str) -> int:
    device = os.stat(path).st_dev
    return os.major(device) << 20 | os.minor(device)


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
            assert (task.session_id, task.group_id) == (child.pid, child.pid)
            assert (task.session_start_ns, task.group_start_ns) == (task.start_ns, task.start_ns)
            assert (task.uid, task.euid, task.suid, task.fsuid) == (4321,) * 4
            assert (task.gid, task.egid, task.sgid, task.fsgid) == (4322,) * 4
            assert sorted(told.groups) == [7, 4323, 70000]
            assert (task.cap_permitted, task.cap_effective) == _capabilities(child.pid) == (0, 0)
            assert task.comm == (proc / "comm").read_text().rstrip("\n") == "cat"
            assert (told.filename, told.executable) == ("/bin/cat", os.readlink(proc / "exe"))
            assert told.working_directory == os.readlink(proc / "cwd") == str(tmp_path)
            assert told.args == ("cat", "-", "")
            assert told.args_total_bytes == len("cat -  ")
            assert (told.file.inode, told.file.mode) == (os.stat(CAT).st_ino, os.stat(CAT).st_mode)
            assert told.file.device == _device(CAT)
            assert task.pid_ns == namespace("pid", child.pid)
            assert task.mnt_ns == namespace("mnt", child.pid)
            assert task.net_ns == namespace("net", child.pid)
            assert task.cgroup_ns == namespace("cgroup", child.pid)
            assert told.cut == ()
            assert told.sockets == 0
        finally:
            child.kill()


def test_roots_capabilities_are_told(tracer: Tracer) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        try:
            task = tracer.one(Exec, child.pid).task
            assert (task.cap_permitted, task.cap_effective) == _capabilities(child.pid)
            assert task.cap_permitted != 0
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
    assert told.task.tty == 136 << 20 | int(number.rpartition("/")[2])


def _name_of(terminal: int) -> str:
    libc = ctypes.CDLL(None)
    libc.ptsname.restype = ctypes.c_char_p
    return str(libc.ptsname(terminal).decode())


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
    assert (alive.session_id, alive.session_start_ns) == (leader, tracer.one(Fork, leader).task.start_ns)
    child.kill()
    child.communicate("go\n")
    gone = tracer.one(Exec, daemon).task
    assert (gone.session_id, gone.session_start_ns) == (leader, 0)
    assert (gone.group_id, gone.group_start_ns) == (leader, 0)


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


def test_a_script_keeps_the_name_it_was_asked_for_by(tracer: Tracer, tmp_path: Path) -> None:
    script = tmp_path / "work.sh"
    script.write_text("#!/bin/sh -e\nexit 3\n")
    script.chmod(0o755)
    child = subprocess.Popen([script, "x"])
    child.wait()
    told = tracer.one(Exec, child.pid)
    assert told.filename == str(script)
    assert told.executable == os.path.realpath("/bin/sh")
    assert told.args == ("/bin/sh", "-e", str(script), "x")
    assert told.task.comm == "work.sh"


def test_a_relative_path_is_resolved(tracer: Tracer, tmp_path: Path) -> None:
    shutil.copy("/bin/true", tmp_path / "tool")
    (tmp_path / "link").symlink_to("tool")
    child = subprocess.Popen(["./link"], cwd=tmp_path)
    child.wait()
    told = tracer.one(Exec, child.pid)
    assert (told.filename, told.executable) == ("./link", str(tmp_path / "tool"))


def test_a_path_is_as_the_process_sees_it(tracer: Tracer) -> None:
    def outside() -> None:
        os.chroot("/usr")
        os.chdir("/lib")
        os.execv("/bin/true", ["true"])

    pid = forked(outside)
    os.waitpid(pid, 0)
    told = tracer.one(Exec, pid)
    assert (told.executable, told.working_directory) == ("/bin/true", "/lib")


def test_a_directory_outside_the_root_is_told_from_the_hosts(tracer: Tracer) -> None:
    def half_outside() -> None:
        os.chroot("/usr")  # and the working directory stays where it was
        os.execv("/bin/true", ["true"])

    pid = forked(half_outside)
    os.waitpid(pid, 0)
    told = tracer.one(Exec, pid)
    assert told.working_directory == os.getcwd()
    assert _flags(tracer, told) & wire.DIRECTORY_DETACHED


def test_the_root_is_a_path_too(tracer: Tracer) -> None:
    child = subprocess.Popen(["/bin/true"], cwd="/")
    child.wait()
    assert tracer.one(Exec, child.pid).working_directory == "/"


def test_a_path_across_a_mount_is_whole(tracer: Tracer) -> None:
    shutil.copy("/bin/true", "/dev/shm/lineage-true")
    try:
        child = subprocess.Popen(["/dev/shm/lineage-true"], cwd="/dev/shm")
        child.wait()
    finally:
        os.unlink("/dev/shm/lineage-true")
    told = tracer.one(Exec, child.pid)
    assert (told.executable, told.working_directory) == ("/dev/shm/lineage-true", "/dev/shm")


def test_a_file_without_a_name_in_any_file_system_is_told_by_its_own(tracer: Tracer) -> None:
    memory = os.memfd_create("evil")
    with open("/bin/true", "rb") as source:
        os.write(memory, source.read())
    pid = forked(lambda: os.execve(memory, ["harmless"], {}))
    os.waitpid(pid, 0)
    os.close(memory)
    told = tracer.one(Exec, pid)
    assert told.executable == "memfd:evil"
    assert told.filename == f"/dev/fd/{memory}"
    assert _flags(tracer, told) & wire.EXECUTABLE_PSEUDO


def test_a_deleted_file_keeps_its_path_and_is_flagged(tracer: Tracer, tmp_path: Path) -> None:
    shutil.copy("/bin/true", tmp_path / "gone")
    descriptor = os.open(tmp_path / "gone", os.O_RDONLY)
    os.unlink(tmp_path / "gone")
    directory = tmp_path / "here"
    directory.mkdir()

    def without_a_name() -> None:
        os.chdir(directory)
        directory.rmdir()
        os.execve(descriptor, ["gone"], {})

    pid = forked(without_a_name)
    os.waitpid(pid, 0)
    os.close(descriptor)
    told = tracer.one(Exec, pid)
    assert (told.executable, told.working_directory) == (str(tmp_path / "gone"), str(directory))
    assert _flags(tracer, told) & wire.EXECUTABLE_DELETED
    assert _flags(tracer, told) & wire.DIRECTORY_DELETED


@pytest.mark.parametrize(("over", "cut"), [(-1, ()), (0, ()), (1, ("args",)), (100_000, ("args",))])
def test_arguments_are_whole_up_to_the_bound_and_cut_beyond(tracer: Tracer, over: int, cut: tuple[str, ...]) -> None:
    first = "true"
    second = "x" * (wire.ARGS_MAX + over - len(first) - 2)
    child = subprocess.Popen([first, second], executable="/bin/true")
    child.wait()
    told = tracer.one(Exec, child.pid)
    assert told.args_total_bytes == wire.ARGS_MAX + over
    assert told.args == (first, second[: wire.ARGS_MAX - len(first) - 1])
    assert told.cut == cut


def test_very_many_arguments_are_cut_and_counted(tracer: Tracer) -> None:
    child = subprocess.Popen(["true", *["0000001"] * 30_000], executable="/bin/true")
    child.wait()
    told = tracer.one(Exec, child.pid)
    assert told.args_total_bytes == 5 + 8 * 30_000
    assert told.args[:3] == ("true", "0000001", "0000001")
    assert told.cut == ("args",)


def test_an_empty_argument_list_is_what_the_kernel_makes_of_it(tracer: Tracer) -> None:
    """The kernel itself gives such a program one empty argument."""
    child = python(
        """
pid = os.fork()
if pid == 0:
    libc.execve(b"/bin/true", None, None)
os.waitpid(pid, 0)
tell(pid)
"""
    )
    ((pid,),) = finished(child)
    told = tracer.one(Exec, pid)
    assert (told.args, told.args_total_bytes) in (((), 0), (("",), 1))


def test_bytes_that_are_no_text_are_replaced(tracer: Tracer, tmp_path: Path) -> None:
    program = os.fsencode(tmp_path) + b"/a\xff\nb"
    shutil.copy(b"/bin/true", program)
    child = subprocess.Popen([program, b"\xfe"])
    child.wait()
    told = tracer.one(Exec, child.pid)
    assert told.executable == told.filename == f"{tmp_path}/a\ufffd\nb"
    assert told.args == (f"{tmp_path}/a\ufffd\nb", "\ufffd")


def test_a_directory_deeper_than_the_bound_is_cut_and_flagged(tracer: Tracer, tmp_path: Path) -> None:
    """150 levels; the components next to the root are those that miss."""
    child = python(
        """
os.chdir(sys.argv[1])
for _ in range(150):
    os.mkdir("d")
    os.chdir("d")
pid = os.posix_spawn("/bin/true", ["true"], {})
os.waitpid(pid, 0)
tell(pid)
""",
        str(tmp_path),
    )
    ((pid,),) = finished(child)
    told = tracer.one(Exec, pid)
    assert told.cut == ("working_directory",)
    assert told.working_directory == "…" + "/d" * 128


def test_a_directory_longer_than_the_bound_is_cut_and_flagged(tracer: Tracer, tmp_path: Path) -> None:
    child = python(
        """
os.chdir(sys.argv[1])
for _ in range(20):
    os.mkdir("d" * 255)
    os.chdir("d" * 255)
pid = os.posix_spawn("/bin/true", ["true"], {})
os.waitpid(pid, 0)
tell(pid)
""",
        str(tmp_path),
    )
    ((pid,),) = finished(child)
    told = tracer.one(Exec, pid)
    assert told.cut == ("working_directory",)
    assert told.working_directory == "…" + ("/" + "d" * 255) * (wire.PATH_MAX // 256)


def test_supplementary_groups_beyond_the_bound_are_cut_and_flagged(tracer: Tracer) -> None:
    for count, cut in ((wire.GROUPS_MAX, ()), (wire.GROUPS_MAX + 1, ("groups",))):
        child = subprocess.Popen(["/bin/true"], extra_groups=range(1000, 1000 + count))
        child.wait()
        told = tracer.one(Exec, child.pid)
        assert told.groups == tuple(range(1000, 1000 + wire.GROUPS_MAX))
        assert told.cut == cut


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
