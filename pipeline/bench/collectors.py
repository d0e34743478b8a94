"""What can be measured beside each other: our agent, and tracers of others where the user has installed them.

Rules of this file:
- each runs on the core it is given, as its user would start it, and writes one line an exec into a file, so that no
  reader stands in anybody's way;
- each is told from outside: an exec of true(1) with a number in its argument is told when a line with it is complete;
- each ends on Ctrl-C, and is killed where it does not.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from pipeline.bench.agent import LONGEST, NOWHERE, Agent
from pipeline.bench.base import CannotRun, Setting, pinned
from pipeline.bench.programs import Program

WORD = "lineage-bench-"
READY_S = 30.0
END_S = 30.0
TOLD_S = 5.0
LOOK_EVERY_S = 0.0001
EXEC_EVERY_S = 0.05
TRACEFS = "/sys/kernel/debug/tracing"  # comes with debugfs; where all of them look, old versions here alone
WITH_DEBUGFS = ("unshare", "--mount", "sh", "-c", 'mount -t debugfs nodev /sys/kernel/debug && exec "$@"', "sh")
_NUMBER = re.compile(WORD.encode() + rb"(\d+)")
_CHUNK_BYTES = 1 << 20

# Births, execs and ends, as ours tells them; the packaged execsnoop.bt tells execs alone.
BPFTRACE_PROGRAM = """
tracepoint:sched:sched_process_fork { printf("%u fork %d %d\\n", elapsed / 1000, args->parent_pid, args->child_pid); }
tracepoint:syscalls:sys_enter_exec* { printf("%u exec %d ", elapsed / 1000, pid); join(args->argv); }
tracepoint:sched:sched_process_exit { printf("%u exit %d\\n", elapsed / 1000, pid); }
"""


class Lines:
    """What a collector writes: when each number was first in a whole line of it."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        self._rest = b""
        self._numbers = itertools.count()
        self.told_s: dict[int, float] = {}

    def close(self) -> None:
        os.close(self._descriptor)

    def next_number(self) -> int:
        """One that nobody had: the end of an exec is told with its number too, perhaps much later."""
        return next(self._numbers)

    def skip(self) -> None:
        """Leave out what has been written up to now."""
        os.lseek(self._descriptor, 0, os.SEEK_END)
        self._rest = b""

    def until_told(self, load: Program, within_s: float = TOLD_S, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Execs, one after the other, until one is told. Raises CannotRun when none is, or it does not go on."""
        deadline_s = time.monotonic() + within_s
        asked: set[int] = set()
        while time.monotonic() < deadline_s and goes_on():
            number = self.next_number()
            asked.add(number)
            load.ask(f"mark {WORD}{number}")
            self.look_until(time.monotonic() + EXEC_EVERY_S, number)
            if asked & self.told_s.keys():
                return
        raise CannotRun("tells no exec")

    def look(self) -> None:
        """Read what has come since the last look."""
        while more := os.read(self._descriptor, _CHUNK_BYTES):
            now_s = time.monotonic()
            whole, newline, rest = (self._rest + more).rpartition(b"\n")
            self._rest = rest if newline else self._rest + more
            for number in _NUMBER.findall(whole):
                self.told_s.setdefault(int(number), now_s)

    def look_until(self, at_s: float, number: int | None = None) -> bool:
        """Look all the time until ``at_s`` (time.monotonic), or until ``number`` is told; whether it is."""
        while True:
            self.look()
            if number in self.told_s:
                return True
            if time.monotonic() >= at_s:
                return False
            time.sleep(LOOK_EVERY_S)


class Running(NamedTuple):
    pid: int
    lines: Lines


Start = Callable[[Setting, Program, int, Path], AbstractContextManager[Running]]
"""Starts one on a core, with a load maker to see whether it tells, and a file to write to."""


class Collector(NamedTuple):
    """``missing``: what has to be installed first; "" when nothing."""

    name: str
    start: Start
    missing: str = ""


def collectors() -> list[Collector]:
    """Ours, by its two ways of telling, and the others, installed or not."""
    return [
        Collector("lineage, documents", _documents),
        Collector("lineage, feed", _feed),
        _other("execsnoop", "libbpf-tools", ["stdbuf", "-oL", "execsnoop"]),  # by lines, as on a terminal
        _other("bpftrace", "bpftrace", ["bpftrace", "-e", BPFTRACE_PROGRAM]),
    ]


@contextmanager
def _documents(setting: Setting, _load: Program, core: int, file: Path) -> Iterator[Running]:
    """``lineage run --quiet --sink ndjson:FILE``"""
    with Agent(setting, sink=f"ndjson:{file}", core=core) as agent:
        agent.wait_until_ready()
        with _lines(file) as lines:
            yield Running(agent.pid, lines)
        agent.end()


@contextmanager
def _feed(setting: Setting, _load: Program, core: int, file: Path) -> Iterator[Running]:
    """``lineage run > FILE``: a line an exec for people; the documents, made as well, go nowhere."""
    with (
        file.open("wb") as output,
        Agent(setting, "run", "--for", LONGEST, sink=NOWHERE, core=core, output=output.fileno()) as agent,
    ):
        agent.wait_until_ready()
        with _lines(file) as lines:
            yield Running(agent.pid, lines)
        agent.end()


def _other(name: str, package: str, command: Sequence[str]) -> Collector:
    """They need tracefs, and do not mount it: where nobody has, it is for them alone, and the host stays as it is."""

    @contextmanager
    def start(_setting: Setting, load: Program, core: int, file: Path) -> Iterator[Running]:
        whole = [*([] if Path(TRACEFS, "events").is_dir() else WITH_DEBUGFS), *command]
        with file.open("wb") as output, pinned(core):
            process = subprocess.Popen(whole, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            with _lines(file) as lines:
                _wait_until_it_tells(name, process, lines, load, file)
                yield Running(process.pid, lines)
        finally:
            _end(process)

    lacking = [program for program in (command[0], name) if shutil.which(program) is None]
    return Collector(name, start, f"apt-get install {package}" if lacking else "")


@contextmanager
def _lines(file: Path) -> Iterator[Lines]:
    lines = Lines(file)
    try:
        yield lines
    finally:
        lines.close()


def _wait_until_it_tells(name: str, process: subprocess.Popen[bytes], lines: Lines, load: Program, file: Path) -> None:
    """Raises CannotRun, with its last words, when it ends or tells no exec."""
    try:
        lines.until_told(load, READY_S, lambda: process.poll() is None)
    except CannotRun as error:
        words = file.read_text(errors="replace").strip().splitlines()
        raise CannotRun(f"{name} {error}: {words[-1][:200] if words else 'it said nothing'}") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
