"""Arguments, environment and paths: whole up to their bounds, cut and flagged beyond, whatever bytes they are of."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.events import Exec
from tests.kernel.programs import finished, python
from tests.kernel.tracer import Tracer

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
