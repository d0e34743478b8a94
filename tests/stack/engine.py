"""A container engine of the tests' own: started here, used over a socket of its own, ended by its process id.

Rules: another engine on this machine is neither asked nor changed, so no image made here carries an official name
anywhere else; everything lies in one folder that goes at the end; no firewall rule and no bridge is left behind
(ports are published by the engine's proxy, on loopback).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 900.0


class EngineError(RuntimeError):
    """The engine, or a command given to it, failed; the message has its last words."""


class Engine:
    """Runs ``docker`` and ``docker-compose`` commands against one engine."""

    def __init__(self, socket: Path, containerd: Path) -> None:
        self.socket = socket
        self.containerd = containerd
        """Socket of the containerd that the engine starts for itself."""
        self.environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{socket}",
            "DOCKER_BUILDKIT": "0",  # Debian's engine has no BuildKit front end of its own
            "COMPOSE_PROJECT_NAME": "lineage-stack-test",
            "COMPOSE_ANSI": "never",
        }
        plugin = _succeeds(["docker", "compose", "version"], self.environment)
        self._compose = ["docker", "compose"] if plugin else ["docker-compose"]

    def docker(self, *arguments: str, stdin: IO[bytes] | None = None) -> str:
        """Standard output of a command. Raises EngineError when it fails."""
        return self._run(["docker", *arguments], {}, stdin)

    def compose(self, folder: Path, files: Sequence[str], *arguments: str, **variables: str) -> str:
        """A compose command in ``folder``, over ``files``, with ``variables`` in its environment."""
        options = [part for file in files for part in ("--file", file)]
        options += ["--project-directory", str(folder)]
        return self._run([*self._compose, *options, *arguments], variables, None, folder)

    def _run(
        self, command: list[str], variables: dict[str, str], stdin: IO[bytes] | None, folder: Path | None = None
    ) -> str:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**self.environment, **variables},
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            words = (done.stdout[-6000:] + done.stderr[-6000:]).decode(errors="replace")
            raise EngineError(f"{' '.join(command)} ended with {done.returncode}:\n{words}")
        return done.stdout.decode(errors="replace")


@contextmanager
def running_engine(group: int | None = None) -> Iterator[Engine]:
    """Start an engine, yield it, end it. Raises EngineError with the end of its log.

    ``group`` may use its socket, if given; else root alone.
    """
    folder = Path(tempfile.mkdtemp(prefix="lineage-engine-"))
    folder.chmod(0o700 if group is None else 0o711)
    try:
        socket = folder / "engine.sock"
        command = ["setpriv", "--pdeathsig", "TERM", "--"]  # it ends with the tests, also when those are killed
        command += ["dockerd", f"--host=unix://{socket}", f"--data-root={folder}/data", f"--exec-root={folder}/run"]
        command += [f"--pidfile={folder}/engine.pid", "--bridge=none", "--iptables=false", "--ip6tables=false"]
        command += ["--ip-forward=false", "--ip-masq=false", f"--group={group or 0}"]
        with (folder / "engine.log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            engine = Engine(socket, folder / "run" / "containerd" / "containerd.sock")
            _wait_until_ready(process, engine, folder / "engine.log")
            yield engine
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            finally:
                process.kill()
                process.wait()
    finally:
        unmount_below(folder)
        shutil.rmtree(folder)


def unmount_below(folder: Path) -> None:
    """The engine leaves its handle on the host's network namespace mounted."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for target in reversed(mounted):
        if target.startswith(f"{folder}/"):
            subprocess.run(["umount", target], check=True)


def _wait_until_ready(process: subprocess.Popen[bytes], engine: Engine, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _succeeds(["docker", "info"], engine.environment):
        if process.poll() is not None or time.monotonic() > deadline:
            raise EngineError(f"dockerd does not answer:\n{log.read_text(errors='replace')[-6000:]}")
        time.sleep(0.2)


def _succeeds(command: list[str], environment: dict[str, str]) -> bool:
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0
