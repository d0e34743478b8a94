"""Which group reaches a socket is read off its mode; what no group of its own reaches is refused in clear words."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import HostError
from pipeline.sources.containers.access import groups_of

GROUP = 61998

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("CI"), reason="changes groups of files: needs root"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that anybody may enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="lineage-access-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def listening(folder: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "engine.sock"))
        yield folder / "engine.sock"


def _set(path: Path, mode: int, group: int = GROUP) -> Path:
    os.chown(path, 0, group)
    path.chmod(mode)
    return path


def test_dockers_usual_socket_needs_its_group(listening: Path) -> None:
    assert groups_of(_set(listening, 0o660)) == (GROUP,)


def test_a_link_to_it_is_followed(listening: Path, folder: Path) -> None:
    _set(listening, 0o660)
    (folder / "link.sock").symlink_to(listening)
    assert groups_of(folder / "link.sock") == (GROUP,)


@pytest.mark.parametrize("mode", [0o666, 0o662, 0o777])
def test_one_that_everybody_may_use_needs_none(listening: Path, mode: int) -> None:
    assert groups_of(_set(listening, mode)) == ()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o755])
def test_one_that_no_group_may_write_to_is_refused(listening: Path, mode: int) -> None:
    with pytest.raises(HostError, match=r"no group may connect to .*: give it a group of its own"):
        groups_of(_set(listening, mode))


def test_one_of_roots_own_group_is_refused(listening: Path) -> None:
    with pytest.raises(HostError, match=r"only root's own group may connect .*gid below"):
        groups_of(_set(listening, 0o660, 0))


def test_a_folder_on_the_way_that_is_closed_to_the_group_is_named(listening: Path, folder: Path) -> None:
    _set(listening, 0o660)
    _set(folder, 0o700)
    with pytest.raises(HostError, match=rf"may not enter {folder}: chmod o\+x"):
        groups_of(listening)


@pytest.mark.parametrize(("mode", "group"), [(0o710, GROUP), (0o711, 0)])
def test_a_folder_on_the_way_that_the_group_may_enter_is_enough(
    listening: Path, folder: Path, mode: int, group: int
) -> None:
    _set(listening, 0o660)
    _set(folder, mode, group)
    assert groups_of(listening) == (GROUP,)


def test_what_is_not_there_is_said_to_be_missing(folder: Path) -> None:
    with pytest.raises(HostError, match=r"No such file or directory\): start the container runtime, or unset"):
        groups_of(folder / "none.sock")


def test_what_is_no_socket_is_refused(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(HostError, match="is no socket"):
        groups_of(_set(folder / "file", 0o660))
