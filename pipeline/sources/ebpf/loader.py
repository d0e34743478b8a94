"""The only part that keeps root while it works, and it works for seconds: compile, attach, hand over, end.

    python3 -I loader.py FD

Rules of this file:
- it runs under the distribution's interpreter, where BCC is, and imports the standard library and bcc, nothing else;
- it opens no file and no network: C source, offsets and the kernel headers' folder come in one message over FD, a
  socket pair, and one message goes back: {"names": [...]} with as many descriptors, or {"error": kind, "detail": text};
- exits are watched before execs, and execs before forks: a process whose birth is told has its end told as well;
- what the agent shall read and never write is frozen before it is handed over.
"""

import ctypes
import json
import os
import socket
import sys
from typing import Any

REQUEST_BYTES_MAX = 1 << 20
TRACEPOINTS = (  # in the order of attaching
    ("sched_process_exit", "on_exit"),
    ("sched_process_exec", "on_exec"),
    ("sched_process_fork", "on_fork"),
)
BPF_MAP_FREEZE = 22
BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}


class LoadError(Exception):
    def __init__(self, kind: str, detail: object) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = str(detail)


def freeze(descriptor: int) -> None:
    """No process can write to the map any more, by system call or by mmap; programs still do."""
    attributes = ctypes.create_string_buffer(descriptor.to_bytes(4, sys.byteorder), 128)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(BPF_SYSCALL[os.uname().machine], BPF_MAP_FREEZE, attributes, len(attributes)) != 0:
        raise LoadError("load", "cannot freeze a map: " + os.strerror(ctypes.get_errno()))


def load(request: dict[str, Any]) -> tuple[list[str], list[int], object]:
    """Names and descriptors in one order, and the module: its descriptors close when it goes."""
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
    handed = {}
    try:
        for _, function in TRACEPOINTS:
            handed[function] = module.load_func(function, bcc.BPF.RAW_TRACEPOINT).fd
        handed["snapshot"] = module.load_func("on_snapshot", bcc.BPF.RAW_TRACEPOINT).fd
        handed["ring"] = module["ring"].map_fd
        handed["lost"] = module["lost"].map_fd
        freeze(handed["lost"])
    except Exception as error:
        raise LoadError("load", error) from error
    try:
        for tracepoint, function in TRACEPOINTS:
            module.attach_raw_tracepoint(tracepoint.encode(), function.encode())
            handed["link:" + tracepoint] = module.raw_tracepoint_fds[tracepoint.encode()]
    except Exception as error:
        raise LoadError("attach", error) from error
    return list(handed), list(handed.values()), module


def main() -> int:
    link = socket.socket(fileno=int(sys.argv[1]))
    request = json.loads(link.recv(REQUEST_BYTES_MAX))
    try:
        names, descriptors, _module = load(request)
    except LoadError as failure:
        link.send(json.dumps({"error": failure.kind, "detail": failure.detail}).encode())
        return 1
    socket.send_fds(link, [json.dumps({"names": names}).encode()], descriptors)
    return 0


if __name__ == "__main__":
    sys.exit(main())
