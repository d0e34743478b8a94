"""Chains of processes with the names that tests want, all of one small program (actor.c)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.kernel import programs

SOURCE = Path(__file__).with_name("actor.c")


class Troupe:
    """A folder of copies of one program; compiled once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "actor"
        subprocess.run(["cc", "-static", "-O1", "-o", self.program, SOURCE], check=True)

    def named(self, name: str) -> str:
        """Path of the program under that name."""
        path = self.folder / name
        if not path.exists():
            os.link(self.program, path)
        return str(path)

    def plays(self, *steps: str) -> int:
        """Start the first word's name on the rest; ``=NAME`` is an exec. Returns the pid of whoever pauses."""
        first, *rest = steps
        words = [f"exec:{self.named(step[1:])}" if step.startswith("=") else step for step in rest]
        child = subprocess.Popen([self.named(first), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        programs.started(child)
        (pid,) = programs.numbers(child)
        return pid
