"""Start a real Elasticsearch for the tests, or in the foreground for trying things by hand.

    python -m tests.elasticsearch.server --port 9200 [--version 9|8]

Rules: single node, security off, loopback only; data and logs in a folder of their own under the temporary directory,
removed at the end; never as root (as root an unused account number is taken); ready means that it answered, with a
deadline; when it does not start, its log is in the error. It ends with its parent, also when that is killed.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

from tests.elasticsearch.artifact import Installation, ServerError, development_kit, installation

START_TIMEOUT_S = 150.0
STOP_TIMEOUT_S = 30.0
PULL_TIMEOUT_S = 300.0
HEAP = "1g"
PREFIX = "lineage-elasticsearch-"
LOCK = "in-use"
IMAGES = {"9": "elasticsearch:9.4.3", "8": "elasticsearch:8.16.6"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Choice(NamedTuple):
    major: str
    image: str | None  # of a container engine; None: the Maven artifact


def choose(major: str | None = None) -> Choice:
    """A container where an engine has or gets the image, else the artifact. Unasked 9, or 8 where Java is too old."""
    image = _image(IMAGES[major or "9"])
    if major is None and image is None and development_kit() is None:
        print("no Java development kit 21 or later for Elasticsearch 9: taking 8", file=sys.stderr)  # noqa: T201
        return Choice("8", None)
    return Choice(major or "9", image)


def prepare() -> None:
    """Fetch what ``running`` needs, if it is not there. Raises ServerError."""
    choice = choose()
    if choice.image is None:
        installation(choice.major)


@contextmanager
def running(major: str | None = None, port: int | None = None) -> Iterator[str]:
    """Start a server, yield its URL, end it. Raises ServerError."""
    choice = choose(major)
    port = port or free_port()
    if choice.image is not None:
        with _container(choice.image, port) as url:
            yield url
    else:
        with unpacked_server(installation(choice.major), port) as url:
            yield url


@contextmanager
def unpacked_server(server: Installation, port: int) -> Iterator[str]:
    """Run the unpacked server as an account without rights. Raises ServerError with the end of its log."""
    _remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    in_use = (folder / LOCK).open("w")
    fcntl.flock(in_use, fcntl.LOCK_EX)
    try:
        account = _unused_account() if os.geteuid() == 0 else None
        configuration = _configure(server, folder, port, account)
        with (folder / "output.log").open("wb") as log:
            process = subprocess.Popen(
                [*_as_account(account), *_command(server, configuration)],
                cwd=server.home,  # the launcher looks for its own parts there
                env=_environment(server, configuration, folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield _wait_until_ready(port, process.poll, lambda: _tail(folder / "output.log"))
        finally:
            _end(process)
    finally:
        in_use.close()
        shutil.rmtree(folder)


def _remove_leftovers() -> None:
    """Data of servers whose runner was killed: nobody holds the lock in their folder any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            with (folder / LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
        except OSError:
            continue  # in use, another user's, or just being made


def _unused_account() -> int:
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    return next(uid for uid in range(63900, 64900) if uid not in taken)


def _as_account(account: int | None) -> list[str]:
    """setpriv, because a signal for the parent's death is lost when the account changes after it was asked for."""
    command = ["setpriv", "--pdeathsig", "TERM"]
    if account is not None:
        command += ["--reuid", str(account), "--regid", str(account), "--clear-groups", "--no-new-privs"]
    return [*command, "--"]


def _configure(server: Installation, folder: Path, port: int, account: int | None) -> Path:
    """A configuration folder of its own: the installation is shared and is not written."""
    configuration = folder / "config"
    shutil.copytree(server.home / "config", configuration)
    for name in ("data", "logs", "tmp"):
        (folder / name).mkdir()
    settings = {
        "cluster.name": "lineage-tests",
        "node.name": "lineage-tests",
        "discovery.type": "single-node",
        "xpack.security.enabled": "false",
        "network.host": "127.0.0.1",
        "http.port": port,
        "transport.port": free_port(),
        "path.data": folder / "data",
        "path.logs": folder / "logs",
        "cluster.routing.allocation.disk.threshold_enabled": "false",  # a full development disk is no test's business
        "cluster.max_shards_per_node": 5000,  # every test has data streams of its own, and they cannot be deleted
    }
    (configuration / "elasticsearch.yml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
    options = (configuration / "jvm.options").read_text().splitlines()
    kept = [line for line in options if "-Xlog:" not in line]  # a file below the installation, on some versions
    (configuration / "jvm.options").write_text("\n".join([*kept, f"-Xms{HEAP}", f"-Xmx{HEAP}", ""]))
    if account is not None:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, account, account)
    return configuration


def _environment(server: Installation, configuration: Path, folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "JAVA": str(server.java_home / "bin" / "java"),
        "JAVA_HOME": str(server.java_home),
        "ES_JAVA_HOME": str(server.java_home),
        "JAVA_TYPE": "ES_JAVA_HOME",
        "ES_HOME": str(server.home),
        "ES_PATH_CONF": str(configuration),
        "ES_TMPDIR": str(folder / "tmp"),
        "ES_DISTRIBUTION_TYPE": "zip",
        "CLI_NAME": "server",
        "CLI_LIBS": "lib/tools/server-cli",
    }


def _command(server: Installation, configuration: Path) -> list[str]:
    """What the distribution's own start script runs in the end; the artifact comes without that script."""
    lib = server.home / "lib"
    java = [
        str(server.java_home / "bin" / "java"),
        "-Xms4m",
        "-Xmx64m",
        "-XX:+UseSerialGC",
        f"-Des.path.home={server.home}",
        f"-Des.path.conf={configuration}",
        "-Des.distribution.type=zip",
        "-Des.java.type=ES_JAVA_HOME",
    ]
    if (lib / "tools" / "server-launcher").is_dir():  # since 9
        return [
            *java,
            "-cp",
            f"{lib}/tools/server-launcher/*:{lib}/*",
            "org.elasticsearch.server.launcher.ServerLauncher",
        ]
    command = [
        *java,
        "-Dcli.name=server",
        f"-Dcli.script={server.home}/bin/elasticsearch",
        "-Dcli.libs=lib/tools/server-cli",
    ]
    return [*command, "-cp", f"{lib}/*:{lib}/cli-launcher/*", "org.elasticsearch.launcher.CliToolLauncher"]


def _wait_until_ready(port: int, poll: Callable[[], int | None], log: Callable[[], str]) -> str:
    """Ask until it answers that its shards are there."""
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if (code := poll()) is not None:
            raise ServerError(f"Elasticsearch ended with {code} instead of starting:\n{log()}")
        try:
            with urlopen(f"{url}/_cluster/health?wait_for_status=yellow&timeout=5s", timeout=10) as answer:
                if answer.status == 200:
                    return url
        except (URLError, OSError):
            time.sleep(0.2)
    raise ServerError(f"Elasticsearch did not answer on port {port} within {START_TIMEOUT_S:.0f} s:\n{log()}")


def _tail(path: Path, lines: int = 60) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the launcher, which ends the server; what is left of the group after the deadline is killed."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _image(image: str) -> str | None:
    """The image's name if an engine answers and has it or gets it."""
    docker = shutil.which("docker")
    if docker is None or not _docker("info", timeout_s=10):
        return None
    if _docker("image", "inspect", image) or _docker("pull", "--quiet", image, timeout_s=PULL_TIMEOUT_S):
        return image
    print(f"the container engine has no {image} and cannot get it: taking the Maven artifact", file=sys.stderr)  # noqa: T201
    return None


def _docker(*arguments: str, timeout_s: float = 30.0) -> bool:
    try:
        return (
            subprocess.run(["docker", *arguments], capture_output=True, timeout=timeout_s, check=False).returncode == 0
        )
    except subprocess.TimeoutExpired:
        return False


@contextmanager
def _container(image: str, port: int) -> Iterator[str]:
    """On the host's network, because an engine may have no bridge."""
    name = f"lineage-elasticsearch-{port}"
    settings = {
        "discovery.type": "single-node",
        "xpack.security.enabled": "false",
        "http.host": "127.0.0.1",
        "http.port": str(port),
        "transport.host": "127.0.0.1",
        "transport.port": str(free_port()),
        "cluster.max_shards_per_node": "5000",
        "ES_JAVA_OPTS": f"-Xms{HEAP} -Xmx{HEAP}",
    }
    environment = [item for key, value in settings.items() for item in ("--env", f"{key}={value}")]
    with tempfile.TemporaryFile() as log:
        command = ["docker", "run", "--rm", "--network", "host", "--name", name, *environment, image]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

        def output() -> str:
            log.seek(0)
            return log.read()[-6000:].decode(errors="replace")

        try:
            yield _wait_until_ready(port, process.poll, output)
        finally:
            _docker("stop", "--time", "20", name, timeout_s=STOP_TIMEOUT_S)
            process.terminate()
            process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description="Start the test server in the foreground; Ctrl-C ends it.")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--version", choices=sorted(IMAGES), help="major version; 9 where it can run, else 8")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job would ignore the first
        signal.signal(number, signal.default_int_handler)
    try:
        major = choose(options.version).major
        with running(major, options.port) as url:
            print(f"Elasticsearch {major} answers at {url}; Ctrl-C ends it and removes its data.")  # noqa: T201
            print(f"Try, as root:  ELASTICSEARCH_URL={url} make run")  # noqa: T201
            print(f"and then:      ELASTICSEARCH_URL={url} .venv/bin/lineage search 'nginx → bash'")  # noqa: T201
            print("Another port:  make elasticsearch PORT=9201", flush=True)  # noqa: T201
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except ServerError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
