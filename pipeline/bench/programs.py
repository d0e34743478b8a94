"""The load makers in processes of their own: started, asked, ended."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pipeline.bench.base import CannotRun, pinned

END_S = 30.0


class Program:
    """One load maker, a context manager. ``core``: where it and all it starts is to stay; None: anywhere."""

    def __init__(self, file: str, *arguments: str, core: int | None = None) -> None:
        command = [sys.executable, "-I", "-S", str(Path(__file__).parent / file), *arguments]
        with ExitStack() as stack:
            if core is not None:
                stack.enter_context(pinned(core))
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )

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
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Its next line of JSON. Raises CannotRun with its own words when it has none."""
        assert self._process.stdout
        assert self._process.stderr
        line = self._process.stdout.readline()
        if not line:
            raise CannotRun(f"the load maker ended: {self._process.stderr.read().strip()[-200:]}")
        return json.loads(line)

    def ask(self, command: str) -> Any:
        self.tell(command)
        return self.answer()


def storm_program(core: int | None = None) -> Program:
    return Program("storm_program.py", core=core)
