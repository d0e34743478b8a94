"""Processes of the bench's own that are told what to do: started, asked, ended. Load makers, and the witness.

One command a line on their standard input, one line of JSON as the answer; they end with their input.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pipeline.bench.base import CannotRun, pinned
from pipeline.errors import HostError

ANSWER_S = 600.0  # the longest storm takes a minute; ten times that under emulation
END_S = 30.0
_CHUNK_BYTES = 1 << 16


class Program:
    """One of them, a context manager. ``core``: where it and all it starts is to stay; None: anywhere."""

    def __init__(
        self, command: Sequence[str], *, core: int | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        with ExitStack() as stack:
            if core is not None:
                stack.enter_context(pinned(core))
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=None if environment is None else os.environ | environment,
            )
        self._said = b""

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()  # it ends with its input
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream
            stream.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, command: str) -> None:
        """Give a command without waiting for its answer."""
        assert self._process.stdin
        try:
            self._process.stdin.write(f"{command}\n".encode())
        except BrokenPipeError as error:
            raise CannotRun(self._last_words()) from error

    def answer(self) -> Any:
        """Its next line of JSON. Raises CannotRun with its own words when it has none, HostError when it takes long."""
        assert self._process.stdout
        deadline_s = time.monotonic() + ANSWER_S
        while b"\n" not in self._said:
            readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline_s - time.monotonic()))
            if not readable:
                raise HostError(f"a program of the benchmark did not answer within {ANSWER_S:.0f} s")
            more = os.read(self._process.stdout.fileno(), _CHUNK_BYTES)
            if not more:
                raise CannotRun(self._last_words())
            self._said += more
        line, _, self._said = self._said.partition(b"\n")
        return json.loads(line)

    def ask(self, command: str) -> Any:
        self.tell(command)
        return self.answer()

    def _last_words(self) -> str:
        assert self._process.stderr
        words = self._process.stderr.read().decode(errors="replace").strip()[-200:]
        return f"a program of the benchmark ended: {words}"


def load_maker(file: str, *arguments: str, core: int | None = None) -> Program:
    """Standard library only: it starts in 10 ms, and its forks have little to copy."""
    return Program([sys.executable, "-I", "-S", str(Path(__file__).parent / file), *arguments], core=core)


def storm_program(core: int | None = None) -> Program:
    return load_maker("storm_program.py", core=core)
