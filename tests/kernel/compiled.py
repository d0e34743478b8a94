"""The small C programs of ``c/``: compiled once a run, into a folder that any user of the machine may execute from."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCES = Path(__file__).with_name("c")


class Compiler:
    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="lineage-programs-"))
        self._folder.chmod(0o755)

    def program(self, name: str, *options: str) -> str:
        """Path of the program made of ``name``.c. Raises CalledProcessError where it cannot be compiled."""
        made = self._folder / name
        if not made.exists():
            command = ["cc", "-O1", "-Wall", "-Werror", "-pthread", *options]
            subprocess.run([*command, "-o", made, SOURCES / f"{name}.c"], check=True, cwd=self._folder)
        return os.fspath(made)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty one beside the programs, for what every user shall be able to execute."""
        with tempfile.TemporaryDirectory(dir=self._folder) as made:
            folder = Path(made)
            folder.chmod(0o755)
            yield folder

    def close(self) -> None:
        shutil.rmtree(self._folder)
