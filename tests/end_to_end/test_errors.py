"""What bad input gets, on the command line: one line that names the thing and the way out, no traceback, not 0."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.sources.recording import HEADER, MAGIC, Recorder
from pipeline.sources.synthetic import Synthetic
from tests.end_to_end.agent import DEADLINE_S, Agent, command, environment
from tests.end_to_end.answering import answering

AS_NOBODY_MUCH = """
import os, sys
import pipeline.commands.run, pipeline.sources.ebpf.collector  # now: they may lie where only root can read
os.setgroups([]), os.setresgid(64123, 64123, 64123), os.setresuid(64123, 64123, 64123)
from pipeline.__main__ import main
sys.exit(main())
"""


def _complaint(arguments: Sequence[str], code: int, **variables: str) -> str:
    """Run one command line that must fail; its one line."""
    return _one_line(command(*arguments, **variables), code)


def _one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    complaints = [line for line in done.stderr.splitlines() if line.startswith("lineage: ")]
    assert len(complaints) == 1, done.stderr
    return complaints[0]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A whole recording of 100 short lives, readable in pieces."""
    stream = Synthetic()
    init = stream.running("/usr/lib/systemd/systemd", pid=1)
    stream.snapshot_end()
    for _ in range(100):
        stream.exit(stream.spawn(init, "/usr/bin/true", ("true",)))
    recorder = Recorder(tmp_path / "recording")
    for record in stream.records:
        recorder.write([record])
        recorder.flush()
    recorder.close()
    return tmp_path / "recording"


# Configuration and usage.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--sink", "kafka"], "there is no sink 'kafka'"),
        (["run", "--source", "tea-leaves"], "there is no source 'tea-leaves'"),
        (["run", "--for", "soon"], "'soon' is no duration"),
        (["--set", "ring_bytes=1000", "run"], "ring_bytes"),
        (["--set", "ring_byte=65536", "run"], "did you mean ring_bytes"),
        (["--set", "elasticsearch.urll=x", "run"], "elasticsearch.urll"),
        (["--config", "/nonexistent.toml", "run"], "/nonexistent.toml does not exist"),
        (["run", "--no-such-option"], "No such option"),
        (["rum"], "No such command 'rum'"),
        (["search", "nginx → "], "nginx"),
        (["search", "nginx", "--since", "yesterday"], "yesterday"),
        (["run", "--sink", "elasticsearch"], "set ELASTICSEARCH_URL"),
    ],
)
def test_wrong_usage_is_exit_2_and_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    assert words in _complaint(arguments, 2, LINEAGE_STATE_DIRECTORY=str(tmp_path))


# Privilege.


@pytest.mark.kernel
def test_run_without_root_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY_MUCH, "run", "--sink", "ndjson:/dev/null"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=environment() | {"LINEAGE_STATE_DIRECTORY": str(tmp_path)},
        check=False,
    )
    line = _one_line(done, 1)
    assert "root" in line


@pytest.mark.kernel
def test_a_kernel_that_refuses_bpf_is_said_to_do_so(tmp_path: Path) -> None:
    without = ["setpriv", "--bounding-set=-sys_admin,-bpf,-perfmon", "--inh-caps=-sys_admin,-bpf,-perfmon"]
    done = subprocess.run(
        [*without, sys.executable, "-m", "pipeline", "run", "--sink", "ndjson:/dev/null"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=environment() | {"LINEAGE_STATE_DIRECTORY": str(tmp_path)},
        check=False,
    )
    line = _one_line(done, 1)
    assert "the kernel refuses BPF" in line
    assert "add the capabilities" in line


# Recordings.


def test_a_foreign_recording_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no recording")
    assert f"{tmp_path / 'x'} is no recording of lineage" in _complaint(["replay", str(tmp_path / "x")], 1)


def test_a_recording_of_another_version_is_named_with_its_version(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(HEADER.pack(MAGIC, 99, 1))
    assert "recording format 99" in _complaint(["replay", str(tmp_path / "x")], 1)


def test_an_absent_recording_is_named(tmp_path: Path) -> None:
    assert "cannot read" in _complaint(["replay", str(tmp_path / "absent")], 1)


def test_a_cut_recording_delivers_what_is_whole_and_then_complains(recording: Path, tmp_path: Path) -> None:
    whole = recording.read_bytes()
    recording.write_bytes(whole[: len(whole) * 2 // 3])
    line = _complaint(
        ["replay", str(recording), "--sink", f"ndjson:{tmp_path / 'out'}"], 1, LINEAGE_STATE_DIRECTORY=str(tmp_path)
    )
    assert "is cut after" in line
    records = int(line.partition("cut after ")[2].split()[0])
    # HOST, RUNNING, COMMAND_LINE and SNAPSHOT_END make one document together, every record after them makes one each
    assert records > 100
    assert len((tmp_path / "out").read_text().splitlines()) == records - 3


# The local store.


def test_a_store_that_cannot_be_made_is_named(recording: Path) -> None:
    line = _complaint(["replay", str(recording), "--sink", "store:/proc/events.db"], 1)
    assert "/proc/events.db" in line


def test_a_store_that_is_something_else_is_named(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but long enough to be read as the head of one " * 20)
    line = _complaint(["replay", str(recording), "--sink", f"store:{tmp_path / 'notes.txt'}"], 1)
    assert "notes.txt" in line
    assert "not a database" in (tmp_path / "notes.txt").read_text()


def test_a_full_disk_is_named_and_counted(recording: Path) -> None:
    line = _complaint(["replay", str(recording), "--sink", "ndjson:/dev/full"], 1)
    assert "No space left on device" in line


# Standard output.


def _to(stdout: int, *arguments: str, store: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "--set", f"store={store}", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE_S,
        env=environment(),
        check=False,
    )


@pytest.fixture
def store(recording: Path, tmp_path: Path) -> Path:
    done = command("replay", str(recording), "--sink", f"store:{tmp_path / 'events.db'}")
    assert done.returncode == 0, done.stderr
    return tmp_path / "events.db"


PRINTING = (
    ["search", "true", "--since", "1000000h"],
    ["search", "true", "--since", "1000000h", "--json"],
    ["search", "true", "--since", "1000000h", "--json", "--limit", "1"],
    ["tree", "--since", "1000000h", "--all"],
    ["run", "--print-config"],
    ["--help"],
)


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_standard_output_that_takes_nothing_is_told_so(arguments: list[str], store: Path) -> None:
    with Path("/dev/full").open("w") as full:
        line = _one_line(_to(full.fileno(), *arguments, store=store), 1)
    assert line == "lineage: cannot write to standard output: No space left on device"


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_reader_that_has_seen_enough_is_no_error(arguments: list[str], store: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = _to(writer, *arguments, store=store)
    finally:
        os.close(writer)
    assert done.returncode == 0
    assert not re.search("lineage: |Exception|Broken", done.stderr)


def test_standard_output_that_is_closed_is_as_one_that_nobody_reads(store: Path) -> None:
    closing = ["sh", "-c", 'exec "$@" >&-', "sh"]
    done = command("--set", f"store={store}", *PRINTING[1], before=closing)
    assert (done.returncode, done.stdout) == (0, "")
    assert "lineage: " not in done.stderr


def test_search_without_a_store_says_where_it_looked(tmp_path: Path) -> None:
    assert "events.db" in _complaint(["search", "nginx"], 1, LINEAGE_STATE_DIRECTORY=str(tmp_path))


# Elasticsearch.


@pytest.mark.parametrize(
    ("url", "code"), [("localhost:9200", 2), ("ftp://127.0.0.1", 2), ("http://", 1), ("http://127.0.0.1:notaport", 1)]
)
def test_a_bad_url_is_an_error_at_once(url: str, code: int, recording: Path, tmp_path: Path) -> None:
    line = _complaint(["replay", str(recording), "--sink", "elasticsearch"], code, ELASTICSEARCH_URL=url)
    assert "http://127.0.0.1:9200" in line  # an example of a good one


OLD = {"version": {"number": "7.17.9", "build_flavor": "default"}, "tagline": "You Know, for Search"}
DENIED = {"error": {"type": "security_exception", "reason": "missing authentication credentials"}, "status": 401}


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [(200, OLD, "7.17.9"), (401, DENIED, "ELASTICSEARCH_API_KEY"), (403, DENIED, "missing authentication credentials")],
)
@pytest.mark.parametrize("verb", ["replay", "setup", "search"])
def test_wrong_credentials_and_versions_end_at_once(
    verb: str, status: int, body: dict[str, object], words: str, recording: Path, tmp_path: Path
) -> None:
    arguments = {"replay": [str(recording), "--sink", "elasticsearch"], "setup": [], "search": ["nginx"]}[verb]
    with answering(status, body) as url:
        line = _complaint([verb, *arguments], 1, ELASTICSEARCH_URL=url, LINEAGE_STATE_DIRECTORY=str(tmp_path))
    assert words in line


@pytest.mark.parametrize("verb", ["setup", "search", "tree"])
def test_setup_search_and_tree_do_not_wait(verb: str, tmp_path: Path, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    arguments = ["nginx"] if verb == "search" else []
    assert url in _complaint([verb, *arguments], 1, ELASTICSEARCH_URL=url, LINEAGE_STATE_DIRECTORY=str(tmp_path))


def test_nothing_accepted_is_lost_when_the_sink_refuses_for_good(recording: Path, tmp_path: Path) -> None:
    with answering(401, DENIED) as url:
        _complaint(
            ["replay", str(recording), "--sink", "elasticsearch"],
            1,
            ELASTICSEARCH_URL=url,
            LINEAGE_STATE_DIRECTORY=str(tmp_path),
        )
    kept = (tmp_path / "dead-letters.ndjson").read_text().splitlines()
    assert len(kept) == 301  # one snapshot, and fork, exec and end of each


def test_a_server_that_does_not_answer_yet_is_waited_for_visibly(
    recording: Path, tmp_path: Path, free_port: int
) -> None:
    url = f"http://127.0.0.1:{free_port}"
    with Agent("run", "--source", f"recording:{recording}", state=tmp_path, ELASTICSEARCH_URL=url) as agent:
        line = agent.wait_for_err("waiting")
        assert f"reason='Elasticsearch at {url} does not answer" in line
        assert agent.process.poll() is None
        agent.process.send_signal(signal.SIGINT)
        line = agent.wait_for_err("ending")
        assert "a second signal ends at once documents_left=301 seconds_at_most=15.0" in line


def test_on_a_terminal_the_line_that_moves_says_so_and_no_other(
    recording: Path, tmp_path: Path, free_port: int
) -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 200, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", "--source", f"recording:{recording}", "--set", "shutdown_s=3"],
        stdout=theirs,
        stderr=theirs,
        env=environment()
        | {
            "TERM": "xterm",
            "ELASTICSEARCH_URL": f"http://127.0.0.1:{free_port}",
            "LINEAGE_STATE_DIRECTORY": str(tmp_path),
        },
    ) as agent:
        os.close(theirs)
        said = _read_until(ours, "waiting: Elasticsearch at ")
        agent.send_signal(signal.SIGINT)
        said += _read_until(ours, "ending: 301 documents left")
        said += _read_until(ours, None)
    os.close(ours)
    assert agent.returncode == 1
    assert "301 documents dropped" in said
    assert "documents_held" not in said
    assert "documents_left" not in said


def _read_until(terminal: int, text: str | None) -> str:
    """What it shows until ``text``, or to its end."""
    said = ""
    while text is None or text not in said:
        try:
            said += os.read(terminal, 4096).decode("utf-8", "replace")
        except OSError:  # EIO: nobody has it open any more
            assert text is None, said
            return said
    return said


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
