"""The configuration names one runtime; nothing is contacted before it is asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.config import Config, load
from pipeline.errors import ConfigError, UsageError
from pipeline.sources.containers import open_runtime, socket_of

SPECS = ["docker:/run/docker.sock", "containerd:/run/containerd/containerd.sock", "cri:/run/crio/crio.sock"]


def test_unless_configured_nothing_is_asked() -> None:
    assert Config().container_runtime is None


@pytest.mark.parametrize("spec", SPECS)
async def test_each_kind_opens_without_a_socket(spec: str) -> None:
    runtime = open_runtime(load({"container_runtime": spec}).container_runtime or "")
    assert str(socket_of(spec)) in repr(runtime)
    await runtime.aclose()
    await runtime.aclose()


@pytest.mark.parametrize(
    "spec", ["", "docker", "docker:", "docker:run/docker.sock", "podman:/run/x", "/run/docker.sock"]
)
def test_another_form_is_an_error_of_the_configuration(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"container_runtime = .*: must be docker:, containerd: or cri: and"):
        load({"container_runtime": spec})


def test_another_kind_is_refused_where_it_is_opened_too() -> None:
    with pytest.raises(UsageError, match="there is no container runtime"):
        open_runtime("podman:/run/podman.sock")


def test_what_is_not_configured_is_not_imported() -> None:
    """What the libraries cost, they cost those who asked for them."""
    code = "import sys, pipeline.sources.containers as c; c.open_runtime(sys.argv[1]); print(*sys.modules)"
    for spec, there in ((SPECS[0], {"aiohttp"}), (SPECS[1], {"grpclib", "google.protobuf"})):
        done = subprocess.run(
            [sys.executable, "-c", code, spec],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[3],
        )
        assert set(done.stdout.split()) & {"aiohttp", "grpclib", "google.protobuf"} == there
