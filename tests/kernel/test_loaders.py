"""Which file the kernel mapped to load a program (PT_INTERP), whatever that program does to hide it."""

# ruff: noqa: S606 - starting programs is what this is about

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.events import Exec, Fork, Loader
from pipeline.process import Image, ProcessVersion
from tests.kernel import elf, overlays
from tests.kernel.deep import names_of, without_first
from tests.kernel.not_here import needs
from tests.kernel.programs import forked, numbers, python, started
from tests.kernel.tracer import Tracer
from tests.kernel.watch import Watch

pytestmark = pytest.mark.kernel


def _loader(path: str | Path, *traits: str) -> Loader:
    """What is to be told of a loader at that path."""
    return Loader(os.path.realpath(path), elf.as_stat(path, *traits))


def _usual() -> Loader:
    return _loader(elf.loader_named_in("/bin/true"))


def _executed(watch: Watch, work: Callable[[], object], status: int = 0) -> ProcessVersion:
    """Who did ``work``, which executed exactly one file, after its end."""
    pid = forked(work)
    os.waitpid(pid, 0)
    process = watch.ended(pid)
    ((told, _),) = watch.all(Exec, pid)
    assert process.exit_status == status << 8
    assert process.image.loader == told.loader
    return process


def _image(watch: Watch, path: Path, status: int = 7, directory: Path = Path("/")) -> Image:
    def work() -> None:
        os.chdir(directory)
        os.execv(path, [path.name])

    return _executed(watch, work, status).image


def test_the_loader_of_a_dynamic_program_is_told_as_stat_has_it(watch: Watch) -> None:
    process = _executed(watch, lambda: os.execv("/bin/true", ["true"]))
    assert process.image.loader == _usual()
    assert (process.image.cut, "cut" in process.doubt) == ((), False)


def test_a_static_program_has_none(watch: Watch, tmp_path: Path) -> None:
    image = _image(watch, elf.make(tmp_path / "static"))
    assert (image.loader, image.cut) == (None, ())


def test_a_script_has_that_of_its_interpreter(watch: Watch, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 7\n")
    script.chmod(0o755)
    image = _image(watch, script)
    assert image.script is not None
    assert image.loader == _loader(elf.loader_named_in("/bin/sh"))


def test_a_child_has_its_parents_and_an_exec_takes_it_away(watch: Watch, tmp_path: Path) -> None:
    static = elf.make(tmp_path / "static")
    child = python(f"pid = os.fork()\nif not pid: os.execv('{static}', ['s'])\nos.wait()\ntell(pid)")
    (pid,) = numbers(child)
    child.wait()
    ended = watch.ended(pid)
    fork, born = watch.one(Fork, pid)
    assert fork.birth_pid == child.pid
    assert born.image.loader == _loader(elf.loader_named_in("/usr/bin/python3"))
    assert (ended.image.loader, [image.loader for image in ended.previous]) == (None, [born.image.loader])


def test_a_loader_that_is_run_by_its_name_is_a_program_without_one(watch: Watch) -> None:
    loader = _usual()
    process = _executed(watch, lambda: os.execv(loader.path, [loader.path, "/bin/true"]))
    assert (process.image.executable, process.image.loader) == (loader.path, None)
    assert process.image.args == (loader.path, "/bin/true")


def _named_anew(program: Path, name: str) -> None:
    """Have a copy of /bin/true ask for another loader, which is what malware does."""
    old = elf.loader_named_in("/bin/true").encode()
    raw = Path("/bin/true").read_bytes()
    assert raw.count(old) == 1
    assert len(name) <= len(old)
    program.write_bytes(raw.replace(old, name.encode().ljust(len(old), b"\0")))
    program.chmod(0o755)


def test_another_loader_is_told_by_its_own_path(watch: Watch, tmp_path: Path) -> None:
    shutil.copy(_usual().path, tmp_path / "evil.so")
    (tmp_path / "evil.so").chmod(0o4755)
    _named_anew(tmp_path / "true", "./evil.so")
    image = _image(watch, tmp_path / "true", 0, tmp_path)
    assert image.loader == _loader(tmp_path / "evil.so", "setuid")
    assert image.executable == str(tmp_path / "true")


def test_a_loader_without_a_name_is_told_as_what_it_is(watch: Watch, tmp_path: Path) -> None:
    memory = os.memfd_create("evil")
    os.write(memory, Path(_usual().path).read_bytes())
    _named_anew(tmp_path / "true", f"/proc/self/fd/{memory}")
    image = _image(watch, tmp_path / "true", 0)
    shown = elf.as_stat(f"/proc/self/fd/{memory}", "memfd")
    os.close(memory)
    assert image.loader == Loader("memfd:evil", shown)


def test_a_loader_that_was_removed_is_known_by_its_old_name_and_flagged(watch: Watch, tmp_path: Path) -> None:
    shutil.copy(_usual().path, tmp_path / "gone.so")
    file = os.open(tmp_path / "gone.so", os.O_RDONLY)
    (tmp_path / "gone.so").unlink()
    _named_anew(tmp_path / "true", f"/proc/self/fd/{file}")
    image = _image(watch, tmp_path / "true", 0)
    shown = elf.as_stat(f"/proc/self/fd/{file}", "deleted")
    os.close(file)
    assert image.loader == Loader(str(tmp_path / "gone.so"), shown)
    assert shown.links == 0


@pytest.mark.parametrize(
    ("kind", "address"), [(elf.DYN, 0), (elf.DYN, 0x7000000), (elf.EXEC, 0x10000000), (elf.EXEC, 0x200000)]
)
@pytest.mark.parametrize("program", [elf.DYN, elf.EXEC])
def test_it_is_found_wherever_it_says_it_is_to_lie(
    watch: Watch, tmp_path: Path, program: int, kind: int, address: int
) -> None:
    """The auxiliary vector names no address for the last two, and for the second one where nothing is."""
    loader = elf.make(tmp_path / "loader", kind=kind, address=address)
    elf.make(tmp_path / "program", {}.fromkeys(elf.EXIT_7, b"\0"), kind=program, interpreter=str(loader))
    image = _image(watch, tmp_path / "program")
    assert (image.loader, image.cut) == (_loader(loader), ())


NOT_FOUND = (None, ("loader",))
FEW, MANY = 20, 72  # segments of a program; a linker makes about five, and Linux 5.10 takes no more


@pytest.mark.parametrize("segments", [FEW, MANY])
@pytest.mark.parametrize("dynamic", [True, False])
def test_among_more_areas_than_are_looked_at_none_is_guessed(
    watch: Watch, tmp_path: Path, segments: int, dynamic: bool
) -> None:
    amid = elf.AT + elf.PAGE * (1 + segments // 2 * 2)
    loader = elf.make(tmp_path / "loader", kind=elf.EXEC, address=amid)
    program = elf.make(tmp_path / "program", segments=segments, interpreter=str(loader) if dynamic else "")
    process = _executed(watch, _of(program), 7)
    told = (process.image.loader, process.image.cut)
    assert ("cut" in process.doubt) == (told == NOT_FOUND)
    if segments == FEW:
        assert told == (_loader(loader) if dynamic else None, ())
    else:  # from which end it is looked for, differs
        assert told == NOT_FOUND or (dynamic and told == (_loader(loader), ()))


def test_a_32_bit_program_has_one_too(watch: Watch, tmp_path: Path) -> None:
    loader = elf.make(tmp_path / "loader", kind=elf.DYN, address=0, machine="i386")
    program = elf.make(tmp_path / "program", interpreter=str(loader), machine="i386")
    try:
        subprocess.run([program], check=False)
    except OSError:
        needs("a 32-bit program", False)
    assert _image(watch, program).loader == _loader(loader)


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_its_path_is_whole_up_to_the_bound_and_cut_beyond(watch: Watch, tmp_path: Path, over: int) -> None:
    folder = tmp_path.joinpath(*names_of(wire.LOADER_MAX + over - len(f"{tmp_path}/l")))
    folder.mkdir(parents=True)
    loader = elf.make(folder / "l", kind=elf.DYN, address=0)
    assert len(str(loader)) == wire.LOADER_MAX + over
    process = _executed(watch, _of(elf.make(tmp_path / "program", interpreter=str(loader))), 7)
    cut = over > 0
    shown = _loader(loader)
    assert process.image.loader == (shown._replace(path=without_first(str(loader))) if cut else shown)
    assert process.image.cut == (("loader",) if cut else ())
    assert ("cut" in process.doubt) == cut


@pytest.mark.parametrize("program", ["here", "there", "static"])
@pytest.mark.parametrize("changed", [False, True])
def test_on_an_overlay_it_is_the_file_of_the_overlay(watch: Watch, tmp_path: Path, program: str, changed: bool) -> None:
    """What is mapped there is the copy in a layer."""
    layers, folder = tmp_path / "layers", tmp_path / "folder"
    layers.mkdir()
    folder.mkdir()
    loader = elf.make(folder / "loader", kind=elf.DYN, address=0).read_bytes()
    dynamic = elf.make(folder / "there", interpreter="./loader").read_bytes()
    static = elf.make(folder / "static").read_bytes()
    reader, writer = os.pipe()

    def work() -> None:
        merged = overlays.mount(layers, {"loader": loader, "here": dynamic, "static": static})
        if changed:
            (merged / "loader").chmod(0o700)  # copied up
        os.chdir(merged)
        os.write(writer, str(os.stat("loader").st_ino).encode())
        os.execv(folder / "there" if program == "there" else program, [program])

    pid = forked(work)
    _, status = os.waitpid(pid, 0)
    os.close(writer)
    inode = os.read(reader, 32)
    os.close(reader)
    needs("overlay", os.waitstatus_to_exitcode(status) not in (errno.ENODEV, errno.EPERM, errno.EINVAL))
    image = watch.ended(pid).image
    assert os.waitstatus_to_exitcode(status) == 7
    if program == "static":
        assert (image.loader, image.cut) == (None, ())
        return
    assert image.loader is not None
    assert image.loader.path == f"{layers}/merged/loader"
    assert (image.loader.file.inode, image.loader.file.mode) == (int(inode), 0o100700 if changed else 0o100755)
    assert image.loader.file.traits == (("upper_layer",) if changed else ())
    if program == "here":
        assert image.loader.file.device == image.file.device  # the overlay's


def _of(program: Path) -> Callable[[], object]:
    return lambda: os.execv(program, [program.name])


def _found(tracer: Tracer, program: Path) -> tuple[Loader | None, tuple[str, ...]]:
    """As the walk tells of who runs it and waits."""
    child = started(subprocess.Popen([program], text=True))
    tracer.one(Exec, child.pid)
    told = tracer.snapshot()[child.pid]
    return told.loader, told.cut


def test_who_runs_already_has_its_loader_where_the_kernel_had_put_it(tracer: Tracer, tmp_path: Path) -> None:
    loader = elf.make(tmp_path / "loader", elf.WAIT, kind=elf.DYN, address=0)
    program = elf.make(tmp_path / "program", interpreter=str(loader))
    assert _found(tracer, program) == (_loader(loader), ())
    assert _found(tracer, elf.make(tmp_path / "static", elf.WAIT)) == (None, ())


def test_among_thousands_of_areas_it_is_found(tracer: Tracer) -> None:
    """Every level of the tree: neighbours that differ stay apart."""
    child = python(
        """
import mmap
kept = [mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE * (n % 2)) for n in range(20000)]
tell(len(kept))
time.sleep(600)
"""
    )
    assert numbers(child) == [20_000]
    assert len(Path(f"/proc/{child.pid}/maps").read_bytes().splitlines()) > 20_000
    told = tracer.snapshot()[child.pid]
    assert (told.loader, told.cut) == (_loader(elf.loader_named_in("/usr/bin/python3")), ())


def test_a_loader_that_lies_there_no_more_is_said_to_be_missing(tracer: Tracer) -> None:
    child = python(
        """
base = next(int(line.split("-")[0], 16) for line in open("/proc/self/maps") if "/ld-" in line)
munmap, pause = libc.munmap, libc.pause
tell(munmap(ctypes.c_void_p(base), 4096))
pause()
"""
    )
    assert numbers(child) == [0]
    told = tracer.snapshot()[child.pid]
    assert (told.loader, told.cut) == (None, ("loader",))


def test_a_32_bit_program_that_runs_already_has_one_too(tracer: Tracer, tmp_path: Path) -> None:
    loader = elf.make(tmp_path / "loader", elf.WAIT, kind=elf.DYN, address=0, machine="i386")
    program = elf.make(tmp_path / "program", interpreter=str(loader), machine="i386")
    try:
        found = _found(tracer, program)
    except OSError:
        needs("a 32-bit program", False)
    assert found == (_loader(loader), ())


def test_the_loader_of_every_process_is_what_its_program_names(tracer: Tracer) -> None:
    """Of all that run on this host and are seen by the paths they have."""
    compared = set()
    for pid, told in tracer.snapshot().items():
        try:
            named = elf.loader_named_in(f"/proc/{pid}/exe")
            shown = _loader(f"/proc/{pid}/root{named}")
            if os.stat(f"/proc/{pid}/root").st_ino != os.stat("/").st_ino:
                continue
        except (OSError, AssertionError):
            continue
        assert told.loader == shown._replace(path=os.path.realpath(named)), pid
        compared.add(pid)
    assert os.getpid() in compared
