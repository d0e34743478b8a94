"""A live agent in a process of its own, as a user starts it: waited for, looked at, ended; and what it says."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, SecretStr

from pipeline.bench.base import CannotRun, Setting, pinned
from pipeline.config import Config
from pipeline.errors import HostError

READY_S = 120.0
END_S = 60.0
LONGEST = "15m"  # then it ends by itself, whatever became of us
NOWHERE = "ndjson:/dev/null"
_READY = re.compile(rb"\bready\b.*?processes=(\d+)")
_SUMMARY = re.compile(r"([\d,]+) events, ([\d,]+) documents, ([\d,]+) delivered, ([\d,]+) lost, ([\d,]+) retried")


class Summary(NamedTuple):
    """The last words of an agent, and the CPU time of its whole life, the loader's included."""

    events: int
    documents: int
    delivered: int
    lost: int
    retried: int
    cpu_s: float


class Agent:
    """``lineage run``, or another verb; a context manager that ends it.

    ``keys``: configuration of this agent alone. ``output``: descriptor for its standard output.
    """

    def __init__(
        self,
        setting: Setting,
        *arguments: str,
        sink: str = NOWHERE,
        core: int | None = None,
        keys: Mapping[str, object] | None = None,
        output: int = subprocess.DEVNULL,
    ) -> None:
        settings = {"state_directory": str(setting.folder / "state"), "api_socket": "", **(keys or {})}
        verb = arguments or ("run", "--quiet", "--for", LONGEST)
        self._said = b""
        self._ended = False  # of what it says
        with ExitStack() as stack:
            if core is not None:
                stack.enter_context(pinned(core))
            self.began_s = time.monotonic()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline", *verb, "--sink", sink],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                env=os.environ | environment(setting.config) | _variables(settings),
            )

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        assert self._process.stderr
        self._process.stderr.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self) -> int:
        """Wait until the snapshot is told; how many processes it found. Raises as ``ready_within`` does."""
        while (found := self.ready_within(READY_S)) is None:
            pass  # it said something else
        return found

    def ready_within(self, seconds: float) -> int | None:
        """How many processes the snapshot found; None when it is not told after ``seconds``, or the next words.

        Raises CannotRun or HostError, in its words, when it never will be.
        """
        deadline_s = self.began_s + READY_S
        if (found := _READY.search(self._said)) is None:
            self._read(min(seconds, deadline_s - time.monotonic()))
            late = time.monotonic() >= deadline_s
            found = _READY.search(self._said)
            if found is None and (late or self._ended):
                words = self._last_words()
                # A bug, or no end of the waiting, is a failure; every other error of its own says what this host lacks.
                broken = late or "internal error" in words
                raise (HostError if broken else CannotRun)(f"the agent did not become ready: {words}")
        return int(found[1]) if found else None

    def end(self) -> Summary:
        """Ctrl-C; its summary once it has delivered everything. Raises HostError when it failed."""
        self._process.send_signal(signal.SIGINT)
        return self.wait(END_S)

    def wait(self, seconds: float) -> Summary:
        """Let it end by itself."""
        deadline = time.monotonic() + seconds
        while self._read(deadline - time.monotonic()):
            pass
        if time.monotonic() >= deadline:
            raise HostError(f"the agent did not end within {seconds:.0f} s", "look at its last line with --debug")
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        found = _SUMMARY.search(self._said.decode(errors="replace"))
        if self._process.returncode or found is None:
            raise HostError(f"the agent ended with {self._process.returncode}: {self._last_words()}")
        events, documents, delivered, lost, retried = (int(group.replace(",", "")) for group in found.groups())
        return Summary(events, documents, delivered, lost, retried, usage.ru_utime + usage.ru_stime)

    def _read(self, seconds: float) -> bool:
        """More of what it says; False at the end of it or of the time."""
        assert self._process.stderr
        readable, _, _ = select.select([self._process.stderr], [], [], max(0.0, seconds))
        more = os.read(self._process.stderr.fileno(), 65536) if readable else b""
        self._ended = bool(readable) and not more
        self._said += more
        return bool(more)

    def _last_words(self) -> str:
        lines = self._said.decode(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("lineage: ")[:300] if lines else "it said nothing"


def environment(config: Config) -> dict[str, str]:
    """The configuration that this command was given, whichever way, as variables for another process."""
    given = _plain(config)
    elastic = given.pop("elasticsearch", {})
    return _variables(given | {f"elasticsearch__{key}": value for key, value in elastic.items()})


def _plain(model: BaseModel) -> dict[str, Any]:
    """What was set of it; secrets as they are, since they go to a child of ours by its environment only."""
    plain: dict[str, Any] = {}
    for name in model.model_fields_set:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            value = _plain(value)
        elif isinstance(value, SecretStr):
            value = value.get_secret_value()
        plain[name] = value
    return plain


def _variables(settings: Mapping[str, object]) -> dict[str, str]:
    return {
        f"LINEAGE_{name.upper()}": str(value) if isinstance(value, (str, Path)) else json.dumps(value)
        for name, value in settings.items()
        if value is not None
    }
