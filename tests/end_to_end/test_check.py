"""`lineage check`: a line for each thing the host needs, and 1 where `run` could not work."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.agent import command
from tests.end_to_end.answering import answering

NAMES = (
    "kernel",
    "BTF",
    "BCC",
    "headers",
    "ring buffer",
    "pid namespace",
    "privileges",
    "state directory",
    "tracefs",
    "system calls",
    "snapshot",
    "skipped runs",
    "container runtime",
    "store",
    "Elasticsearch",
)
WITHOUT_BTF = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "-"]
WITHOUT_BCC = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /usr/lib/python3/dist-packages && exec "$@"', "-"]
ELSEWHERE = ["unshare", "--pid", "--fork", "--mount-proc"]
WITHOUT_HEADERS = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /usr/src && exec "$@"', "-"]


def _line_of(name: str, printed: str) -> str:
    (line,) = (line for line in printed.splitlines() if line[6:].startswith(name + " "))
    return line


@pytest.mark.kernel
def test_a_host_that_can_be_traced_gets_a_line_for_each_thing_and_0(tmp_path: Path) -> None:
    done = command("check", LINEAGE_STATE_DIRECTORY=str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert [line[6:].split("  ")[0] for line in done.stdout.splitlines()] == list(NAMES)
    assert all(line.startswith(("ok ", "note ")) for line in done.stdout.splitlines())


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("before", "name", "mend"),
    [
        (ELSEWHERE, "pid namespace", "--pid=host"),
        (WITHOUT_BTF, "BTF", "CONFIG_DEBUG_INFO_BTF"),
        (WITHOUT_BCC, "BCC", "apt-get install python3-bpfcc"),
        (WITHOUT_HEADERS, "headers", "apt-get install linux-headers-"),
    ],
)
def test_what_is_missing_is_named_with_its_mend_by_check_and_by_run(
    before: list[str], name: str, mend: str, tmp_path: Path
) -> None:
    state = str(tmp_path)
    checked = command("check", before=before, LINEAGE_STATE_DIRECTORY=state)
    assert checked.returncode == 1
    line = _line_of(name, checked.stdout)
    assert line.startswith("FAIL")
    assert mend in line
    ran = command("run", "--sink", "ndjson:/dev/null", before=before, LINEAGE_STATE_DIRECTORY=state)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    (complaint,) = (line for line in ran.stderr.splitlines() if line.startswith("lineage: "))
    assert mend in complaint


@pytest.mark.kernel
def test_an_elasticsearch_that_does_not_answer_is_noted_since_run_waits_for_it(tmp_path: Path) -> None:
    done = command("check", LINEAGE_STATE_DIRECTORY=str(tmp_path), ELASTICSEARCH_URL="http://127.0.0.1:1")
    assert done.returncode == 0, done.stdout
    line = _line_of("Elasticsearch", done.stdout)
    assert line.startswith("note")
    assert "http://127.0.0.1:1 does not answer" in line
    assert "`run` waits" in line


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, {"version": {"number": "7.17.9"}, "tagline": "You Know, for Search"}, "7.17.9"),
        (401, {"error": {"type": "security_exception", "reason": "missing credentials"}}, "ELASTICSEARCH_API_KEY"),
    ],
)
def test_an_elasticsearch_that_waiting_does_not_mend_fails(
    status: int, body: dict[str, object], words: str, tmp_path: Path
) -> None:
    with answering(status, body) as url:
        done = command("check", LINEAGE_STATE_DIRECTORY=str(tmp_path), ELASTICSEARCH_URL=url)
    assert done.returncode == 1
    line = _line_of("Elasticsearch", done.stdout)
    assert line.startswith("FAIL")
    assert words in line


def test_a_store_that_cannot_be_written_is_named() -> None:
    done = command("check", LINEAGE_STATE_DIRECTORY="/proc/nowhere")
    assert done.returncode == 1
    assert "/proc/nowhere" in _line_of("store", done.stdout)


def test_a_runtime_whose_socket_is_not_there_fails_since_run_would_not_start(tmp_path: Path) -> None:
    spec = f"docker:{tmp_path}/none.sock"
    done = command("check", LINEAGE_STATE_DIRECTORY=str(tmp_path), LINEAGE_CONTAINER_RUNTIME=spec)
    assert done.returncode == 1
    line = _line_of("container runtime", done.stdout)
    assert line.startswith("FAIL")
    assert "unset container_runtime" in line


@pytest.fixture
def listening() -> Iterator[Path]:
    """A socket that everybody may use, of one that hangs up."""
    with tempfile.TemporaryDirectory(prefix="lineage-check-") as name, socket.socket(socket.AF_UNIX) as server:
        path = Path(name) / "engine.sock"
        Path(name).chmod(0o755)
        server.bind(str(path))
        path.chmod(0o666)
        yield path


def test_a_runtime_that_does_not_answer_is_noted_since_run_asks_again(listening: Path, tmp_path: Path) -> None:
    spec = f"docker:{listening}"
    done = command("check", LINEAGE_STATE_DIRECTORY=str(tmp_path), LINEAGE_CONTAINER_RUNTIME=spec)
    line = _line_of("container runtime", done.stdout)
    assert line.startswith("note")
    assert f"{spec} does not answer" in line
