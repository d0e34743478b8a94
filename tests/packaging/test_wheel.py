"""The wheel, installed where no checkout is: the commands are there, and so are the files that are not Python.

The dependencies come from the environment of the tests, as a folder behind the fresh environment's own: what is tested
is this project's wheel. The test environment's own installation of the project stays out, because a folder that is
only named in a path file has its own path files left alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.checkout import REPOSITORY, copy_repository

RUN_TIMEOUT_S = 60


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    copy_repository(source)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(target), str(source))
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("sdist")
    copy_repository(source)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(target)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = target.glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel in it; nothing of the checkout is on its path."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    _pip("--python", str(folder / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel))
    (packages,) = folder.glob("lib/python3.*/site-packages")
    (packages / "behind.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments], check=True)


def _run(environment: Path, cwd: Path, *command: str) -> str:
    """Standard output of a program of the environment, which must end well."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ELASTICSEARCH"))}
    done = subprocess.run(
        [str(environment / "bin" / command[0]), *command[1:]],
        cwd=cwd,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_in_use_is_the_installed_one(environment: Path, elsewhere: Path) -> None:
    found = Path(_run(environment, elsewhere, "python", "-c", "import pipeline; print(pipeline.__file__)").strip())
    assert found.is_relative_to(environment)


@pytest.mark.parametrize("command", [("lineage",), ("python", "-m", "pipeline")])
def test_help_names_every_verb(environment: Path, elsewhere: Path, command: tuple[str, ...]) -> None:
    text = _run(environment, elsewhere, *command, "--help")
    for verb in ("run", "setup", "check", "record", "replay", "search", "tree", "show", "ancestors", "bench"):
        assert f"  {verb} " in text


@pytest.mark.parametrize("folder", ["bpf", "mappings"])
def test_it_carries_the_same_files_as_the_checkout(environment: Path, elsewhere: Path, folder: str) -> None:
    code = f"from pipeline.resources import folder; print(folder({folder!r}))"
    installed = Path(_run(environment, elsewhere, "python", "-c", code).strip())
    assert installed.is_relative_to(environment)

    def contents(root: Path) -> dict[str, bytes]:
        files = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path.relative_to(root)): path.read_bytes() for path in files}

    assert contents(installed) == contents(REPOSITORY / folder)


def test_setup_prints_the_mappings_from_another_folder(environment: Path, elsewhere: Path) -> None:
    requests = json.loads(_run(environment, elsewhere, "lineage", "setup", "--print"))
    (template,) = (body for request, body in requests.items() if "/_index_template/" in request)
    assert template["index_patterns"][0].startswith("logs-lineage.")


def test_it_holds_the_licences_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"LICENSE", "bpf/LICENSE"} <= {name.partition("/licenses/")[2] for name in names}
    assert [name for name in names if name.startswith("tests")] == []


def test_both_distributions_say_that_they_are_typed(wheel: Path, sources: Path) -> None:
    assert "pipeline/py.typed" in zipfile.ZipFile(wheel).namelist()
    with tarfile.open(sources) as archive:
        assert any(name.endswith("/pipeline/py.typed") for name in archive.getnames())


def test_a_program_that_asks_the_tree_is_type_checked(environment: Path, elsewhere: Path) -> None:
    """By the types that are installed; a wrong one is found."""
    program = elsewhere / "program.py"
    program.write_text(
        "from pipeline.offline import read\n"
        "from pipeline.tree import Artifact, Edge, Kind, ProcessAnswer, ProcessKey, Reason\n"
        "\n"
        "tree = read('incident.lineage').tree\n"
        "answer: ProcessAnswer = tree.process(ProcessKey('x'))\n"
        "kind: Kind = 'files'\n"
        "edge: Edge = 'reaper'\n"
        "reason: Reason = 'forgotten'\n"
        "noted: tuple[Artifact, ...] = tree.artifacts(ProcessKey('x'), kind).artifacts\n"
        "wrong: int = next(tree.children(ProcessKey('x'), edge))\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", "program.py"]
    done = subprocess.run(
        [*command, "--python-executable", str(environment / "bin" / "python")],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(complaints) == 1, done.stdout + done.stderr
    assert complaints[0].startswith("program.py:10: error: Incompatible types in assignment")


@pytest.mark.kernel
def test_it_traces_this_host_from_another_folder(environment: Path, elsewhere: Path) -> None:
    """The programs are compiled from the wheel's own sources."""
    documents = elsewhere / "documents.ndjson"
    _run(environment, elsewhere, "lineage", "run", "--quiet", "--for", "1s", "--sink", f"ndjson:{documents}")
    assert any(json.loads(line)["event"]["kind"] == "state" for line in documents.read_text().splitlines())
