"""Which file was executed, and where it lies as the process sees it."""

# ruff: noqa: S606 - starting programs is what this is about

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.events import Exec
from pipeline.process import ProcessVersion
from tests.kernel import overlays
from tests.kernel.compiled import Compiler
from tests.kernel.not_here import needs
from tests.kernel.programs import forked
from tests.kernel.tracer import Tracer
from tests.kernel.watch import Watch

pytestmark = pytest.mark.kernel

AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW = 0x1000, 0x100
SYS_EXECVEAT = 322 if os.uname().machine == "x86_64" else 281
CAP_NET_BIND_SERVICE = 10
NOBODY = 65534


def _flags(tracer: Tracer, event: Exec) -> int:
    return int(wire.STRUCT_HEADER.unpack_from(tracer.record_of(event))[3])


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


def _executed(watch: Watch, work: Callable[[], object]) -> ProcessVersion:
    """A process that did ``work``, which executed exactly one file, after its end."""
    pid = forked(work)
    os.waitpid(pid, 0)
    process = watch.ended(pid)
    assert len(watch.all(Exec, pid)) == 1
    return process


def _execveat(directory: int, path: bytes, argument: bytes, flags: int) -> None:
    ctypes.CDLL(None).syscall(
        SYS_EXECVEAT, directory, path, (ctypes.c_char_p * 2)(argument, None), (ctypes.c_char_p * 1)(None), flags
    )


@pytest.fixture
def shared(compiler: Compiler) -> Iterator[Path]:
    """An empty folder that every user may execute from."""
    with compiler.folder() as made:
        yield made


def test_what_a_file_is_is_told_as_stat_has_it(watch: Watch, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    shutil.copy("/bin/true", tool)
    tool.chmod(0o751)
    os.link(tool, tmp_path / "other name")
    os.utime(tool, ns=(1, 1_234_567_890_123_456_789))
    shown = tool.stat()
    process = _executed(watch, lambda: os.execv(tool, ["tool"]))
    file = process.image.file
    assert (
        (file.inode, file.mode, file.links) == (shown.st_ino, shown.st_mode, shown.st_nlink) == (file[0], 0o100751, 2)
    )
    assert (file.modified_ns, file.changed_ns) == (shown.st_mtime_ns, shown.st_ctime_ns)
    assert file.device == os.major(shown.st_dev) << 20 | os.minor(shown.st_dev)
    assert file.traits == ()


def test_a_relative_path_after_chdir_is_resolved_from_there(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    shutil.copy("/bin/true", tmp_path / "below" / "tool")

    def work() -> None:
        os.chdir(tmp_path / "below")
        os.execv("../below/./tool", ["tool"])

    process = _executed(watch, work)
    assert process.image.executable == str(tmp_path / "below" / "tool")
    assert (process.image.name, process.working_directory) == ("tool", str(tmp_path / "below"))


def test_execveat_below_a_directory_is_resolved(watch: Watch, tmp_path: Path) -> None:
    shutil.copy("/bin/true", tmp_path / "tool")
    directory = os.open(tmp_path, os.O_PATH)
    process = _executed(watch, lambda: _execveat(directory, b"tool", b"any", 0))
    os.close(directory)
    assert (process.image.name, process.image.executable) == ("tool", str(tmp_path / "tool"))
    assert process.image.args == ("any",)
    assert process.working_directory == os.getcwd()


def test_execveat_of_an_open_file_has_the_files_own_name(watch: Watch, tmp_path: Path) -> None:
    shutil.copy("/bin/true", tmp_path / "tool")
    file = os.open(tmp_path / "tool", os.O_PATH)
    process = _executed(watch, lambda: _execveat(file, b"", b"any", AT_EMPTY_PATH))
    os.close(file)
    assert (process.image.name, process.image.executable) == ("tool", str(tmp_path / "tool"))


def test_a_memfd_is_named_and_flagged(watch: Watch) -> None:
    memory = os.memfd_create("evil")
    os.write(memory, Path("/bin/true").read_bytes())
    process = _executed(watch, lambda: _execveat(memory, b"", b"harmless", AT_EMPTY_PATH))
    os.close(memory)
    assert (process.image.name, process.image.executable) == ("memfd:evil", "memfd:evil")
    assert process.image.file.traits == ("memfd",)  # it never had a name that could be deleted
    assert process.image.file.links == 0


def test_a_deleted_file_is_known_by_its_old_name_and_flagged(watch: Watch, tmp_path: Path) -> None:
    tool = tmp_path / "gone"
    shutil.copy("/bin/true", tool)
    file = os.open(tool, os.O_RDONLY)
    tool.unlink()
    shutil.copy("/bin/false", tool)  # another one under that name
    process = _executed(watch, lambda: os.execve(file, ["gone"], {}))
    os.close(file)
    assert (process.image.name, process.image.executable) == ("gone", str(tool))
    assert (process.image.file.traits, process.image.file.links) == (("deleted",), 0)
    assert process.image.file.inode != tool.stat().st_ino
    assert process.exit_status == 0


def test_one_name_of_two_that_is_deleted_is_flagged_though_a_link_is_left(watch: Watch, tmp_path: Path) -> None:
    tool = tmp_path / "gone"
    shutil.copy("/bin/true", tool)
    os.link(tool, tmp_path / "left")
    file = os.open(tool, os.O_RDONLY)
    tool.unlink()
    process = _executed(watch, lambda: os.execve(file, ["gone"], {}))
    os.close(file)
    assert (process.image.file.traits, process.image.file.links) == (("deleted",), 1)


def test_a_symbolic_link_gives_the_name_and_its_target_the_file(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "nginx").symlink_to("/bin/true")
    process = _executed(watch, lambda: os.execv(tmp_path / "nginx", ["x"]))
    assert (process.image.name, process.image.executable) == ("nginx", os.path.realpath("/bin/true"))
    assert process.image.file.inode == os.stat("/bin/true").st_ino


@pytest.mark.parametrize(
    "name", ["two words", "a)b(c", "line\nline", "tab\there", "ünï→", "(sd-pam)", "-dash", "a" * 255], ids=ascii
)
def test_a_name_may_be_anything(watch: Watch, tmp_path: Path, name: str) -> None:
    shutil.copy("/bin/true", tmp_path / name)
    process = _executed(watch, lambda: os.execv(tmp_path / name, [name]))
    assert (process.image.name, process.image.executable) == (name, str(tmp_path / name))
    assert process.image.args == (name,)
    assert process.thread_name == name.encode()[:15].decode(errors="replace")


def _mounted(layers: Path) -> None:
    """An overlay whose lower and upper layer have a program each."""
    true = Path("/bin/true").read_bytes()
    merged = overlays.mount(layers, {"image": true, "changed": true})
    shutil.copy("/bin/true", merged / "written")
    (merged / "changed").chmod(0o700)  # copied up


@pytest.mark.parametrize(
    ("name", "traits"), [("image", ()), ("written", ("upper_layer",)), ("changed", ("upper_layer",))]
)
def test_on_an_overlay_what_was_written_later_is_told_from_the_image(
    watch: Watch, tmp_path: Path, name: str, traits: tuple[str, ...]
) -> None:
    reader, writer = os.pipe()

    def work() -> None:
        _mounted(tmp_path)
        os.write(writer, str((tmp_path / "merged" / name).stat().st_ino).encode())
        os.execv(tmp_path / "merged" / name, [name])

    pid = forked(work)
    _, status = os.waitpid(pid, 0)
    os.close(writer)
    inode = os.read(reader, 32)
    os.close(reader)
    needs("overlay", os.waitstatus_to_exitcode(status) not in (errno.ENODEV, errno.EPERM, errno.EINVAL))
    process = watch.ended(pid)
    assert process.exit_status == 0
    assert process.image.executable == str(tmp_path / "merged" / name)
    assert process.image.file.traits == traits
    assert process.image.file.inode == int(inode)


def _as_nobody(path: Path) -> Callable[[], object]:
    def work() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        os.execv(path, [path.name])

    return work


@pytest.mark.parametrize(
    ("mode", "traits", "ids"),
    [
        (0o4755, ("setuid",), (NOBODY, 0, NOBODY, NOBODY)),
        (0o2755, ("setgid",), (NOBODY, NOBODY, NOBODY, 0)),
        (0o6755, ("setuid", "setgid"), (NOBODY, 0, NOBODY, 0)),
        (0o755, (), (NOBODY, NOBODY, NOBODY, NOBODY)),
    ],
)
def test_who_executes_a_suid_file_becomes_its_owner(
    watch: Watch, shared: Path, mode: int, traits: tuple[str, ...], ids: tuple[int, ...]
) -> None:
    tool = shared / "tool"
    shutil.copy("/bin/true", tool)
    tool.chmod(mode)
    process = _executed(watch, _as_nobody(tool))
    who = process.credentials
    assert process.image.file.traits == traits
    assert (who.uid, who.euid, who.gid, who.egid) == ids
    assert (who.suid, who.fsuid, who.sgid, who.fsgid) == (ids[1], ids[1], ids[3], ids[3])
    assert (who.cap_permitted != 0, who.cap_effective) == (bool(mode & 0o4000), who.cap_permitted)


@pytest.mark.parametrize("effective", [0, 1])
def test_capabilities_that_a_file_gives_are_told_and_flagged(watch: Watch, shared: Path, effective: int) -> None:
    tool = shared / "tool"
    shutil.copy("/bin/true", tool)
    words = (0x02000000 | effective, 1 << CAP_NET_BIND_SERVICE, 0, 0, 0)  # struct vfs_cap_data, revision 2
    try:
        os.setxattr(tool, "security.capability", b"".join(word.to_bytes(4, "little") for word in words))
    except OSError:
        needs("file capabilities", False)
    process = _executed(watch, _as_nobody(tool))
    needs("file capabilities", not os.statvfs(shared).f_flag & os.ST_NOSUID)
    assert process.image.file.traits == ("capabilities",)
    assert process.credentials.cap_permitted == 1 << CAP_NET_BIND_SERVICE
    assert process.credentials.cap_effective == effective << CAP_NET_BIND_SERVICE
    assert process.credentials.euid == NOBODY


def test_a_root_that_executes_has_no_capabilities_of_the_file(watch: Watch) -> None:
    process = _executed(watch, lambda: os.execv("/bin/true", ["true"]))
    assert process.credentials.cap_permitted != 0
    assert process.image.file.traits == ()


def test_a_32_bit_program_is_told_like_any_other(watch: Watch, compiler: Compiler) -> None:
    options = ("-m32", "-nostdlib", "-static", "-ffreestanding", "-fno-pic", "-fno-stack-protector")
    try:
        program = compiler.program("i386", *options)
        child = subprocess.Popen([program, "one", ""], env={"LD_PRELOAD": "/x.so", "LD_PRELOADED": "1", "A": "b"})
    except (subprocess.CalledProcessError, OSError):
        needs("a 32-bit program", False)
    assert child.wait() == 7
    process = watch.ended(child.pid)
    assert (process.image.name, process.image.args) == ("i386", (program, "one", ""))
    assert (process.image.environment, process.image.cut) == (("LD_PRELOAD=/x.so",), ())
    assert process.exit_status == 7 << 8
