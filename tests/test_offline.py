"""A recording as a tree to ask."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.errors import RecordingError
from pipeline.offline import Recorded, read
from pipeline.sources.recording import Recorder
from pipeline.sources.synthetic import OFFSET_NS, Synthetic
from pipeline.tree import LineageKey, NoAnswer, ProcessKey
from tests.checkout import REPOSITORY


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A web server starts a shell, and that becomes curl."""
    stream = Synthetic()
    stream.snapshot_begin()
    init = stream.running("/usr/lib/systemd/systemd", pid=1)
    stream.snapshot_end()
    nginx = stream.spawn(init, "/usr/sbin/nginx", pid=800)
    bash = stream.spawn(nginx, "/bin/bash", pid=900)
    stream.thread_end(nginx, *stream.thread_start(nginx, tid=850))
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


def test_a_thread_of_a_recording_is_found_by_its_tid(file: Path) -> None:
    tree = read(file).tree
    thread = tree.by_tid(850)
    assert (thread.process_id, thread.alive) == (tree.by_pid(800).process.entity_id, False)
    assert tree.by_tid(850, thread.start_ns).alive
    with pytest.raises(NoAnswer) as refused:
        tree.by_tid(851)
    assert refused.value.reason == "no_such_tid"


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


def test_what_was_read_and_what_was_lost_is_counted(tmp_path: Path) -> None:
    stream = Synthetic()
    stream.snapshot_begin()
    stream.running("/sbin/init", pid=1)
    stream.snapshot_end()
    stream.loss({wire.EXEC: 2, wire.FORK: 1})
    stream.loss({wire.EXEC: 3})
    recorder = Recorder(tmp_path / "file")
    recorder.write(stream.records)
    recorder.close()
    recorded = read(str(tmp_path / "file"))
    assert (recorded.counters.records, recorded.counters.events) == (len(stream.records), len(stream.events))
    assert recorded.counters.lost_records == {"exec": 5, "fork": 1}
    assert recorded.error is None


def test_a_time_without_a_zone_is_nobodys() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        Recorded.boot_ns(None, datetime(2026, 3, 2, 12))  # type: ignore[arg-type]


def test_of_a_cut_recording_the_tree_of_what_is_there_can_be_had_with_the_error(file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(RecordingError, match=r"cut after .*: partial=True gives the tree of what is before that"):
        read(cut)
    recorded = read(cut, partial=True)
    assert recorded.error is not None
    assert f"cut after {recorded.counters.records} records" in recorded.error.message
    assert recorded.tree.by_pid(1).process.image.name == "systemd"
    cut.write_bytes(file.read_bytes()[:20])
    with pytest.raises(RecordingError, match="cut after 0 records"):
        read(cut, partial=True)  # there is no tree of nothing


def test_one_that_is_still_being_written_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    stream = Synthetic()
    stream.snapshot_begin()
    init = stream.running("/usr/lib/systemd/systemd", pid=1)
    stream.snapshot_end()
    stream.spawn(init, "/usr/sbin/nginx", pid=800)
    recorder = Recorder(tmp_path / "file")
    recorder.write(stream.records)
    recorder.flush()
    recorded = read(tmp_path / "file", partial=True)
    assert recorded.tree.by_pid(800).process.image.name == "nginx"
    assert "the file ends in the middle" in str(recorded.error)
    recorder.close()
    assert read(tmp_path / "file").error is None


def test_the_example_of_the_docs_runs_on_any_recording(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (REPOSITORY / "docs/api.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    file.rename(file.with_name("incident.lineage"))
    monkeypatch.chdir(file.parent)
    exec(example, {})  # noqa: S102 - our own page
    assert capsys.readouterr().out.startswith("no_such_pid ")
