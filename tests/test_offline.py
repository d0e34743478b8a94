"""A recording as a tree to ask."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import RecordingError
from pipeline.offline import Recorded, read
from pipeline.sources.recording import Recorder
from pipeline.sources.synthetic import OFFSET_NS, Synthetic
from pipeline.tree import LineageKey, NoAnswer, ProcessKey


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A web server starts a shell, and that becomes curl."""
    stream = Synthetic()
    stream.snapshot_begin()
    init = stream.running("/usr/lib/systemd/systemd", pid=1)
    stream.snapshot_end()
    nginx = stream.spawn(init, "/usr/sbin/nginx", pid=800)
    bash = stream.spawn(nginx, "/bin/bash", pid=900)
    stream.exec(bash, "/usr/bin/curl", ("curl", "x"))
    stream.exec(nginx, "/usr/sbin/other")
    stream.exit(bash)
    recorder = Recorder(tmp_path / "file")
    recorder.write(stream.records)
    recorder.close()
    return tmp_path / "file"


def _names(recorded: Recorded, time: datetime | None, as_of: str = "birth") -> list[str]:
    key = recorded.tree.by_pid(900).process.entity_id
    time_ns = None if time is None else recorded.boot_ns(time)
    answer = recorded.tree.lineage(LineageKey(key, time_ns, as_of=as_of))  # type: ignore[arg-type]
    return [answer.process.process.image.name, *(ancestor.image.name for ancestor in answer.ancestors)]


def test_any_moment_of_a_recording_can_be_asked_for(file: Path) -> None:
    recorded = read(file)
    versions = recorded.tree.versions(recorded.tree.by_pid(900).process.entity_id)
    assert [version.process.image.name for version in versions] == ["nginx", "bash", "curl"]
    shell = recorded.time(versions[1].since_ns)
    assert _names(recorded, shell) == ["bash", "nginx", "systemd"]
    assert _names(recorded, None) == ["curl", "nginx", "systemd"]
    assert _names(recorded, None, "time") == ["curl", "other", "systemd"]


def test_times_are_those_of_the_recorded_hosts_clock(file: Path) -> None:
    recorded = read(file)
    since_ns = recorded.tree.by_pid(900).since_ns
    assert recorded.time(since_ns) == datetime.fromtimestamp((OFFSET_NS + since_ns) / 1e9, UTC)
    assert abs(recorded.boot_ns(recorded.time(since_ns)) - since_ns) < 1000


def test_bounds_are_those_of_the_caller(file: Path) -> None:
    assert len(read(file, processes_max=2).tree) == 2
    with pytest.raises(NoAnswer) as refused:
        read(file).tree.process(ProcessKey("nobody"))
    assert refused.value.reason == "never_known"


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("something else entirely")
    with pytest.raises(RecordingError):
        read(tmp_path / "text")
