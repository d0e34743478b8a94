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
    tests = {"test", "check", "unit", "test-stack", "test-kernels", "fuzz"}
    assert tests | {"run", "generate", "format", "elasticsearch", "bench", "lock"} <= set(listed)
    assert done.returncode == 0


def test_continuous_integration_runs_make_test_and_nothing_else() -> None:
    lines = (REPOSITORY / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert [command.partition(" #")[0] for command in commands] == ["export CI=true", "exec make test </dev/null"]


def test_make_test_leaves_no_test_out() -> None:
    """What one pytest run deselects by its marker is all that the other one runs."""
    printed = _make("--dry-run", "test").stdout
    runs = re.findall(r"-m pytest (.*)", printed)
    assert [run.strip() for run in runs] == ["-m 'not stack'", "-m stack tests/stack"]


def test_the_fuzzer_is_installed_for_itself_alone(tmp_path: Path) -> None:
    assert "fuzz.lock" in _make("--dry-run", "fuzz", f"VENV={tmp_path}/venv").stdout
    assert "fuzz.lock" not in _make("--dry-run", "test", f"VENV={tmp_path}/venv").stdout


def test_arguments_reach_the_agent() -> None:
    assert "lineage run --for 10s --quiet" in _make("--dry-run", "run", "ARGS=--for 10s --quiet").stdout


def test_arguments_reach_the_kernels_with_their_quotes() -> None:
    printed = _make("--dry-run", "test-kernels", "ARGS=--only 6.1 --pytest='-k snapshot'").stdout
    assert "-m tests.kernels --only 6.1 --pytest='-k snapshot'" in printed


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
    for there in ("clang", "mvn"):
        _script(bare / there, "exit 0")
    packages = _installed(bare, "test")
    assert {"python3-venv", "gcc"} <= packages
    assert not packages & {"clang", "maven"}


def _installed(bare: Path, group: str) -> set[str]:
    """Packages that are asked for, after the lists were fetched."""
    assert _system(bare, group).returncode == 0
    update, install = (bare.parent / "asked").read_text().splitlines()
    assert update.startswith("update")
    return {word for word in install.split() if not word.startswith("-")} - {"install", "Dpkg::Use-Pty=0"}


@pytest.mark.parametrize(
    ("group", "there", "elsewhere"),
    [
        ("venv", {"python3-venv"}, {"python3-bpfcc"}),
        ("run", {"python3-venv"}, {"clang", "maven"}),
        ("elasticsearch", {"python3-venv", "maven"}, {"python3-bpfcc"}),
        ("test", {"python3-venv", "clang", "gcc", "maven"}, {"docker.io"}),
        ("stack", {"maven", "docker.io", "docker-compose", "debootstrap"}, {"clang"}),
        ("kernels", {"gcc", "qemu-system-x86", "busybox-static", "kmod", "iproute2"}, {"maven"}),
    ],
)
def test_each_group_has_what_it_needs_and_not_the_next_ones(
    bare: Path, group: str, there: set[str], elsewhere: set[str]
) -> None:
    _script(bare / "id", "echo 0")
    packages = _installed(bare, group)
    assert there <= packages
    assert not packages & elsewhere


@pytest.mark.parametrize(
    ("target", "groups"),
    [
        ("check", ["venv"]),
        ("run", ["run", "venv"]),
        ("elasticsearch", ["elasticsearch", "venv"]),
        ("unit", ["test", "venv"]),
        ("test-stack", ["stack", "venv"]),
        ("test-kernels", ["kernels", "venv"]),
    ],
)
def test_a_target_installs_only_for_itself(target: str, groups: list[str], tmp_path: Path) -> None:
    printed = _make("--dry-run", target, f"VENV={tmp_path}/venv").stdout
    assert re.findall(r"requirements/system\.sh (\w+)", printed) == groups


def test_what_is_installed_is_announced_beside_the_output(bare: Path, tmp_path: Path) -> None:
    """`make run` may stand in a pipe: its standard output is documents."""
    lines = _make("--dry-run", "run", f"VENV={tmp_path}/venv").stdout.splitlines()
    installing = [line for line in lines if "system.sh" in line or "pip" in line or line.startswith("echo")]
    assert len(installing) >= 5
    assert all(line.endswith(">&2") for line in installing)


def test_elsewhere_than_on_debian_the_packages_are_named(bare: Path) -> None:
    (bare / "apt-get").unlink()
    done = _system(bare, "run")
    assert done.returncode == 1
    assert "python3-venv" in done.stderr
    assert "package manager" in done.stderr
