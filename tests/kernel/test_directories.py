"""The working directory as the process sees it, after each call that changes it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.events import DirectoryChange, Event, Exec
from tests.kernel.grown import Grown
from tests.kernel.puppet import Puppet
from tests.kernel.tracer import Tracer

pytestmark = pytest.mark.kernel

NEWNS = 0x20000
CLONE_FS = 0x200
SYS_PIVOT_ROOT = 155 if os.uname().machine == "x86_64" else 41


def _path(event: Event) -> str:
    assert isinstance(event, DirectoryChange)
    return event.path


def test_chdir_and_fchdir_are_told_and_an_exec_by_a_relative_path_comes_from_there(
    tracer: Tracer, tmp_path: Path
) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    grown.news(puppet.pid)
    program = tmp_path / "here" / "program"
    program.parent.mkdir()
    shutil.copy("/bin/true", program)
    assert puppet.ask(f"libc.chdir({str(tmp_path).encode()!r})") == 0
    assert [_path(event) for event in grown.news(puppet.pid)] == [str(tmp_path)]
    puppet.ask("(held := os.open('here', os.O_RDONLY)) and 0")
    assert puppet.ask("libc.fchdir(held)") == 0
    assert [_path(event) for event in grown.news(puppet.pid)] == [os.readlink(f"/proc/{puppet.pid}/cwd")]
    assert grown.of(puppet.pid).working_directory == str(program.parent)
    child = puppet.ask("os.posix_spawn('./program', ['program'], {})")
    puppet.ask(f"os.waitpid({child}, 0)[1]")
    executed = next(event for event in grown.news(child) if isinstance(event, Exec))
    assert (executed.filename, executed.executable) == ("./program", str(program))
    assert executed.working_directory == str(program.parent) == grown.of(child).working_directory


def test_what_fails_is_not_told(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    grown.news(puppet.pid)
    for call in ("libc.chdir(b'/nowhere/at/all')", "libc.fchdir(0)", "libc.chroot(b'/nowhere/at/all')"):
        assert puppet.ask(f"failed({call})") != 0
    assert not grown.news(puppet.pid)


def test_a_child_begins_where_its_parent_is(tracer: Tracer, tmp_path: Path) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    puppet.ask(f"os.chdir({str(tmp_path)!r})")
    child = puppet.ask("clone3()")
    puppet.ask("os.chdir('/')")
    assert (grown.of(child).working_directory, grown.of(puppet.pid).working_directory) == (str(tmp_path), "/")
    puppet.ask(f"end({child})")


def test_in_a_root_of_its_own_a_path_begins_there(tracer: Tracer, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    puppet = Puppet()
    grown = Grown(tracer)
    puppet.ask(f"os.chdir({str(tmp_path / 'inside')!r})")
    grown.news(puppet.pid)
    puppet.ask(f"os.chroot({str(tmp_path)!r})")
    assert [_path(event) for event in grown.news(puppet.pid)] == ["/inside"]
    puppet.ask("os.chdir('/')")
    assert [_path(event) for event in grown.news(puppet.pid)] == ["/"]
    assert grown.of(puppet.pid).working_directory == "/"


def test_a_new_root_by_pivot_root_is_told(tracer: Tracer, tmp_path: Path) -> None:
    """As every container runtime does it, in a mount namespace of its own."""
    puppet = Puppet()
    grown = Grown(tracer)
    assert puppet.ask(f"libc.unshare({NEWNS})") == 0
    root = str(tmp_path).encode()
    assert puppet.ask("libc.mount(b'none', b'/', None, 0x44000, None)") == 0  # MS_REC | MS_PRIVATE
    assert puppet.ask(f"libc.mount(b'tmpfs', {root!r}, b'tmpfs', 0, None)") == 0
    puppet.ask(f"os.makedirs({str(tmp_path / 'old')!r})")
    puppet.ask(f"os.chdir({str(tmp_path)!r})")
    grown.news(puppet.pid)
    assert puppet.ask(f"libc.syscall({SYS_PIVOT_ROOT}, b'.', b'old')") == 0
    assert [_path(event) for event in grown.news(puppet.pid)] == ["/"]
    assert grown.of(puppet.pid).working_directory == "/"


def test_a_directory_that_was_removed_is_told_as_it_was_called(tracer: Tracer, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    puppet = Puppet()
    grown = Grown(tracer)
    puppet.ask(f"(held := os.open({str(gone)!r}, os.O_RDONLY)) and 0")
    gone.rmdir()
    grown.news(puppet.pid)
    assert puppet.ask("libc.fchdir(held)") == 0
    (event,) = grown.news(puppet.pid)
    assert _path(event) == str(gone)
    assert wire.STRUCT_HEADER.unpack_from(tracer.record_of(event))[3] & wire.DIRECTORY_DELETED


def test_a_path_too_deep_for_a_record_is_cut_at_its_beginning(tracer: Tracer, tmp_path: Path) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    puppet.ask(f"os.chdir({str(tmp_path)!r})")
    name = "d" * 100
    puppet.ask(f"[(os.mkdir({name!r}), os.chdir({name!r})) for _ in range(60)] and 0")
    events = grown.news(puppet.pid)
    whole = _path(events[10])
    assert whole == str(tmp_path) + f"/{name}" * 10
    last = events[-1]
    assert isinstance(last, DirectoryChange)
    assert last.cut
    assert last.path.endswith(f"/{name}" * 30)
    assert len(last.path) <= wire.PATH_MAX
    puppet.ask("os.chdir('/')")
    shutil.rmtree(tmp_path / name)


def test_a_thread_with_a_directory_of_its_own_does_not_move_its_process(tracer: Tracer, tmp_path: Path) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    puppet.ask("start_thread()")
    grown.news(puppet.pid)
    puppet.ask("on_thread('os.chdir(\"/usr\")')")
    assert [_path(event) for event in grown.news(puppet.pid)] == ["/usr"]  # one directory for all threads
    assert grown.of(puppet.pid).working_directory == "/usr" == os.readlink(f"/proc/{puppet.pid}/cwd")
    assert puppet.ask(f"on_thread('libc.unshare({CLONE_FS})')") == 0
    grown.news(puppet.pid)
    puppet.ask(f"on_thread({f'os.chdir({str(tmp_path)!r})'!r})")
    assert not [event for event in grown.news(puppet.pid) if isinstance(event, DirectoryChange)]
    assert grown.of(puppet.pid).working_directory == "/usr" == os.readlink(f"/proc/{puppet.pid}/cwd")
    child = puppet.ask('on_thread(\'os.posix_spawn("/bin/true", ["true"], {})\')')
    puppet.ask(f"os.waitpid({child}, 0)[1]")
    executed = next(event for event in grown.news(child) if isinstance(event, Exec))
    assert executed.working_directory == str(tmp_path) == grown.of(child).working_directory


def test_a_directory_shared_by_two_processes_is_learnt_with_the_next_exec(tracer: Tracer) -> None:
    """clone(CLONE_FS): when one moves, the other does too, and only its own records tell where it is."""
    puppet = Puppet()
    grown = Grown(tracer)
    child = puppet.ask(f"clone3({CLONE_FS}, work='os.chdir(\"/usr\")')")
    tracer.until(lambda: tracer.all(DirectoryChange, child))
    assert os.readlink(f"/proc/{puppet.pid}/cwd") == "/usr" == grown.of(child).working_directory
    puppet.order("os.execv('/bin/cat', ['cat'])")
    tracer.until(lambda: tracer.all(Exec, puppet.pid)[-1].filename == "/bin/cat")
    executed = tracer.all(Exec, puppet.pid)[-1]
    assert executed.working_directory == "/usr" == grown.of(puppet.pid).working_directory


def test_an_exec_tells_where_it_is_also_when_that_is_no_path_any_more(tracer: Tracer, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    child = subprocess.Popen(["/bin/sh", "-c", f"rmdir {gone}; exec /bin/true"], cwd=gone)
    child.wait(30)
    tracer.drain()
    executed = tracer.all(Exec, child.pid)[-1]
    assert (executed.executable, executed.working_directory) == (os.path.realpath("/bin/true"), str(gone))
