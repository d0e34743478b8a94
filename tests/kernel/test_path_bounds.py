"""Paths at their bounds: whole below and at each, cut and flagged above; what misses is next to the root."""

# ruff: noqa: S606 - starting programs is what this is about

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.events import DirectoryChange, Exec
from pipeline.process import ProcessVersion
from tests.kernel.deep import bound, names_of, steps_to, without_first
from tests.kernel.programs import forked
from tests.kernel.watch import Watch

pytestmark = pytest.mark.kernel

DEPTH_MAX = bound("PATH_DEPTH_MAX")
OVER = pytest.mark.parametrize("over", [-1, 0, 1])


def _executed(watch: Watch, folder: Path, names: list[str], tool: str) -> tuple[Exec, ProcessVersion]:
    """Go down step by step, since no system call takes such a path whole, and execute a program there or elsewhere."""

    def work() -> None:
        os.chdir(folder)
        for name in names:
            os.mkdir(name)
            os.chdir(name)
        if not os.path.isabs(tool):
            shutil.copy("/bin/true", tool)
        os.execv(tool, ["tool"])

    pid = forked(work)
    os.waitpid(pid, 0)
    told, _ = watch.one(Exec, pid)
    process = watch.ended(pid)
    assert told.filename == tool
    assert process.exit_status == 0
    return told, process


def _assert_the_directory(watch: Watch, told: Exec, process: ProcessVersion, path: str, cut: bool) -> None:
    """As the exec tells it, and the chdir(2) before."""
    assert told.working_directory == process.working_directory == (without_first(path) if cut else path)
    assert told.cut == process.cut == (("working_directory",) if cut else ())
    assert ("cut" in process.doubt) == cut
    moved = watch.all(DirectoryChange, process.pid)[-1].event
    assert (moved.path, moved.cut) == (told.working_directory, cut)


@OVER
def test_a_directory_is_whole_up_to_the_depth_that_is_walked(watch: Watch, tmp_path: Path, over: int) -> None:
    names = ["d"] * (DEPTH_MAX + over - steps_to(tmp_path))
    told, process = _executed(watch, tmp_path, names, "/bin/true")
    _assert_the_directory(watch, told, process, str(tmp_path.joinpath(*names)), over > 0)


@OVER
def test_a_directory_is_whole_up_to_the_length_that_is_told(watch: Watch, tmp_path: Path, over: int) -> None:
    names = names_of(wire.PATH_MAX + over - len(str(tmp_path)))
    path = str(tmp_path.joinpath(*names))
    assert len(path) == wire.PATH_MAX + over
    told, process = _executed(watch, tmp_path, names, "/bin/true")
    _assert_the_directory(watch, told, process, path, over > 0)


def _assert_the_executable(told: Exec, process: ProcessVersion, path: str, cut: bool) -> None:
    assert told.executable == process.image.executable == (without_first(path) if cut else path)
    assert told.cut == process.image.cut == (("executable",) if cut else ())
    assert process.image.name == "tool"
    assert ("cut" in process.doubt) == cut


@OVER
def test_an_executable_is_whole_up_to_the_depth_that_is_walked(watch: Watch, tmp_path: Path, over: int) -> None:
    names = ["d"] * (DEPTH_MAX + over - steps_to(tmp_path) - 1)
    told, process = _executed(watch, tmp_path, names, "./tool")
    _assert_the_executable(told, process, str(tmp_path.joinpath(*names, "tool")), over > 0)


@OVER
def test_an_executable_is_whole_up_to_the_length_that_is_told(watch: Watch, tmp_path: Path, over: int) -> None:
    names = names_of(wire.PATH_MAX + over - len(f"{tmp_path}/tool"))
    path = str(tmp_path.joinpath(*names, "tool"))
    assert len(path) == wire.PATH_MAX + over
    told, process = _executed(watch, tmp_path, names, "./tool")
    _assert_the_executable(told, process, path, over > 0)


@pytest.mark.parametrize("name", ["d", "d" * 255], ids=["deep", "long"])
def test_far_beyond_each_bound_as_much_is_told_as_fits(watch: Watch, tmp_path: Path, name: str) -> None:
    told, process = _executed(watch, tmp_path, [name] * 150, "./tool")
    levels = min(DEPTH_MAX, wire.PATH_MAX // len(f"/{name}"))
    above = min(DEPTH_MAX - 1, (wire.PATH_MAX - len("/tool")) // len(f"/{name}"))
    assert told.working_directory == "…" + f"/{name}" * levels
    assert told.executable == "…" + f"/{name}" * above + "/tool"
    assert told.cut == ("executable", "working_directory")
    assert (process.image.cut, process.cut) == (("executable",), ("working_directory",))
    assert process.image.name == "tool"
    assert "cut" in process.doubt
