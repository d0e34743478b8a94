"""argv from /proc: of this very process or of none."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.sources.procfs import Details, details

TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")


def _start_ns(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]) * TICK_NS


def _line(pid: int) -> Details | None:
    """Its command line, once the exec is over: Popen returns in the midst of it, when there is none."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        line = details(pid, _start_ns(pid) + TICK_NS - 1)
        if line is None or line.raw:
            return line
    raise AssertionError("no command line")


def _asked(*argv: str) -> tuple[bytes, int]:
    """The command line of a process that was started so."""
    with subprocess.Popen(argv, executable="/bin/sleep", stdin=subprocess.DEVNULL) as child:
        try:
            line = _line(child.pid)
        finally:
            child.kill()
    assert line is not None
    return line.raw, line.total


def test_arguments_are_as_they_were_given() -> None:
    assert _asked("a name", "60", "0.0", "00") == (b"a name\x0060\x000.0\x0000\x00", 17)


def test_a_long_list_is_cut_and_its_true_length_told() -> None:
    raw, total = _asked("sleep", *["0000001"] * 10_000)
    assert raw == (b"sleep\0" + b"0000001\0" * 10_000)[: wire.ARGS_MAX]
    assert total == 6 + 80_000


def test_a_list_of_just_the_bound_is_whole() -> None:
    raw, total = _asked("sleep", *["0000001"] * 2046, "000000001")
    assert len(raw) == total == wire.ARGS_MAX


def test_a_pid_that_was_used_again_gives_nothing() -> None:
    pid = os.getpid()
    assert details(pid, _start_ns(pid)) is not None
    assert details(pid, _start_ns(pid) + TICK_NS) is None
    assert details(pid, _start_ns(pid) - 1) is None


def test_a_process_that_is_gone_gives_nothing() -> None:
    child = subprocess.Popen(["/bin/true"])
    start_ns = _start_ns(child.pid)
    child.wait()
    assert details(child.pid, start_ns) is None


def test_a_kernel_thread_has_no_arguments() -> None:
    line = details(2, _start_ns(2))
    assert line is not None
    assert (line.raw, line.total) == (b"", 0)


def test_a_name_full_of_brackets_and_blanks_does_not_confuse(tmp_path: Path) -> None:
    program = tmp_path / "a) S 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as child:
        try:
            line = _line(child.pid)
        finally:
            child.kill()
    assert line is not None
    assert line.raw == bytes(program) + b"\x0060\0"


def test_what_a_title_leaves_behind_is_no_argument() -> None:
    """A program that writes a title over its argv leaves NULs up to the old end."""
    script = (
        "import ctypes, sys\n"
        "stat = open('/proc/self/stat').read().rpartition(')')[2].split()\n"
        "begin, end = int(stat[45]), int(stat[46])\n"
        "ctypes.memset(begin, 0, end - begin)\n"
        "ctypes.memmove(begin, b'title', 5)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(["/usr/bin/python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        line = details(child.pid, _start_ns(child.pid))
        child.kill()
    assert line is not None
    assert (line.raw, line.total) == (b"title\0", 6)


def _in_a_folder(folder: Path) -> Path:
    """The folder of a process whose cgroups are still to be shown."""
    process = folder / "7"
    process.mkdir()
    (process / "stat").write_text("7 (sh) S " + "0 " * 18 + "5 0 0\n")
    (process / "cmdline").write_bytes(b"sh\0")
    return process


def _shown(folder: Path, cgroup: bytes) -> tuple[tuple[int, str], ...] | None:
    """Cgroups of a process that /proc shows so."""
    (_in_a_folder(folder) / "cgroup").write_bytes(cgroup)
    told = details(7, 5 * TICK_NS, folder)
    assert told is not None
    return told.cgroups


@pytest.mark.parametrize("end", ["\v", "\f", "\r", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_no_name_of_a_cgroup_ends_its_line(tmp_path: Path, end: str) -> None:
    path = f"/docker/a{end}0::/z"
    assert _shown(tmp_path, f"3:cpu:{path}\n0::{path}\n".encode()) == ((3, path), (0, path))


def test_a_name_that_is_no_text_hides_no_other_hierarchy(tmp_path: Path) -> None:
    assert _shown(tmp_path, b"3:cpu:/a\xff\n0::/b\n") == ((3, "/a\N{REPLACEMENT CHARACTER}"), (0, "/b"))


def test_long_paths_of_many_hierarchies_hide_none(tmp_path: Path) -> None:
    cgroups = tuple((number, "/" + "x" * 4000) for number in range(1, 13))
    listed = "".join(f"{number}:cpu:{path}\n" for number, path in cgroups)
    assert _shown(tmp_path, f"{listed}0::/docker/a\n".encode()) == (*cgroups, (0, "/docker/a"))


def test_a_kernel_that_shows_no_cgroups_for_one_that_is_too_deep_stops_nobody(tmp_path: Path) -> None:
    """It answers ENAMETOOLONG, as a link to a name that is too long does."""
    (_in_a_folder(tmp_path) / "cgroup").symlink_to("x" * 300)
    assert details(7, 5 * TICK_NS, tmp_path) == Details(b"sh\0", 3, None)
