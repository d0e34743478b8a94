from __future__ import annotations

import fcntl
import io
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.elasticsearch import artifact, server
from tests.elasticsearch.artifact import Installation, ServerError

ROOT = Path(__file__).resolve().parents[2]


def archive(path: Path) -> Path:
    """An artifact in miniature, with more in it than is wanted."""
    runtime = io.BytesIO()
    with tarfile.open(fileobj=runtime, mode="w:gz") as java:
        for name, mode in (("jdk-21/bin/java", 0o755), ("jdk-21/release", 0o644)):
            member = tarfile.TarInfo(name)
            member.mode = mode
            java.addfile(member)
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("product-1/elasticsearch/lib/elasticsearch-8.16.6.jar", "")
        packed.writestr("product-1/elasticsearch/lib/elasticsearch-core-8.16.6.jar", "")
        packed.writestr("product-1/elasticsearch/config/elasticsearch.yml", "")
        packed.writestr("product-1/elasticsearch/config/jvm.options", "-Xlog:gc*:file=logs/gc.log\n-Dkept=1\n")
        packed.writestr("product-1/web/elasticsearch/none-of-ours", "")
        for machine in ("x64", "aarch64"):
            packed.writestr(f"product-1/jres/OpenJDK21U-jre_{machine}_alpine-linux_hotspot_21.tar.gz", "")
            packed.writestr(f"product-1/jres/OpenJDK21U-jre_{machine}_linux_hotspot_21.tar.gz", runtime.getvalue())
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and a local Maven repository with the miniature in it."""
    monkeypatch.setattr(artifact, "cache_folder", lambda: tmp_path / "cache")
    packed = archive(tmp_path / "artifact.zip")
    monkeypatch.setattr(artifact, "_archive", lambda version: packed)
    return tmp_path / "cache"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """The server runs as another account, and pytest's own folders are closed to it."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_only_the_server_and_a_runtime_are_unpacked_for_everybody_to_read(cache: Path) -> None:
    before = os.umask(0o077)
    try:
        found = artifact.installation("8")
    finally:
        os.umask(before)
    assert found.version == "8.16.6"
    files = sorted(str(path.relative_to(found.home.parent)) for path in found.home.parent.rglob("*") if path.is_file())
    assert files == [
        "elasticsearch/config/elasticsearch.yml",
        "elasticsearch/config/jvm.options",
        "elasticsearch/lib/elasticsearch-8.16.6.jar",
        "elasticsearch/lib/elasticsearch-core-8.16.6.jar",
        "java/bin/java",
        "java/release",
    ]
    modes = {path.name: path.stat().st_mode & 0o777 for path in found.home.parent.rglob("*")}
    assert (modes["config"], modes["elasticsearch.yml"], modes["java"], modes["release"]) == (
        0o755,
        0o644,
        0o755,
        0o644,
    )


def test_runs_at_the_same_time_unpack_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked: list[Path] = []
    real = artifact._unpack

    def counted(packed: Path, target: Path) -> None:
        unpacked.append(target)
        real(packed, target)

    monkeypatch.setattr(artifact, "_unpack", counted)
    found: list[Installation] = []
    threads = [threading.Thread(target=lambda: found.append(artifact.installation("8"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 4
    assert len(unpacked) == 1


def test_a_broken_archive_leaves_nothing_behind(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "artifact.zip").write_bytes(b"no zip")
    with pytest.raises(zipfile.BadZipFile):
        artifact.installation("8")
    assert [path.name for path in cache.iterdir()] == ["elasticsearch-8.lock"]


def test_a_server_that_does_not_start_shows_its_log(open_folder: Path) -> None:
    home, java = open_folder / "home", open_folder / "java"
    (home / "config").mkdir(parents=True)
    (home / "config" / "jvm.options").write_text("")
    (java / "bin").mkdir(parents=True)
    (java / "bin" / "java").write_text("#!/bin/sh\necho no room for a heap\nexit 3\n")
    for path in open_folder.rglob("*"):
        path.chmod(0o755)
    with (
        pytest.raises(ServerError, match="ended with 3 instead of starting:\nno room for a heap"),
        server.unpacked_server(Installation(home, java, "8.16.6"), server.free_port()),
    ):
        pytest.fail("it did start")


def test_data_of_a_killed_run_goes_and_of_a_running_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("killed", "running", "new"):
        (tmp_path / f"{server.PREFIX}{name}").mkdir()
    for name in ("killed", "running"):
        (tmp_path / f"{server.PREFIX}{name}" / server.LOCK).touch()
    with (tmp_path / f"{server.PREFIX}running" / server.LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server._remove_leftovers()
    assert {path.name for path in tmp_path.iterdir()} == {f"{server.PREFIX}running", f"{server.PREFIX}new"}


@pytest.mark.elasticsearch
@pytest.mark.skipif("ELASTICSEARCH_URL" in os.environ, reason="with a server given, none needs to be startable here")
def test_the_server_in_the_foreground_ends_on_ctrl_c_and_leaves_nothing(
    elasticsearch_url: str, open_folder: Path
) -> None:
    port = server.free_port()
    assert not elasticsearch_url.endswith(str(port))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.elasticsearch.server", "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(open_folder)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert f"answers at http://127.0.0.1:{port}" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
    assert list(open_folder.iterdir()) == []
