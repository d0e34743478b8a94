"""Programs that others interpret: what was asked for keeps its name, and the interpreter is told beside it."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.events import Exec, Exit, Fork, Script
from pipeline.process import ProcessVersion
from tests.kernel.deep import bound, names_of, without_first
from tests.kernel.elf import as_stat
from tests.kernel.not_here import needs
from tests.kernel.programs import forked
from tests.kernel.tracer import Tracer
from tests.kernel.watch import Watch

pytestmark = pytest.mark.kernel

WORKS_MAX = bound("WORKS_MAX")
SPARE = 8  # works of the kernel's own, at the very most
OWN_MAX = 2  # and as they are in a quiet moment


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


def _script(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return os.fspath(path)


def _as_stat(path: str, interpreter: str) -> Script:
    """What is to be told of a script at that path."""
    return Script(os.path.realpath(path), interpreter, as_stat(path))


def test_a_script_is_named_and_its_interpreter_described(watch: Watch, tmp_path: Path) -> None:
    script = _script(tmp_path / "a script with a long name.sh", "#! /bin/sh -e\nexit 3\n")
    child = subprocess.Popen([script, "x"])
    child.wait()
    told, _ = watch.one(Exec, child.pid)
    process = watch.ended(child.pid)
    shell = os.stat("/bin/sh")
    assert process.image.name == "a script with a long name.sh"
    assert process.thread_name == "a script with a"
    assert process.image.executable == os.path.realpath("/bin/sh")
    assert process.image.script == told.script == _as_stat(script, "/bin/sh")
    assert process.image.args == ("/bin/sh", "-e", script, "x")
    assert (process.image.file.inode, process.image.file.traits) == (shell.st_ino, ("script",))


def test_of_nested_scripts_the_first_gives_the_name_and_the_last_the_interpreter(watch: Watch, tmp_path: Path) -> None:
    inner = _script(tmp_path / "inner", "#!/bin/sh -e\nexit 3\n")
    middle = _script(tmp_path / "middle", f"#!{inner} one\n")
    outer = _script(tmp_path / "outer", f"#!{middle} two\n")
    child = subprocess.Popen([outer, "x"])
    child.wait()
    process = watch.ended(child.pid)
    assert watch.kinds(child.pid).count(Exec) == 1
    assert process.image.name == "outer"
    assert process.image.script == _as_stat(outer, "/bin/sh")  # the file that was asked for, not the one in between
    assert process.image.args == ("/bin/sh", "-e", inner, "one", middle, "two", outer, "x")
    assert process.image.executable == os.path.realpath("/bin/sh")


def test_a_program_that_is_no_script_has_no_interpreter(watch: Watch) -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    process = watch.ended(child.pid)
    assert (process.image.script, "script" in process.image.file.traits) == (None, False)


def test_a_script_without_a_first_line_is_run_by_a_shell_that_libc_starts(watch: Watch, tmp_path: Path) -> None:
    """execvp(3): the kernel refuses it, which is no event; then the C library executes sh with it."""
    script = _script(tmp_path / "bare", "exit 3\n")
    libc = ctypes.CDLL(None)

    def execute() -> None:
        libc.execvp(script.encode(), (ctypes.c_char_p * 3)(script.encode(), b"x", None))

    pid = forked(execute)
    os.waitpid(pid, 0)
    process = watch.ended(pid)
    assert watch.kinds(pid) == [Fork, Exec, Exit]
    assert (process.image.name, process.image.args) == ("sh", ("/bin/sh", script, "x"))
    assert (process.image.script, process.exit_status) == (None, 3 << 8)


@pytest.mark.parametrize("by", ["relative", "link", "descriptor"])
def test_which_file_the_script_was_is_told_however_it_was_named(watch: Watch, tmp_path: Path, by: str) -> None:
    script = _script(tmp_path / "real.sh", "#!/bin/sh\nexit 3\n")
    (tmp_path / "link").symlink_to("real.sh")
    os.link(script, tmp_path / "second name")
    opened = os.open(script, os.O_RDONLY)
    asked = {"relative": "./real.sh", "link": "./link", "descriptor": f"/dev/fd/{opened}"}[by]
    child = subprocess.Popen([asked], cwd=tmp_path, pass_fds=[opened])
    os.close(opened)
    child.wait()
    process = watch.ended(child.pid)
    assert process.image.script == _as_stat(script, "/bin/sh")
    assert process.image.name == ("link" if by == "link" else "real.sh")


def _among(watch: Watch, folder: Path, others: int) -> ProcessVersion:
    """Who executed the script ``s`` while so many files were to close on exec.

    Each is one work more that hangs in the task behind the script's. Who executes has opened them himself: what another
    one holds too is not put away.
    """
    script = _script(folder / "s", "#!/bin/sh\n")
    other = _script(folder / "other", "#!/bin/sh\n")

    def execute() -> None:
        for _ in range(others):
            os.open(other, os.O_RDONLY | os.O_CLOEXEC)
        os.execv(script, [script])  # noqa: S606 - it is what is tested

    pid = forked(execute)
    os.waitpid(pid, 0)
    return watch.ended(pid)


@pytest.mark.parametrize("others", [1, 20, WORKS_MAX - SPARE])
def test_files_that_close_on_exec_are_not_taken_for_the_script(watch: Watch, tmp_path: Path, others: int) -> None:
    process = _among(watch, tmp_path, others)
    assert process.image.script == _as_stat(os.fspath(tmp_path / "s"), "/bin/sh")
    assert process.image.cut == ()
    assert "cut" not in process.doubt


def test_the_last_works_that_are_looked_at_may_be_the_scripts(watch: Watch, tmp_path: Path) -> None:
    """The kernel hangs up one of its own most times, and on a busy machine perhaps one more."""
    for own in range(OWN_MAX + 1):
        script = _among(watch, tmp_path, WORKS_MAX - 1 - own).image.script
        assert script is not None
        if script.path:
            assert script == _as_stat(os.fspath(tmp_path / "s"), "/bin/sh")
            return
    raise AssertionError("it is never found")


@pytest.mark.parametrize("others", [WORKS_MAX, 500])
def test_a_script_behind_more_works_than_are_looked_at_is_said_to_be_missing(
    watch: Watch, tmp_path: Path, others: int
) -> None:
    process = _among(watch, tmp_path, others)
    assert process.image.script == Script("", "/bin/sh")
    assert process.image.cut == ("script",)
    assert "cut" in process.doubt
    assert (process.image.name, process.image.args) == ("s", ("/bin/sh", os.fspath(tmp_path / "s")))


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_a_scripts_path_is_whole_up_to_the_bound_and_cut_beyond(watch: Watch, tmp_path: Path, over: int) -> None:
    folder = tmp_path.joinpath(*names_of(wire.SCRIPT_MAX + over - len(f"{tmp_path}/s")))
    folder.mkdir(parents=True)
    script = _script(folder / "s", "#!/bin/sh\n")
    assert len(script) == wire.SCRIPT_MAX + over
    child = subprocess.Popen([script])
    assert child.wait() == 0
    process = watch.ended(child.pid)
    shown = _as_stat(script, "/bin/sh")
    cut = over > 0
    assert process.image.script == (shown._replace(path=without_first(script)) if cut else shown)
    assert process.image.cut == (("script",) if cut else ())
    assert ("cut" in process.doubt) == cut
    told, _ = watch.one(Exec, child.pid)
    assert (told.filename, process.image.name) == (script, "s")


@pytest.mark.parametrize("over", [-1, 0])
def test_an_interpreters_name_is_whole_up_to_what_the_kernel_reads(watch: Watch, tmp_path: Path, over: int) -> None:
    """256 bytes of the first line, of which `#!` and the end of the line are three."""
    room = wire.INTERPRETER_MAX - 3 + over
    folder = tmp_path / ("d" * (room - len(os.fspath(tmp_path)) - len("//sh")))
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    interpreter = os.fspath(folder / "sh")
    assert len(interpreter) == room
    child = subprocess.Popen([_script(tmp_path / "script", f"#!{interpreter}\nexit 3\n")])
    assert child.wait() == 3
    process = watch.ended(child.pid)
    assert process.image.script is not None
    assert (process.image.script.interpreter, process.image.cut) == (interpreter, ())
    assert process.image.executable == os.path.realpath("/bin/sh")


def _by_its_format(watch: Watch, folder: Path, interpreter: str) -> ProcessVersion:
    """Who executed a file whose format is registered for that interpreter, a name of cat(1).

    In a user namespace of its own; where binfmt_misc has none, the mount fails: the host's is left alone.
    """
    program = folder / "program.lineage"
    program.write_bytes(b"LINEAGE-TEST\n")
    program.chmod(0o755)
    command = (
        "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && "
        'printf \'%s\' ":lineage-test:M::LINEAGE-TEST::$1:" > /proc/sys/fs/binfmt_misc/register && exec "$0"'
    )
    child = subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "--mount", "/bin/sh", "-c", command, program, interpreter],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, _ = child.communicate()
    needs("binfmt_misc", child.returncode == 0)
    assert out == b"LINEAGE-TEST\n"
    process = watch.ended(child.pid)
    assert process.image.name == "program.lineage"
    assert process.image.executable == os.path.realpath("/bin/cat")
    assert process.image.args == (interpreter, os.fspath(program))
    return process


def test_a_format_that_is_registered_names_its_interpreter_like_a_script(watch: Watch, tmp_path: Path) -> None:
    script = _by_its_format(watch, tmp_path, "/bin/cat").image.script
    assert script == _as_stat(os.fspath(tmp_path / "program.lineage"), "/bin/cat")


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_an_interpreter_longer_than_a_script_could_name_it_is_cut_and_flagged(
    watch: Watch, tmp_path: Path, over: int
) -> None:
    """A registered format may name one of nearly 2 KiB."""
    whole = wire.INTERPRETER_MAX - 1
    folder = tmp_path.joinpath(*names_of(whole + over - len(f"{tmp_path}/cat")))
    folder.mkdir(parents=True)
    (folder / "cat").symlink_to("/bin/cat")
    interpreter = os.fspath(folder / "cat")
    assert len(interpreter) == whole + over
    process = _by_its_format(watch, tmp_path, interpreter)
    assert process.image.script == _as_stat(os.fspath(tmp_path / "program.lineage"), interpreter[:whole])
    assert process.image.cut == (("interpreter",) if over > 0 else ())
    assert ("cut" in process.doubt) == (over > 0)
