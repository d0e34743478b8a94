"""tracefs, through which tracepoints of system calls are found: mounted by the loader where nobody has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.sources.ebpf import launch
from tests.checkout import REPOSITORY
from tests.kernel.programs import PATIENCE_S

pytestmark = pytest.mark.kernel

HIDE = 'mount -t tmpfs nodev /sys/kernel/debug; umount /sys/kernel/tracing 2>/dev/null; exec "$@"'
WITHOUT = ["unshare", "--mount", "sh", "-c", HIDE, "-"]
SEEN = """
import json, sys
from pathlib import Path
from pipeline.config import Config
from pipeline.sources.ebpf import launch, macros
handover = launch.start(macros.macros(Config(state_directory=Path("/nowhere"))))
mounts = [line.split()[1] for line in open("/proc/self/mounts") if line.split()[2] == "tracefs"]
print(json.dumps({"calls": len(handover.calls), "missing": handover.missing, "mounts": mounts}))
"""


def _run(before: list[str], *program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, *program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_without_tracefs_the_loader_mounts_it_and_nobody_else_sees_that() -> None:
    done = _run(WITHOUT, "-c", SEEN)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["calls"] == 21 + launch.needs_snapshot_call()
    assert seen["missing"] == []
    assert "/sys/kernel/tracing" not in seen["mounts"]


def test_where_it_cannot_be_mounted_the_mend_is_told(tmp_path: Path) -> None:
    """/sys/kernel/tracing is no place to mount on: a file system without it lies over /sys/kernel."""
    before = [
        *("unshare", "--mount", "sh", "-c"),
        'mkdir $0/btf && cp /sys/kernel/btf/vmlinux $0/btf/ && mount --bind $0 /sys/kernel && exec "$@"',
        str(tmp_path),
    ]
    done = _run(before, "-m", "pipeline", "--set", f"state_directory={tmp_path}", "run", "--sink", "ndjson:/dev/null")
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("lineage: "))
    assert "tracefs is not mounted" in line
    assert "mount -t tracefs nodev /sys/kernel/tracing" in line


OLDER = """
import sys
from pathlib import Path
from pipeline.config import Config
from pipeline.errors import HostError
from pipeline.sources.ebpf import launch, macros, probes
launch.needs_snapshot_call = lambda release=None: True
found = next(each for each in probes.findings(Config(state_directory=Path(sys.argv[1]))) if each.name == "snapshot")
print(found.ok, found.needed, f"{found.detail}: {found.mend}", sep="\\n")
try:
    launch.start(macros.macros(Config(state_directory=Path("/nowhere"))))
except HostError as error:
    print(error.message, error.mend, sep=": ")
"""
HIDE_CALLS = """
[ -d /sys/kernel/tracing/events ] || mount -t tracefs nodev /sys/kernel/tracing || exit
mount -t tmpfs nodev /sys/kernel/tracing/events/syscalls && exec "$@"
"""
WITHOUT_CALLS = ["unshare", "--mount", "sh", "-c", HIDE_CALLS, "-"]


def test_an_older_kernel_without_the_tracepoint_of_the_snapshots_call_is_refused_and_told_by_check(
    tmp_path: Path,
) -> None:
    """Made of this kernel: its tracepoints of system calls are hidden, and it is said to be one of before 5.19."""
    done = _run(WITHOUT_CALLS, "-c", OLDER, str(tmp_path))
    assert done.returncode == 0, done.stderr
    ok, needed, checked, refused = done.stdout.splitlines()
    assert (ok, needed) == ("False", "True")
    assert "no tracepoint sys_enter_getpriority" in checked
    assert "CONFIG_FTRACE_SYSCALLS" in checked
    assert refused == checked
