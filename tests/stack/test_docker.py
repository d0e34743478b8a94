"""Docker's own engine: the entrypoint of a container against what is executed in it later."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.containers import Container
from pipeline.events import Exec
from pipeline.process import ProcessVersion
from tests.kernel import programs
from tests.kernel.actors import Troupe
from tests.kernel.grown import Grown
from tests.kernel.tracer import Tracer
from tests.stack.engine import Engine, running_engine

pytestmark = pytest.mark.stack

IMAGE = "lineage-test-actor"
NAME = f"lineage-test-{os.getpid()}"
RING_BYTES = 16 << 20


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """With an image that has one program."""
    troupe = Troupe(tmp_path)
    root = tmp_path / "root"
    root.mkdir()
    for name in ("entry", "later"):
        shutil.copy(troupe.program, root / name)
    subprocess.run(["tar", "-C", root, "-cf", tmp_path / "root.tar", "."], check=True)
    with running_engine() as made:
        with (tmp_path / "root.tar").open("rb") as archive:
            made.docker("import", "-", IMAGE, stdin=archive)
        yield made


@pytest.fixture
def tracer() -> Iterator[Tracer]:
    made = Tracer(RING_BYTES)
    yield made
    made.close()


def _paused(engine: Engine, *arguments: str) -> int:
    """The inner number that whoever pauses tells."""
    child = subprocess.Popen(
        ["docker", *arguments], env=engine.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    (inner,) = programs.numbers(programs.started(child))
    return inner


def _executed(tracer: Tracer, grown: Grown, name: str) -> ProcessVersion:
    grown.catch_up()
    (pid,) = {event.task.pid for event in tracer.events if isinstance(event, Exec) and event.filename == name}
    return grown.of(pid)


def _names(version: ProcessVersion) -> list[str]:
    return [ancestor.image.name for ancestor in version.ancestors]


def test_docker_run_and_docker_exec(engine: Engine, tracer: Tracer) -> None:
    grown = Grown(tracer)
    try:
        assert (
            _paused(engine, "run", "--interactive", "--network", "none", "--name", NAME, IMAGE, "/entry", "pause") == 1
        )
        identity = engine.docker("inspect", "--format", "{{.Id}} {{.State.Pid}}", NAME).split()
        inner = _paused(engine, "exec", "--interactive", NAME, "/later", "fork", "exec:/entry", "pause")
        entry = grown.of(int(identity[1]))
        later = _executed(tracer, grown, "/later")
        child = grown.of(grown.children(later.pid)[0])
        for version in (entry, later, child):
            assert version.container == Container(identity[0], "docker")
            assert version.pid_ns == entry.pid_ns != version.boot_pid_ns
            names = _names(version)
            assert "runc" in names
            assert "containerd-shim-runc-v2" in names
            assert names.index("runc") < names.index("containerd-shim-runc-v2") < names.index("containerd")
            assert (version.ancestors[-1].pid, version.complete) == (1, True)
            assert version.entry_type == "container"
        assert (entry.ns_pid, child.ns_pid) == (1, inner)
        assert inner > 1
        assert entry.pid not in [ancestor.pid for ancestor in child.ancestors]
        assert entry.entry_leader is not None
        assert child.entry_leader is not None
        assert (entry.entry_leader.pid, child.entry_leader.pid) == (entry.pid, later.pid)
        again = Grown(tracer).of(child.pid)
        assert (again.entity_id, again.container, again.ns_pid) == (child.entity_id, child.container, inner)
    finally:
        programs.end_all()
        engine.docker("rm", "--force", NAME)
