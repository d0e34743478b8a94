"""The only part that keeps root while it works, and it works for seconds: compile, attach, hand over, end.

    python3 -I loader.py FD

Rules of this file:
- it runs under the distribution's interpreter, where BCC is, and imports the standard library and bcc, nothing else;
- it opens no file and no network: C source, macros and the kernel headers' folder come in one message over FD, a
  socket pair, and one message goes back: {"names": [...], "missing": [...]} with as many descriptors as names, or
  {"error": kind, "detail": text};
- changes and exits are watched before execs, and execs before forks: a process whose birth is told has all else told;
- tracepoints of system calls are found by tracefs. Where the host has not mounted it, it is mounted in a namespace of
  this process alone; a kernel without such tracepoints is named in "missing", not refused, but for the one that the
  snapshot is asked for by;
- what the agent shall read and never write is frozen before it is handed over.
"""

import ctypes
import json
import os
import socket
import sys
from typing import Any

REQUEST_BYTES_MAX = 1 << 20
CHANGES = {  # tracepoint of the category syscalls -> program
    **dict.fromkeys(
        (
            *("sys_exit_setuid", "sys_exit_setgid", "sys_exit_setreuid", "sys_exit_setregid", "sys_exit_setresuid"),
            *("sys_exit_setresgid", "sys_exit_setfsuid", "sys_exit_setfsgid", "sys_exit_setgroups", "sys_exit_capset"),
        ),
        "on_credentials",
    ),
    "sys_enter_prctl": "on_prctl_begin",
    "sys_exit_prctl": "on_prctl_end",
    "sys_exit_setsid": "on_setsid",
    "sys_enter_setpgid": "on_setpgid_begin",
    "sys_exit_setpgid": "on_setpgid_end",
    "sys_exit_setns": "on_setns",
    "sys_exit_unshare": "on_unshare",
    **dict.fromkeys(("sys_exit_chdir", "sys_exit_fchdir", "sys_exit_chroot", "sys_exit_pivot_root"), "on_directory"),
}
SNAPSHOT_CALL = ("sys_enter_getpriority", "on_snapshot_call")  # asked for by agents on kernels before 5.19
TRACEPOINTS = (  # raw ones, in the order of attaching
    ("task_rename", "on_rename"),
    ("cgroup_attach_task", "on_cgroup"),
    ("sched_process_exit", "on_exit"),
    ("sched_process_exec", "on_exec"),
    ("sched_process_fork", "on_fork"),
)
TRACEFS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
BPF_MAP_FREEZE = 22
BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}
libc = ctypes.CDLL(None, use_errno=True)


class LoadError(Exception):
    def __init__(self, kind: str, detail: object) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = str(detail)


def freeze(descriptor: int) -> None:
    """No process can write to the map any more, by system call or by mmap; programs still do."""
    attributes = ctypes.create_string_buffer(descriptor.to_bytes(4, sys.byteorder), 128)
    if libc.syscall(BPF_SYSCALL[os.uname().machine], BPF_MAP_FREEZE, attributes, len(attributes)) != 0:
        raise LoadError("load", "cannot freeze a map: " + os.strerror(ctypes.get_errno()))


def see_tracefs() -> None:
    """Mount it where nobody has, for this process alone."""
    if any(os.path.isdir(folder + "/events") for folder in TRACEFS):
        return
    done = libc.unshare(CLONE_NEWNS) == 0
    done = done and libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0
    done = done and libc.mount(b"nodev", TRACEFS[0].encode(), b"tracefs", 0, None) == 0
    if not done:
        raise LoadError("tracefs", os.strerror(ctypes.get_errno()))


def wanted_calls(request: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Tracepoints of system calls and their programs, and those of them that this kernel does not have."""
    calls = dict([SNAPSHOT_CALL] if request["snapshot_call"] else [], **CHANGES)
    folder = next(folder for folder in TRACEFS if os.path.isdir(folder + "/events"))
    missing = [name for name in calls if not os.path.isdir(f"{folder}/events/syscalls/{name}")]
    if SNAPSHOT_CALL[0] in missing:
        raise LoadError("snapshot", SNAPSHOT_CALL[0])
    return {name: program for name, program in calls.items() if name not in missing}, missing


def load(request: dict[str, Any]) -> tuple[dict[str, int], list[str], object]:
    """Descriptors by name, tracepoints that are missing, and the module: its descriptors close when it goes."""
    if request["headers"]:
        os.environ["BCC_KERNEL_SOURCE"] = request["headers"]
    try:
        import bcc
    except ImportError as error:
        raise LoadError("bcc", error) from error
    flags = [f"-DLINEAGE_{name}={value}" for name, value in sorted(request["defines"].items())]
    try:
        module = bcc.BPF(text=request["source"], cflags=["-Wno-macro-redefined", *flags])
    except Exception as error:  # BCC raises nothing more exact
        raise LoadError("compile", error) from error
    see_tracefs()
    calls, missing = wanted_calls(request)
    handed = {}
    try:
        for function in dict.fromkeys(calls.values()):
            handed[function] = module.load_func(function, bcc.BPF.TRACEPOINT).fd
        for _, function in TRACEPOINTS:
            handed[function] = module.load_func(function, bcc.BPF.RAW_TRACEPOINT).fd
        handed["snapshot"] = module.load_func("on_snapshot", bcc.BPF.RAW_TRACEPOINT).fd
        handed["ring"] = module["ring"].map_fd
        for name in ("lost", "answers"):
            handed[name] = module[name].map_fd
            freeze(handed[name])
    except Exception as error:
        raise LoadError("load", error) from error
    try:
        for tracepoint, function in calls.items():
            full_name = b"syscalls:" + tracepoint.encode()
            module.attach_tracepoint(tp=full_name, fn_name=function.encode())
            handed["call:" + tracepoint] = module.tracepoint_fds[full_name]
        for tracepoint, function in TRACEPOINTS:
            module.attach_raw_tracepoint(tracepoint.encode(), function.encode())
            handed["link:" + tracepoint] = module.raw_tracepoint_fds[tracepoint.encode()]
    except Exception as error:
        raise LoadError("attach", error) from error
    return handed, missing, module


def main() -> int:
    link = socket.socket(fileno=int(sys.argv[1]))
    request = json.loads(link.recv(REQUEST_BYTES_MAX))
    try:
        handed, missing, _module = load(request)
    except LoadError as failure:
        link.send(json.dumps({"error": failure.kind, "detail": failure.detail}).encode())
        return 1
    answer = {"names": list(handed), "missing": missing}
    socket.send_fds(link, [json.dumps(answer).encode()], list(handed.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
