"""What a stranger types: the targets of the Makefile, what they install, and what continuous integration runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.checkout import REPOSITORY


def _make(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=REPOSITORY,
        env=environment | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_make_alone_lists_the_targets_with_a_sentence() -> None:
    done = _make()
    listed = re.findall(r"^make (\S+) +\S", done.stdout, flags=re.MULTILINE)
    assert {"run", "test", "check", "test-stack", "generate", "format", "elasticsearch", "bench", "lock"} <= set(listed)
    assert done.returncode == 0


def test_continuous_integration_runs_make_test_and_nothing_else() -> None:
    lines = (REPOSITORY / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["exec make test </dev/null"]


def test_make_test_leaves_no_test_out() -> None:
    """What one pytest run deselects by its marker is all that the other one runs."""
    printed = _make("--dry-run", "test").stdout
    runs = re.findall(r"-m pytest (.*)", printed)
    assert [run.strip() for run in runs] == ["-m 'not stack'", "-m stack tests/stack"]


def test_arguments_reach_the_agent() -> None:
    assert "lineage run --for 10s --quiet" in _make("--dry-run", "run", "ARGS=--for 10s --quiet").stdout


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A search path that has little; its Python has nothing at all, and its apt-get writes down what it is asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "dirname", "uname", "dpkg"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    _script(folder / "python", "exit 1")
    _script(folder / "apt-get", f'echo "$@" >>{tmp_path}/asked')
    return folder


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def _system(bare: Path, group: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(REPOSITORY / "requirements" / "system.sh"), group],
        env={"PATH": str(bare), "PYTHON": str(bare / "python")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_root_what_is_missing_is_named_with_the_command(bare: Path) -> None:
    _script(bare / "id", "echo 1000")
    done = _system(bare, "run")
    assert done.returncode == 1
    assert "sudo apt-get install" in done.stderr
    assert "python3-venv" in done.stderr
    assert not (bare.parent / "asked").exists()


def test_as_root_only_what_is_missing_is_installed(bare: Path) -> None:
    _script(bare / "id", "echo 0")
    for there in ("clang", "mvn", "dockerd"):
        _script(bare / there, "exit 0")
    assert _system(bare, "test").returncode == 0
    update, install = (bare.parent / "asked").read_text().splitlines()
    assert update.startswith("update")
    packages = set(install.split())
    assert {"python3-venv", "debootstrap", "gcc"} <= packages
    assert not packages & {"clang", "maven", "docker.io"}


def test_elsewhere_than_on_debian_the_packages_are_named(bare: Path) -> None:
    (bare / "apt-get").unlink()
    done = _system(bare, "run")
    assert done.returncode == 1
    assert "python3-venv" in done.stderr
    assert "package manager" in done.stderr
