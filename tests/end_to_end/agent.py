"""The agent as a user starts it, in a process of its own, and what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

DEADLINE_S = 60


def environment() -> dict[str, str]:
    """This process's, without what would configure the agent, and without the API: its socket may be another's."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LINEAGE_", "ELASTICSEARCH_"))}
    return own | {"LINEAGE_API_SOCKET": ""}


def command(*arguments: str, before: Sequence[str] = (), **variables: str) -> subprocess.CompletedProcess[str]:
    """``lineage ARGUMENTS`` to its end. ``before``: what it is started by, unshare, say."""
    return subprocess.run(
        [*before, sys.executable, "-m", "pipeline", *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=environment() | variables,
        check=False,
    )


class Agent:
    """``lineage ARGUMENTS`` with an environment of ours; a context manager that ends it."""

    def __init__(self, *arguments: str, state: Path, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment() | {"LINEAGE_STATE_DIRECTORY": str(state)} | variables,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._readers = [
            threading.Thread(target=_collect, args=each, daemon=True)
            for each in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._join()

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until_ready(self) -> None:
        """The snapshot is told: from here on every lineage is whole."""
        self.wait_for_err("ready")

    def wait_for_err(self, text: str) -> str:
        return self._wait_for(self.err, text)

    def wait_for_out(self, text: str) -> str:
        return self._wait_for(self.out, text)

    def end(self) -> int:
        """Ctrl-C; the exit code once it has drained."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(DEADLINE_S)
        self._join()
        return code

    def status(self) -> dict[str, str]:
        """/proc/PID/status of the agent."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def _join(self) -> None:
        for reader in self._readers:
            reader.join(DEADLINE_S)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def _wait_for(self, lines: list[str], text: str) -> str:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            for line in list(lines):
                if text in line:
                    return line
            if self.process.poll() is not None and not self._readers[0].is_alive():
                break
            time.sleep(0.02)
        raise AssertionError(f"never said {text!r}; it said:\n" + "".join(self.out[-50:] + self.err[-50:]))


def _collect(stream: object, lines: list[str]) -> None:
    for line in stream:  # type: ignore[attr-defined]  # a text pipe
        lines.append(line)  # noqa: PERF402 - others look at the list while it grows
