"""What tracing needs of a host, looked at one by one without changing anything: for `lineage check`.

Each probe asks the same code that `run` uses, so that the two cannot disagree.
"""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.clock import SystemClock
from pipeline.config import Config
from pipeline.errors import HostError
from pipeline.sources import hostfacts
from pipeline.sources.clockoffset import ClockOffset
from pipeline.sources.ebpf import headers, launch, loader, offsets, syscall

SYS_ADMIN = 21
# include/uapi/linux/capability.h; one of each group
NEEDED_CAPABILITIES = (
    ("BPF", (39, SYS_ADMIN)),
    ("PERFMON", (38, SYS_ADMIN)),
    ("SETUID", (7,)),
    ("SETGID", (6,)),
    ("SYS_PTRACE", (19,)),
)
BCC_TIMEOUT_S = 30.0
_MAP_CREATE, _MAP_TYPE_RINGBUF = 0, 27


class Finding(NamedTuple):
    """One thing: ``needed`` says whether `run` fails without it."""

    name: str
    ok: bool
    detail: str
    mend: str = ""
    needed: bool = True


def findings(config: Config) -> list[Finding]:
    """One of each thing, about in the order in which `run` would stumble over them."""
    return [
        _asked("kernel", _kernel),
        _asked("BTF", _btf),
        _asked("BCC", _bcc),
        _asked("headers", lambda: _headers(config)),
        _asked("ring buffer", _ring_buffer),
        _asked("pid namespace", _pid_namespace),
        _privileges(),
        _asked("state directory", lambda: _state_directory(config)),
        _tracefs(),
        _system_calls(),
        _asked("snapshot", _snapshot),
        _skipped_runs(),
    ]


def _asked(name: str, probe: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, probe())
    except HostError as error:
        return Finding(name, False, error.message, error.mend)


def _kernel() -> str:
    launch.require_kernel()
    return f"{platform.release()} {platform.machine()}"


def _btf() -> str:
    found = offsets.offsets()
    return f"{offsets.BTF}, {len(found)} offsets found"


def _bcc() -> str:
    for python in launch.interpreters():
        asked = subprocess.run(
            [str(python), "-I", "-c", "import bcc; print(bcc.__version__)"],
            capture_output=True,
            text=True,
            timeout=BCC_TIMEOUT_S,
            check=False,
        )
        if asked.returncode == 0:
            return f"{asked.stdout.strip()} of {python}"
    raise HostError("no Python of the distribution has BCC", "apt-get install python3-bpfcc")


def _headers(config: Config) -> str:
    folders = headers.find(config.kernel_headers)
    return " + ".join(map(str, folders)) or "carried by the kernel (kheaders)"


def _ring_buffer() -> str:
    """Make one, and let go of it."""

    class MapCreate(ctypes.Structure):  # the beginning of union bpf_attr for BPF_MAP_CREATE
        _fields_ = (
            ("map_type", ctypes.c_uint32),
            ("key_size", ctypes.c_uint32),
            ("value_size", ctypes.c_uint32),
            ("max_entries", ctypes.c_uint32),
            ("rest", ctypes.c_uint8 * 56),
        )

    wanted = MapCreate(map_type=_MAP_TYPE_RINGBUF, max_entries=os.sysconf("SC_PAGESIZE"))
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(syscall.number(), _MAP_CREATE, ctypes.byref(wanted), ctypes.sizeof(wanted))
    if descriptor < 0:
        why = os.strerror(ctypes.get_errno())
        raise HostError(
            f"the kernel refuses one ({why})", "run as root; a container needs CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN"
        )
    os.close(descriptor)
    return "BPF_MAP_TYPE_RINGBUF"


def _state_directory(config: Config) -> str:
    ClockOffset.open(config.state_directory, hostfacts.boot_id(), SystemClock()).close()
    return str(config.state_directory)


def _pid_namespace() -> str:
    hostfacts.require_initial_pid_namespace()
    return "the host's"


def _holds(capability: int) -> bool:
    lines = Path("/proc/self/status").read_bytes().split(b"\n")
    status = dict(line.split(b":", 1) for line in lines if b":" in line)
    return bool(int(status[b"CapEff"], 16) >> capability & 1)


def _privileges() -> Finding:
    missing = [name for name, numbers in NEEDED_CAPABILITIES if not any(map(_holds, numbers))]
    if os.geteuid() != 0:
        return Finding("privileges", False, f"uid {os.geteuid()} is not root", "run it with sudo")
    if missing:
        return Finding(
            "privileges", False, "root without CAP_" + ", CAP_".join(missing), "add them to the container (cap_add)"
        )
    return Finding("privileges", True, "root for the loader; the agent drops everything")


def _mounted(folders: Sequence[str]) -> str | None:
    """Where tracefs is, as the loader looks for it; None also where only root may look."""
    return next((folder for folder in folders if os.path.isdir(f"{folder}/events")), None)


def _tracefs(folders: Sequence[str] = loader.TRACEFS) -> Finding:
    """Mounted, or to be mounted by the loader for itself alone; a container has to be given the host's."""
    folder = _mounted(folders)
    if folder is not None:
        return Finding("tracefs", True, folder)
    if os.geteuid() != 0:
        detail = "not known: only root sees whether it is mounted, and can mount it"
        return Finding("tracefs", False, detail, "run it with sudo", needed=False)
    if Path(folders[0]).is_dir() and _holds(SYS_ADMIN):
        return Finding("tracefs", True, "not mounted; the loader mounts it for itself")
    return Finding("tracefs", False, "not mounted", f"mount -t tracefs nodev {folders[0]}")


def _system_calls(folders: Sequence[str] = loader.TRACEFS) -> Finding:
    """Without their tracepoints a change of user, session, directory or namespace is told by a later record."""
    folder = _mounted(folders)
    if folder is None:
        detail = "not known: their tracepoints are looked for when tracefs is mounted"
        return Finding("system calls", False, detail, needed=False)
    missing = [name for name in loader.CHANGES if not Path(folder, "events/syscalls", name).is_dir()]
    if not missing:
        return Finding("system calls", True, f"{len(loader.CHANGES)} tracepoints", needed=False)
    detail = f"no tracepoint for {', '.join(missing)}: what these change is told with the next exec, fork or end"
    return Finding("system calls", False, detail, "a kernel with CONFIG_FTRACE_SYSCALLS=y has them", needed=False)


def _snapshot(release: str | None = None, folders: Sequence[str] = loader.TRACEFS) -> str:
    """How the agent, without privilege, asks for what runs: at the start, and again after a loss."""
    if not launch.needs_snapshot_call(release):
        return "the agent runs the program it holds"
    tracepoint, _ = loader.SNAPSHOT_CALL
    folder = _mounted(folders)
    if folder is not None and not Path(folder, "events/syscalls", tracepoint).is_dir():
        raise launch.no_snapshot_call(tracepoint)
    return "asked for by a system call, since kernels before 5.19 refuse bpf() to the unprivileged"


def _skipped_runs(release: str | None = None) -> Finding:
    """The kernel skips a program that would interrupt itself on one processor; rare, and a loss like any other."""
    version = launch.kernel_version(platform.release() if release is None else release)
    if version >= launch.COUNTS_SKIPPED:
        return Finding("skipped runs", True, "counted by the kernel, and told as losses", needed=False)
    detail = (
        f"kernels before {'.'.join(map(str, launch.COUNTS_SKIPPED))} skip a program now and then and do not count it"
    )
    return Finding("skipped runs", False, detail, "a later kernel tells of such losses", needed=False)
