"""Which file was executed, and where it lies as the process sees it."""

# ruff: noqa: S606 - starting programs is what this is about

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.events import Exec
from tests.kernel.programs import forked
from tests.kernel.tracer import Tracer

pytestmark = pytest.mark.kernel


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
