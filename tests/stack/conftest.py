"""One run of docker-compose.yml for all tests here: engine, images, services, from a fresh copy of the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml

from tests.checkout import REPOSITORY, copy_repository
from tests.elasticsearch.server import free_port
from tests.stack.engine import Engine, running_engine
from tests.stack.images import provide_base, provide_elasticsearch

SERVICES = ("elasticsearch", "setup", "agent")  # Kibana's image cannot be made here
BUILD_OVERRIDE = {"network": "host", "args": {"PIP_NO_INDEX": "1"}}
"""How to build where neither a bridge nor a package index can be reached from inside."""


class Stack(NamedTuple):
    engine: Engine
    folder: Path  # the copy that compose runs in
    files: tuple[str, ...]
    port: int  # of Elasticsearch, on loopback

    def compose(self, *arguments: str) -> str:
        return self.engine.compose(self.folder, self.files, *arguments, ELASTICSEARCH_PORT=str(self.port))

    def container(self, service: str) -> dict[str, Any]:
        """What the engine tells of a service's only container, running or not."""
        names = self.engine.docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.service={service}")
        found: list[dict[str, Any]] = json.loads(self.engine.docker("inspect", *names.split()))
        assert len(found) == 1, names
        return found[0]

    def search(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The sources of the hits; none while the shards of a new index are still starting."""
        url = f"http://127.0.0.1:{self.port}/logs-lineage.process-*/_search"
        request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urlopen(request, timeout=30) as answer:
                return [hit["_source"] for hit in json.load(answer)["hits"]["hits"]]
        except HTTPError as error:
            if error.code != 503:
                raise
            return []


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("an engine of our own needs root")
        pytest.skip("an engine of our own needs root")
    with tempfile.TemporaryDirectory(prefix="lineage-stack-") as scratch, running_engine() as engine:
        folder = Path(scratch)
        copy_repository(folder)
        _download_wheels(folder / "wheels")
        described = yaml.safe_load((folder / "docker-compose.yml").read_text())
        override = {
            "services": {
                name: {"build": BUILD_OVERRIDE} for name, service in described["services"].items() if "build" in service
            }
        }
        (folder / "override.yml").write_text(yaml.safe_dump(override))
        provide_base(engine)
        provide_elasticsearch(engine, described["services"]["elasticsearch"]["image"])
        run = Stack(engine, folder, ("docker-compose.yml", "override.yml"), free_port())
        run.compose("build", "agent")
        with _up(run):
            yield run


@contextmanager
def _up(stack: Stack) -> Iterator[None]:
    try:
        stack.compose("up", "--detach", "--no-build", *SERVICES)
        yield
    finally:
        sys.stderr.write(stack.compose("logs", "--no-color", "--tail", "40", *SERVICES))  # shown when a test fails
        stack.compose("down", "--volumes", "--timeout", "20")


def _download_wheels(target: Path) -> None:
    """The locked dependencies, by this machine's own package client, so that the build needs none of its settings."""
    locks = [part for name in ("run", "build") for part in ("-r", str(REPOSITORY / "requirements" / f"{name}.lock"))]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--dest", str(target)]
    subprocess.run([*command, "--require-hashes", *locks], check=True)
