"""Whoever the agent becomes is nobody else, and what is left is seen."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import HostError
from pipeline.sources.ebpf import privileges
from pipeline.sources.ebpf.privileges import Identity, choose, remaining

STATUS = {
    "Name": "python",
    "Uid": "61000\t61000\t61000\t61000",
    "Gid": "61000\t61000\t61000\t61000",
    "Groups": " ",
    "NoNewPrivs": "1",
    "CapInh": "0000000000000000",
    "CapPrm": "0000000000000000",
    "CapEff": "0000000000000000",
    "CapBnd": "000001ffffffffff",
    "CapAmb": "0000000000000000",
}


def _threads(folder: Path, *statuses: dict[str, str]) -> Path:
    for number, status in enumerate(statuses, 100):
        (folder / str(number)).mkdir()
        lines = "".join(f"{name}:\t{value}\n" for name, value in status.items())
        (folder / str(number) / "status").write_text(lines)
    return folder


def test_with_nothing_left_nothing_is_said(tmp_path: Path) -> None:
    assert remaining(Identity(61000, 61000, None), _threads(tmp_path, STATUS, STATUS)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Uid", "61000\t0\t61000\t61000"),
        ("Gid", "0\t61000\t61000\t61000"),
        ("Groups", "4 27"),
        ("NoNewPrivs", "0"),
        ("CapInh", "0000000000000001"),
        ("CapPrm", "0000008000000000"),
        ("CapEff", "0000000000200000"),
        ("CapAmb", "0000000000000002"),
    ],
)
def test_what_is_left_in_any_thread_is_named(tmp_path: Path, name: str, value: str) -> None:
    (left,) = remaining(Identity(61000, 61000, None), _threads(tmp_path, STATUS, STATUS | {name: value}))
    assert left.startswith(f"thread 101: {name} ")


def test_a_status_that_says_nothing_about_it_is_not_trusted(tmp_path: Path) -> None:
    without = {name: value for name, value in STATUS.items() if name != "CapEff"}
    assert remaining(Identity(61000, 61000, None), _threads(tmp_path, without)) == ["thread 100: CapEff missing"]


@pytest.mark.parametrize(("told", "kept"), [("4 27", (4, 27)), ("4 27", (27, 4, 4)), ("108", [108]), ("", set())])
def test_groups_that_were_asked_for_are_no_leftover(tmp_path: Path, told: str, kept: Sequence[int]) -> None:
    assert remaining(Identity(61000, 61000, None), _threads(tmp_path, STATUS | {"Groups": told}), groups=kept) == []


@pytest.mark.parametrize(("told", "kept"), [("", (4,)), ("4", ()), ("4 27", (4,)), ("27", (4,)), ("4", (4, 27))])
def test_other_groups_than_those_asked_for_are_named(tmp_path: Path, told: str, kept: Sequence[int]) -> None:
    (left,) = remaining(Identity(61000, 61000, None), _threads(tmp_path, STATUS | {"Groups": told}), groups=kept)
    assert left.startswith("thread 100: Groups")


def test_an_account_that_exists_is_taken() -> None:
    entry = next(entry for entry in pwd.getpwall() if entry.pw_uid and entry.pw_gid)
    assert choose(entry.pw_name) == Identity(entry.pw_uid, entry.pw_gid, entry.pw_name)


def test_roots_own_account_is_refused() -> None:
    with pytest.raises(HostError, match="root's"):
        choose("root")


def test_without_the_account_a_number_is_taken_that_is_nobodys() -> None:
    identity = choose("an-account-that-does-not-exist")
    owners = {path.stat().st_uid for path in (Path("/proc/self"), Path("/proc/1"))}
    assert identity.uid == identity.gid
    assert identity.name is None
    assert identity.uid not in owners | {entry.pw_uid for entry in pwd.getpwall()}


def test_numbers_of_accounts_groups_and_running_processes_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    last = choose("an-account-that-does-not-exist").uid
    monkeypatch.setattr(privileges, "_taken_numbers", lambda: {last})
    assert choose("an-account-that-does-not-exist").uid != last


def test_when_every_number_is_taken_it_says_how_to_make_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges, "_taken_numbers", lambda: set(range(65536)))
    with pytest.raises(HostError, match="useradd --system lineage"):
        choose("lineage")


# For real: in a process of its own, since there is no way back.

PROGRAM = """
import json, os, sys, threading
from pathlib import Path
from pipeline.errors import HostError
from pipeline.sources.ebpf import privileges

groups, socket_group = json.loads(sys.argv[1]), 61998
os.setgroups([4, 27, *groups])
reached = Path(sys.argv[2])
reached.touch()
os.chown(reached, 0, socket_group)
reached.chmod(0o660)
try:
    identity = privileges.drop("an-account-that-does-not-exist", groups)
except HostError as error:
    print(json.dumps({"refused": str(error), "uid": os.getuid()}))
    sys.exit()
def regained():
    try:
        os.setgroups([0])
    except PermissionError:
        return False
    return True
print(json.dumps({
    "uid": os.getuid(), "groups": os.getgroups(), "left": privileges.remaining(identity, groups=groups),
    "regained": regained(), "reached": os.access(reached, os.W_OK),
}))
"""


def _dropped(groups: Sequence[int], folder: Path) -> Any:
    """What a process says of itself that kept ``groups``; ``folder`` is one that anybody may enter."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("needs root")
        pytest.skip("needs root")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(groups), str(folder / "reached")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lineage-privileges-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_without_groups_none_remain(open_folder: Path) -> None:
    told = _dropped([], open_folder)
    assert told["uid"] != 0
    assert (told["groups"], told["left"], told["regained"], told["reached"]) == ([], [], False, False)


def test_exactly_the_groups_that_were_asked_for_remain_and_reach_what_is_theirs(open_folder: Path) -> None:
    told = _dropped([61998], open_folder)
    assert told["uid"] != 0
    assert (told["groups"], told["left"], told["regained"], told["reached"]) == ([61998], [], False, True)


def test_roots_group_is_never_kept(open_folder: Path) -> None:
    told = _dropped([61998, 0], open_folder)
    assert told["uid"] == 0
    assert told["refused"].startswith("root's own group cannot be kept")
