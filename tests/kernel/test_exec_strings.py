"""Arguments, environment and paths: whole up to their bounds, cut and flagged beyond, whatever bytes they are of."""

# ruff: noqa: S606 - starting programs is what this is about

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.events import Exec
from pipeline.process import ProcessVersion
from tests.kernel import elf
from tests.kernel.deep import names_of
from tests.kernel.programs import finished, forked, python
from tests.kernel.tracer import Tracer
from tests.kernel.watch import Watch

pytestmark = pytest.mark.kernel


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


def test_supplementary_groups_beyond_the_bound_are_cut_and_flagged(tracer: Tracer) -> None:
    for count, cut in ((wire.GROUPS_MAX, ()), (wire.GROUPS_MAX + 1, ("groups",))):
        child = subprocess.Popen(["/bin/true"], extra_groups=range(1000, 1000 + count))
        child.wait()
        told = tracer.one(Exec, child.pid)
        assert told.groups == tuple(range(1000, 1000 + wire.GROUPS_MAX))
        assert told.cut == cut


def _true(watch: Watch, arguments: list[bytes], environment: list[bytes], path: bytes = b"/bin/true") -> ProcessVersion:
    """/bin/true with exactly these, which Python's own exec would not let through."""

    def execute() -> None:
        words = (ctypes.c_char_p * (len(arguments) + 1))(*arguments, None)
        variables = (ctypes.c_char_p * (len(environment) + 1))(*environment, None)
        ctypes.CDLL(None).execve(path, words, variables)

    pid = forked(execute)
    os.waitpid(pid, 0)
    told, _ = watch.one(Exec, pid)
    process = watch.ended(pid)
    assert told.environment == process.image.environment
    assert told.args_total_bytes == sum(len(word) + 1 for word in arguments)
    return process


@pytest.mark.parametrize("arguments", [[b""], [b"", b"x"], [b"x", b"", b"y"], [b"x", b""], [b"", b"", b""]], ids=repr)
def test_empty_arguments_are_arguments(watch: Watch, arguments: list[bytes]) -> None:
    process = _true(watch, arguments, [])
    assert process.image.args == tuple(word.decode() for word in arguments)
    assert (process.image.name, process.image.environment, process.image.cut) == ("true", (), ())


def test_without_any_argument_the_file_gives_the_name_all_the_same(watch: Watch) -> None:
    """Since 5.18 the kernel itself adds one that is empty."""
    pid = forked(lambda: ctypes.CDLL(None).execve(b"/bin/true", None, None))
    os.waitpid(pid, 0)
    told, process = watch.one(Exec, pid)
    assert (told.args, told.args_total_bytes) in (((), 0), (("",), 1))
    assert (process.image.name, process.image.args, process.image.environment) == ("true", told.args, ())


def test_arguments_may_hold_anything_but_nul(watch: Watch) -> None:
    process = _true(watch, [b"a\nb", b"c d", b"e)f", b"\xff\xfe", "→".encode(), b"\x1b[31m"], [])
    assert process.image.args == ("a\nb", "c d", "e)f", "\ufffd\ufffd", "→", "\x1b[31m")


def test_a_file_name_is_whole_up_to_the_longest_that_the_kernel_takes(watch: Watch) -> None:
    longest = b"/bin/" + b"./" * ((wire.PATH_MAX - 1 - len(b"/bin/true")) // 2) + b"true"
    longest = longest.replace(b"/bin/", b"/bin/" + b"/" * (wire.PATH_MAX - 1 - len(longest)))
    assert len(longest) == wire.PATH_MAX - 1
    pid = forked(lambda: os.execv(longest, ["true"]))
    os.waitpid(pid, 0)
    told, process = watch.one(Exec, pid)
    assert (told.filename, told.cut, process.image.name) == (longest.decode(), (), "true")


def test_of_the_environment_only_allowed_names_are_told_and_those_exactly(watch: Watch) -> None:
    environment = [
        b"PATH=/bin",
        b"LD_PRELOADED=1",
        b"LD_PRELOAD",  # no value
        b"LD_PRELOA=1",
        b"XLD_PRELOAD=1",
        b"ld_preload=1",
        b"LD_PRELOAD=/evil.so",
        b"LD_LIBRARY_PATHS=1",
        b"LD_LIBRARY_PATH=/lib=x",
        b"LD_LIBRARY=1",
        b"BASH_ENV=",
        b"=LD_PRELOAD=1",
        b"",
        b"LD_PRELOAD=/second.so",  # a second one is one too: which of them counts is the program's affair
        b"SECRET=hunter2",
        b"SUDO_USER=\xff",
    ]
    process = _true(watch, [b"true"], environment)
    assert process.image.environment == (
        "LD_PRELOAD=/evil.so",
        "LD_LIBRARY_PATH=/lib=x",
        "BASH_ENV=",
        "LD_PRELOAD=/second.so",
        "SUDO_USER=\ufffd",
    )
    assert process.image.cut == ()


@pytest.mark.parametrize("arguments", [1, 500])
def test_variables_are_looked_at_up_to_the_bound_and_the_rest_is_flagged(watch: Watch, arguments: int) -> None:
    """Wherever the wanted one stands, and however many arguments lie before."""
    words, wanted = [b"true"] * arguments, b"LD_PRELOAD=/x.so"
    others = [b"V%d=%d" % (number, number) for number in range(2 * wire.VARIABLES_MAX)]
    last = _true(watch, words, [*others[: wire.VARIABLES_MAX - 1], wanted])
    assert (last.image.environment, last.image.cut) == ((wanted.decode(),), ())
    beyond = _true(watch, words, [*others[: wire.VARIABLES_MAX], wanted])
    assert (beyond.image.environment, beyond.image.cut) == ((), ("environment",))
    first = _true(watch, words, [wanted, *others])
    assert (first.image.environment, first.image.cut) == ((wanted.decode(),), ("environment",))
    last_of_all = _true(watch, words, [*others, wanted])
    assert (last_of_all.image.environment, last_of_all.image.cut) == ((), ("environment",))
    assert "cut" in last_of_all.doubt


@pytest.mark.parametrize(("over", "cut"), [(-1, ()), (0, ()), (1, ("environment",)), (10_000, ("environment",))])
def test_a_variable_is_whole_up_to_the_bound_and_cut_beyond(watch: Watch, over: int, cut: tuple[str, ...]) -> None:
    """The bound counts the NUL behind it."""
    text = b"SUDO_USER=" + b"x" * (wire.VARIABLE_MAX - 1 - len(b"SUDO_USER=") + over)
    process = _true(watch, [b"true"], [b"A=b", text, b"BASH_ENV=/after"])
    assert process.image.environment == (text[: wire.VARIABLE_MAX - 1].decode(), "BASH_ENV=/after")
    assert process.image.cut == cut


def test_variables_that_are_too_much_together_are_told_as_far_as_they_fit(watch: Watch) -> None:
    names = [b"SUDO_USER", b"BASH_ENV", b"LD_LIBRARY_PATH", b"GCONV_PATH", b"PYTHONSTARTUP", b"SUDO_USER"]
    environment = [name + b"=" + b"x" * (399 - len(name)) for name in names]
    process = _true(watch, [b"true", b"word"], environment)
    assert process.image.environment == tuple(text.decode() for text in environment[:4])
    assert process.image.cut == ("environment",)
    assert process.image.args == ("true", "word")


def test_everything_at_its_bound_at_once_is_whole(watch: Watch, tmp_path: Path) -> None:
    """The longest record: no string pushes another one out."""
    folder = Path(os.fspath(tmp_path) + ("/" + "d" * 200) * 18)
    folder.mkdir(parents=True)
    shutil.copy("/bin/true", folder / "tool")
    environment = [b"SUDO_USER=" + b"x" * 501] * 3
    words = [b"tool", b"y" * (wire.ARGS_MAX - len(b"tool") - 2)]

    def execute() -> None:
        os.setgroups(range(1, wire.GROUPS_MAX + 1))
        os.chdir(folder)
        array = (ctypes.c_char_p * 4)(*environment, None)
        ctypes.CDLL(None).execve(os.fsencode(folder / "tool"), (ctypes.c_char_p * 3)(*words, None), array)

    pid = forked(execute)
    os.waitpid(pid, 0)
    told, _ = watch.one(Exec, pid)
    assert told.cut == ()
    assert told.filename == told.executable == str(folder / "tool")
    assert (told.working_directory, told.groups) == (str(folder), tuple(range(1, wire.GROUPS_MAX + 1)))
    assert told.environment == tuple(text.decode() for text in environment)
    assert told.args == tuple(word.decode() for word in words)
    assert (told.args_total_bytes, watch.ended(pid).exit_status) == (wire.ARGS_MAX, 0)


def test_where_all_else_is_as_long_as_it_may_be_arguments_have_less_room(watch: Watch, tmp_path: Path) -> None:
    """And all else is whole: a script as well, whose interpreter has a loader of its own."""
    far = tmp_path.joinpath(*names_of(wire.PATH_MAX - 10 - len(f"{tmp_path}/tool")))
    near = tmp_path.joinpath(*names_of(wire.SCRIPT_MAX - len(f"{tmp_path}/s")))
    far.mkdir(parents=True)
    near.mkdir(parents=True)
    loader = elf.make(near / "l", kind=elf.DYN, address=0)
    elf.make(far / "tool", interpreter=str(loader))
    (tmp_path / "i").symlink_to(far / "tool")
    (near / "s").write_text(f"#!{tmp_path}/i\n")
    (near / "s").chmod(0o755)
    asked = str(near / "s").rjust(wire.PATH_MAX - 1, "/")
    environment = [b"SUDO_USER=" + b"x" * 495] * 4

    def execute() -> None:
        os.setgroups(range(1, wire.GROUPS_MAX + 1))
        os.chdir(far)
        words = (ctypes.c_char_p * 3)(b"s", b"y" * wire.ARGS_MAX, None)
        ctypes.CDLL(None).execve(asked.encode(), words, (ctypes.c_char_p * 5)(*environment, None))

    pid = forked(execute)
    os.waitpid(pid, 0)
    told, _ = watch.one(Exec, pid)
    assert (told.filename, told.executable, told.working_directory) == (asked, str(far / "tool"), str(far))
    assert told.script is not None
    assert told.loader is not None
    assert (told.script.path, told.loader.path) == (str(near / "s"), str(loader))
    assert (len(told.groups), len(told.environment)) == (wire.GROUPS_MAX, len(environment))
    whole = f"{tmp_path}/i\0{asked}\0" + "y" * wire.ARGS_MAX + "\0"
    assert "\0".join(told.args) == whole[: wire.ARGS_MAX - wire.LOADER_MAX]
    assert (told.args_total_bytes, told.cut, watch.ended(pid).exit_status) == (len(whole), ("args",), 7 << 8)
