"""What `lineage check` says of hosts that this one is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import HostError
from pipeline.sources.ebpf import loader, probes

CALL = loader.SNAPSHOT_CALL[0]


def _events(folder: Path, *missing: str) -> str:
    for name in (*loader.CHANGES, CALL):
        if name not in missing:
            (folder / "events/syscalls" / name).mkdir(parents=True)
    return str(folder)


def test_all_tracepoints_of_system_calls_are_counted(tmp_path: Path) -> None:
    found = probes._system_calls([_events(tmp_path)])
    assert (found.ok, found.detail) == (True, "21 tracepoints")


def test_a_tracepoint_that_is_missing_is_named_with_what_becomes_of_its_changes(tmp_path: Path) -> None:
    found = probes._system_calls([_events(tmp_path, "sys_exit_setns", "sys_exit_capset")])
    assert not found.ok
    assert not found.needed
    assert "sys_exit_capset, sys_exit_setns" in found.detail
    assert "told with the next" in found.detail
    assert "CONFIG_FTRACE_SYSCALLS" in found.mend


def test_a_kernel_without_them_has_none(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    assert all(name in probes._system_calls([str(tmp_path)]).detail for name in loader.CHANGES)


def test_tracefs_is_found_where_it_is_mounted(tmp_path: Path) -> None:
    nowhere, here = tmp_path / "a", tmp_path / "b"
    (here / "events").mkdir(parents=True)
    assert probes._tracefs([str(nowhere), str(here)]).detail == str(here)


def test_without_a_place_to_mount_it_tracefs_is_missing_with_its_mend(tmp_path: Path) -> None:
    found = probes._tracefs([str(tmp_path / "nowhere")])
    assert (found.ok, found.needed) == (False, True)
    assert "mount -t tracefs nodev" in found.mend


@pytest.mark.parametrize(
    ("release", "snapshot", "counted"),
    [
        ("5.10.0-46-amd64", "asked for by a system call", False),
        ("5.12.1", "asked for by a system call", True),
        ("5.19.0", "the agent runs the program it holds", True),
        ("6.18.44", "the agent runs the program it holds", True),
    ],
)
def test_what_stands_in_on_older_kernels_is_named(release: str, snapshot: str, counted: bool, tmp_path: Path) -> None:
    assert probes._snapshot(release, [_events(tmp_path)]).startswith(snapshot)
    assert probes._skipped_runs(release).ok == counted


def test_before_5_19_the_tracepoint_that_the_snapshot_is_asked_for_by_is_needed(tmp_path: Path) -> None:
    without = [_events(tmp_path, CALL)]
    with pytest.raises(HostError, match=f"no tracepoint {CALL}") as caught:
        probes._snapshot("5.18.0", without)
    assert "CONFIG_FTRACE_SYSCALLS" in caught.value.mend
    found = probes._asked("snapshot", lambda: probes._snapshot("5.18.0", without))
    assert (found.ok, found.needed) == (False, True)
    assert "program it holds" in probes._snapshot("5.19.0", without)


def test_before_tracefs_is_mounted_nobody_knows_what_it_lacks(tmp_path: Path) -> None:
    nowhere = [str(tmp_path / "nowhere")]
    assert "asked for by a system call" in probes._snapshot("5.18.0", nowhere)
    found = probes._system_calls(nowhere)
    assert (found.ok, found.needed) == (False, False)
    assert found.detail.startswith("not known")


def test_without_root_it_is_not_known_whether_tracefs_is_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = probes._tracefs([str(tmp_path)])
    assert (found.ok, found.needed, found.mend) == (False, False, "run it with sudo")
    assert found.detail.startswith("not known: only root")
    assert probes._tracefs([_events(tmp_path)]).ok


def test_a_folder_that_only_root_may_enter_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "tracing/events").mkdir(parents=True)
    tmp_path.chmod(0o700)
    asked = "from pipeline.sources.ebpf import probes; print(probes._tracefs([sys.argv[1]]).detail)"
    become = "import os, sys; import pipeline.sources.ebpf.probes; os.setresuid(64123, 64123, 64123); "
    done = subprocess.run(
        [sys.executable, "-c", become + asked, f"{tmp_path}/tracing"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("not known: only root"), done.stderr
