"""Starts the loader, and takes what it hands over. Every way it can fail is a HostError with the mend.

Rules of this file:
- the loader gets everything in one message and an environment of its own, so that nothing of ours reaches root's work;
- a compiler's or verifier's log is a note on the error: shown with --debug, never in the one line.
"""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import HostError
from pipeline.resources import folder
from pipeline.sources.ebpf import headers

UNPRIVILEGED_BPF = (5, 19)  # since then a held program may be run without privilege, whatever the sysctl says
COUNTS_SKIPPED = (5, 12)  # recursion_misses of a program
KERNEL_FLOOR = (5, 10)  # BPF_PROG_TEST_RUN of raw tracepoints; ring buffer and CLOCK_BOOTTIME came with 5.8
LOADER = Path(__file__).with_name("loader.py")
LOADER_TIMEOUT_S = 300.0  # a second on a machine, twenty under emulation, a minute and more on a busy one
_ANSWER_BYTES_MAX = 1 << 16
_DESCRIPTORS_MAX = 128
_LOG_BYTES_MAX = 1 << 16
_SOURCES = ("process.bpf.c", "change.bpf.c", "snapshot.bpf.c")
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class Handover(NamedTuple):
    """Descriptors. Closing the links takes the probes off; those of system calls take their time (see probes off)."""

    ring: int
    lost: int
    snapshot: int
    answers: int  # of the snapshot, where it is asked for by a system call
    programs: dict[str, int]  # on_fork, on_exec, on_exit ...
    links: tuple[int, ...]
    calls: tuple[int, ...]  # perf events, one for each tracepoint of a system call
    missing: tuple[str, ...]  # tracepoints of system calls that this kernel does not have
    began_ns: int = 0  # since boot: before the first probe was on


def interpreters(root: Path = Path("/usr/bin")) -> list[Path]:
    """The distribution's interpreters, its default first; BCC belongs to one of them."""
    found = [
        root / "python3",
        *sorted(path for path in root.glob("python3.*") if re.fullmatch(r"python3\.\d+", path.name)),
    ]
    return [path for path in found if path.exists()]


def require_root() -> None:
    if os.geteuid() != 0:
        raise HostError("tracing needs root", "start it with sudo; it gives its privileges up once the probes are on")


def require_kernel(release: str | None = None) -> None:
    """Raise ``HostError`` on a kernel that is too old."""
    release = platform.release() if release is None else release
    if kernel_version(release) < KERNEL_FLOOR:
        needed = ".".join(map(str, KERNEL_FLOOR))
        raise HostError(f"kernel {release} is too old", f"needs {needed} or later")


def kernel_version(release: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def needs_snapshot_call(release: str | None = None) -> bool:
    """Whether an unprivileged process is refused any bpf(2), so that it asks for the snapshot by another way."""
    return kernel_version(platform.release() if release is None else release) < UNPRIVILEGED_BPF


def source(directory: Path | None = None) -> str:
    """The BPF programs as one text, the files they include written out in place."""
    directory = folder("bpf") if directory is None else directory
    seen: set[str] = set()

    def expanded(name: str) -> str:
        if name in seen:
            return ""
        seen.add(name)
        text = (directory / name).read_text(encoding="utf-8")
        return re.sub(r'^#include "([^"]+)"$', lambda match: expanded(match[1]), text, flags=re.MULTILINE)

    return "".join(map(expanded, _SOURCES))


def start(
    defines: dict[str, str | int],
    *,
    kernel_headers: Path | None = None,
    pythons: Sequence[Path] | None = None,
    text: str | None = None,
    debug: bool = False,
) -> Handover:
    """Compile, attach, and return the descriptors. ``defines`` are macros without their LINEAGE_ prefix.

    ``text`` takes the place of the programs in bpf/. With ``debug`` an error carries the compiler's and verifier's log.
    """
    require_root()
    require_kernel()
    found = headers.find(kernel_headers)
    pythons = interpreters() if pythons is None else pythons
    if not pythons:
        raise HostError("no /usr/bin/python3 found", "apt-get install python3 python3-bpfcc")
    with tempfile.TemporaryDirectory(prefix="lineage-headers-", dir=_memory()) as tree:
        if found:
            headers.link_tree(found, Path(tree))
        request = {
            "source": source() if text is None else text,
            "defines": defines,
            "headers": tree if found else None,
            "snapshot_call": needs_snapshot_call(),
        }
        failure = None
        for python in pythons:
            began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            answer, descriptors, log = _run(python, request)
            if "names" in answer:
                return _handover(answer, descriptors, began_ns)
            failure = _translated(answer, log)
            if debug and log.strip():
                failure.add_note(log.rstrip())
            if answer["error"] != "bcc":
                break
    assert failure is not None
    raise failure


def _memory(folder: Path = Path("/dev/shm")) -> Path | None:  # noqa: S108 - a folder of our own is made in it
    """Where a hundred links are made and removed in no time; None: wherever temporary files go.

    They are removed between the probes and the snapshot, and on a disk that took 0.2 s: what ends in that time takes
    its children's lineage with it.
    """
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _run(python: Path, request: dict[str, Any]) -> tuple[dict[str, Any], list[int], str]:
    """The loader's answer, its descriptors, and what BCC wrote meanwhile."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, tempfile.TemporaryFile() as log:
        with theirs:
            child = subprocess.Popen(
                [str(python), "-I", str(LOADER), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            ours.settimeout(LOADER_TIMEOUT_S)
            ours.send(json.dumps(request).encode())
            raw, descriptors, _, _ = socket.recv_fds(ours, _ANSWER_BYTES_MAX, _DESCRIPTORS_MAX)
        except TimeoutError:
            child.kill()
            raw, descriptors = json.dumps({"error": "timeout", "detail": ""}).encode(), []
        except (BrokenPipeError, ConnectionResetError):
            raw, descriptors = b"", []
        child.wait()
        log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_BYTES_MAX))  # what a verifier objects to comes last
        text = log.read(_LOG_BYTES_MAX).decode("utf-8", "replace")
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    answer = json.loads(raw) if raw else {"error": "died", "detail": f"exit status {child.returncode}"}
    return answer, descriptors, text


def _handover(answer: dict[str, Any], descriptors: list[int], began_ns: int) -> Handover:
    held = dict(zip(answer["names"], descriptors, strict=True))

    def those(prefix: str) -> dict[str, int]:
        return {name: descriptor for name, descriptor in held.items() if name.startswith(prefix)}

    return Handover(
        ring=held["ring"],
        lost=held["lost"],
        snapshot=held["snapshot"],
        answers=held["answers"],
        programs=those("on_"),
        links=tuple(those("link:").values()),
        calls=tuple(those("call:").values()),
        missing=tuple(answer["missing"]),
        began_ns=began_ns,
    )


def lockdown(path: Path = Path("/sys/kernel/security/lockdown")) -> str:
    """The kernel's lockdown mode (none, integrity, confidentiality); empty where it has none."""
    try:
        match = re.search(r"\[(\w+)\]", path.read_text())
    except OSError:
        return ""
    return match[1] if match else ""


def _refused(detail: str) -> HostError:
    if lockdown() == "confidentiality":
        return HostError("the kernel is locked down and refuses BPF", "boot without lockdown=confidentiality")
    mend = "in a container, add the capabilities BPF, PERFMON and SYS_RESOURCE, or SYS_ADMIN"
    return HostError(f"the kernel refuses BPF ({detail})", mend)


def no_snapshot_call(tracepoint: str) -> HostError:
    """Kernels before 5.19 that have no tracepoint of the one system call that asks for what runs."""
    detail = f"no tracepoint {tracepoint}, which kernels before 5.19 need to be asked for what runs already"
    return HostError(detail, "a kernel with CONFIG_FTRACE_SYSCALLS=y has it; 5.19 and later need none")


def _translated(answer: dict[str, Any], log: str) -> HostError:
    kind, detail = answer["error"], " ".join(str(answer["detail"]).split())
    if kind == "bcc":
        error = HostError("the distribution's Python has no BCC", "apt-get install python3-bpfcc")
    elif kind == "tracefs":
        mend = "mount -t tracefs nodev /sys/kernel/tracing; in a container, mount the host's /sys/kernel/tracing"
        error = HostError(f"tracefs is not mounted, and cannot be ({detail})", mend)
    elif kind == "snapshot":
        error = no_snapshot_call(detail)
    elif kind == "timeout":
        error = HostError(f"the loader did not answer within {LOADER_TIMEOUT_S:.0f} s", "try again; --debug shows more")
    elif kind == "died":
        error = HostError(f"the loader ended without an answer ({detail})", "is memory short? --debug shows more")
    elif "Operation not permitted" in detail or ("bpf map" in log and "Operation not permitted" in log):
        # BCC makes the maps while it compiles, and says why it could not in its log alone.
        error = _refused(detail)
    elif kind == "compile":
        mend = "apt-get install --reinstall linux-headers-amd64, or name others with kernel_headers; --debug shows more"
        error = HostError(f"the BPF programs do not compile with these kernel headers ({detail})", mend)
    else:
        mend = "this kernel is not like those it was tested on; --debug shows the verifier's log: please report it"
        error = HostError(f"the kernel does not take the BPF programs ({detail})", mend)
    return error
