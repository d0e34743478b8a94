"""Small programs that tests start: each does one thing that only a process of its own can do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

PRELUDE = """
import ctypes, os, signal, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
CLONE_PARENT, CLONE_NEWPID = 0x8000, 0x20000000
SYS_CLONE, SYS_EXIT = (56, 60) if os.uname().machine == "x86_64" else (220, 93)
def tell(*numbers):
    os.write(1, (" ".join(map(str, numbers)) + "\\n").encode())  # one write: lines of two processes do not mix
"""
PATIENCE_S = 600  # a hundred forks and execs take minutes in an emulator that shares its processor
_started: list[subprocess.Popen[str]] = []


def python(script: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
    """The distribution's interpreter on ``script``; it tells numbers on its standard output."""
    return _start(["/usr/bin/python3", "-c", PRELUDE + script, *arguments], options)


def program(path: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
    """A program of ``c/``; it tells numbers, and reads what ``go_on`` writes."""
    return _start([path, *arguments], {"stdin": subprocess.PIPE, **options})


def _start(command: list[str], options: dict[str, object]) -> subprocess.Popen[str]:
    child: subprocess.Popen[str] = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    return started(child)


def started(child: subprocess.Popen[str]) -> subprocess.Popen[str]:
    """To be ended with the test."""
    _started.append(child)
    return child


def go_on(child: subprocess.Popen[str]) -> None:
    """Write it the line that it waits for."""
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def end_all() -> None:
    """After a test, failed or not: nothing that it started is left."""
    while _started:
        child = _started.pop()
        if child.poll() is None:
            child.kill()
            child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()


def numbers(child: subprocess.Popen[str]) -> list[int]:
    """The next line that it tells."""
    assert child.stdout is not None
    return [int(word) for word in child.stdout.readline().split()]


def forked(work: Callable[[], object]) -> int:
    """Pid of a child that does ``work``, which is to end in an exec, and never comes back into the test."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(99)
    return pid


def finished(child: subprocess.Popen[str]) -> list[list[int]]:
    """Every line it tells until it ends."""
    out, _ = child.communicate(timeout=PATIENCE_S)
    return [[int(word) for word in line.split()] for line in out.splitlines()]


def stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third on: state, ppid, pgrp, session, tty_nr ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def namespace(kind: str, pid: int | str = "self") -> int:
    return os.stat(f"/proc/{pid}/ns/{kind}").st_ino


def ran(path: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
    """A program of ``c/`` that has ended."""
    child = program(path, *arguments, **options)
    child.wait(60)
    return child


def parent_now(pid: int) -> int:
    return int(stat(pid)[1])
