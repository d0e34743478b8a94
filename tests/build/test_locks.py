"""What the lock files promise: every dependency pinned by hash, nothing said about where it comes from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.checkout import REPOSITORY

LOCKS = {name: REPOSITORY / "requirements" / f"{name}.lock" for name in ("run", "build", "dev", "fuzz")}


def _pins(path: Path) -> dict[str, str]:
    """Name -> version; asserts that every entry has at least one hash."""
    pins: dict[str, str] = {}
    told = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE)
    for entry in re.split(r"\n(?=\S)", told.strip()):
        found = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", entry)
        assert found is not None, entry
        assert "--hash=sha256:" in entry, found[0]
        pins[canonicalize_name(found[1])] = found[2]
    return pins


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_names_a_place(name: str) -> None:
    assert re.search(r"://|--(extra-)?index|--find-links|--trusted", LOCKS[name].read_text()) is None


def test_what_pyproject_asks_for_is_locked_in_a_version_that_fits() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    asked = {
        "run": project["project"]["dependencies"],
        "build": project["build-system"]["requires"],
        "dev": project["project"]["optional-dependencies"]["dev"],
        "fuzz": project["project"]["optional-dependencies"]["fuzz"],
    }
    for name, requirements in asked.items():
        pins = _pins(LOCKS[name])
        for requirement in map(Requirement, requirements):
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_the_locks_agree_with_each_other() -> None:
    pins = {name: _pins(path) for name, path in LOCKS.items()}
    assert pins["run"].items() <= pins["dev"].items()
    assert pins["run"].items() <= pins["fuzz"].items()
    shared = pins["build"].keys() & pins["dev"].keys()
    assert {name: pins["build"][name] for name in shared} == {name: pins["dev"][name] for name in shared}
