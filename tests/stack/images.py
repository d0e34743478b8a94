"""The images that docker-compose.yml names, made on the spot where no registry of images can be reached.

Rules: the base is what debootstrap makes of Debian's own packages; Elasticsearch is the server that the other tests
use, behind an entry point that takes settings the way the official image does. The packed base and the unpacked server
are kept in the cache of the tests; the images live in the tests' own engine alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.elasticsearch.artifact import cache_folder, development_kit, installation
from tests.stack.engine import Engine, EngineError

SUITE = "bookworm"
BASE_IMAGE = "debian:bookworm-slim"
DEBOOTSTRAP_TIMEOUT_S = 900
HOME = "/usr/share/elasticsearch"
JAVA = "/opt/java"
ACCOUNT = 1000  # the official image's

ENTRY_POINT = f"""#!/bin/bash
# Settings are the environment variables with a dot in their names, which only /proc shows to a shell.
arguments=()
while IFS= read -r -d '' pair; do
    case ${{pair%%=*}} in *.*) arguments+=("-E$pair") ;; esac
done </proc/self/environ
cd {HOME}
[ -d lib/tools/server-launcher ] || exec bash bin/elasticsearch-cli "${{arguments[@]}}" # before 9
exec {JAVA}/bin/java -Xms4m -Xmx64m -XX:+UseSerialGC -Des.path.home={HOME} -Des.path.conf={HOME}/config \\
    -Des.distribution.type=docker -Des.java.type=ES_JAVA_HOME -cp 'lib/tools/server-launcher/*:lib/*' \\
    org.elasticsearch.server.launcher.ServerLauncher "${{arguments[@]}}"
"""

DOCKERFILE = f"""FROM {BASE_IMAGE}
RUN apt-get update && apt-get install -y --no-install-recommends curl && rm -rf /var/lib/apt/lists/*
COPY java {JAVA}
COPY --chown={ACCOUNT}:{ACCOUNT} elasticsearch {HOME}
COPY entry-point /entry-point
ENV JAVA={JAVA}/bin/java JAVA_HOME={JAVA} ES_JAVA_HOME={JAVA} JAVA_TYPE=ES_JAVA_HOME ES_HOME={HOME} \\
    ES_PATH_CONF={HOME}/config ES_DISTRIBUTION_TYPE=docker CLI_NAME=server CLI_LIBS=lib/tools/server-cli
USER {ACCOUNT}:{ACCOUNT}
ENTRYPOINT ["/entry-point"]
"""


def provide_base(engine: Engine) -> None:
    """``BASE_IMAGE`` from a packed root file system in the cache, made when it is not there."""
    cache_folder().mkdir(parents=True, exist_ok=True, mode=0o755)
    packed = cache_folder() / f"{SUITE}-{os.uname().machine}.tar.gz"
    if not packed.is_file():
        _make_root(packed)
    with packed.open("rb") as archive:
        engine.docker("import", "-", BASE_IMAGE, stdin=archive)


def provide_elasticsearch(engine: Engine, image: str) -> None:
    """The tests' Elasticsearch under the official image's name. Raises ServerError where it cannot be had.

    Without a Java development kit for 9 (Debian 12 has none) the 8 that carries its own runtime stands in for it: the
    agent and its setup are made for both, and what the composition says is the same.
    """
    major = image.rpartition(":")[2].partition(".")[0]
    server = installation(major if development_kit() else "8")
    if server.version.startswith(f"{major}.") and not image.endswith(f":{server.version}"):
        raise EngineError(f"docker-compose.yml asks for {image}, the tests have {server.version}")
    with tempfile.TemporaryDirectory(prefix="lineage-image-") as scratch:
        context = Path(scratch)
        shutil.copytree(server.home, context / "elasticsearch", symlinks=True)
        shutil.copytree(server.java_home, context / "java", symlinks=True, ignore=shutil.ignore_patterns("*.zip"))
        for name in ("data", "logs"):
            (context / "elasticsearch" / name).mkdir(exist_ok=True)
        settings = "cluster.name: docker-cluster\nnetwork.host: 0.0.0.0\n"  # as in the official image
        (context / "elasticsearch" / "config" / "elasticsearch.yml").write_text(settings)
        (context / "entry-point").write_text(ENTRY_POINT)
        (context / "entry-point").chmod(0o755)
        (context / "Dockerfile").write_text(DOCKERFILE)
        engine.docker("build", "--network", "host", "--tag", image, str(context))


def _make_root(packed: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=f".{SUITE}-", dir=packed.parent))
    try:
        root = scratch / "root"
        command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, str(root), _mirror()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEBOOTSTRAP_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise EngineError(f"debootstrap ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        subprocess.run(
            [
                "tar",
                "-C",
                root,
                "-I",
                "gzip -1",
                "--exclude=./var/cache/apt/archives/*.deb",
                "-cf",
                scratch / "tar",
                ".",
            ],
            check=True,
        )
        (scratch / "tar").rename(packed)
    finally:
        shutil.rmtree(scratch)


def _mirror() -> str:
    """The first address that this machine's own package manager asks. Raises EngineError where it has none."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {SUITE}"],
        capture_output=True,
        text=True,
        check=True,
    )
    for line in done.stdout.splitlines():
        if re.match(r"https?://", line):
            return line.rstrip("/")
    raise EngineError(f"this machine's package sources have no {SUITE}: debootstrap has nowhere to go")
