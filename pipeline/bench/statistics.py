"""What BPF programs cost, from the kernel's own statistics: run time and run count of each loaded program.

The statistics are on for as long as one descriptor is held (BPF_ENABLE_STATS, Linux 5.8: the agent's own floor), so
nothing has to be put back, however this process ends. They add about 50 ns to each run of a program, included below.
Layouts: union bpf_attr and struct bpf_prog_info of include/uapi/linux/bpf.h, which only ever grow at their end.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from pipeline.bench.base import CannotRun

SYSCALL = {"x86_64": 321, "aarch64": 280}  # bpf(2)
PROG_GET_NEXT_ID, PROG_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD, ENABLE_STATS = 11, 13, 15, 32
STATS_RUN_TIME = 0
INFO_BYTES = 224  # as far as recursion_misses and a little beyond
NAME = struct.Struct("16s")
NAME_AT = 64
RUNS = struct.Struct("=QQ")
RUNS_AT = 192

_libc = ctypes.CDLL(None, use_errno=True)


class Runs(NamedTuple):
    """One program: how long it ran in all, and how often."""

    name: str
    time_ns: int
    runs: int


@contextmanager
def enabled() -> Iterator[None]:
    """Statistics are kept inside. Raises CannotRun where the kernel refuses."""
    fd = _bpf(ENABLE_STATS, bytearray(struct.pack("=II", STATS_RUN_TIME, 0)))
    try:
        yield
    finally:
        os.close(fd)


def programs() -> dict[int, Runs]:
    """Every program the kernel has now, by its id."""
    found: dict[int, Runs] = {}
    at = 0
    while True:
        attributes = bytearray(struct.pack("=III", at, 0, 0))
        try:
            _bpf(PROG_GET_NEXT_ID, attributes)
        except FileNotFoundError:
            return found
        (at,) = struct.unpack_from("=I", attributes, 4)
        try:
            found[at] = _runs(at)
        except FileNotFoundError:
            continue  # unloaded in between


def spent(before: dict[int, Runs], after: dict[int, Runs]) -> dict[str, Runs]:
    """What was done between two looks, by the programs' names; those of one name (15 bytes are kept) together."""
    did: dict[str, Runs] = {}
    for id_, now in after.items():
        if id_ in before and now.runs > before[id_].runs:
            _, time_ns, runs = did.get(now.name, Runs(now.name, 0, 0))
            did[now.name] = Runs(
                now.name, time_ns + now.time_ns - before[id_].time_ns, runs + now.runs - before[id_].runs
            )
    return did


def _runs(id_: int) -> Runs:
    fd = _bpf(PROG_GET_FD_BY_ID, bytearray(struct.pack("=III", id_, 0, 0)))
    try:
        info = ctypes.create_string_buffer(INFO_BYTES)
        _bpf(OBJ_GET_INFO_BY_FD, bytearray(struct.pack("=IIQ", fd, INFO_BYTES, ctypes.addressof(info))))
    finally:
        os.close(fd)
    (name,) = NAME.unpack_from(info, NAME_AT)
    return Runs(name.rstrip(b"\0").decode(), *RUNS.unpack_from(info, RUNS_AT))


def _bpf(command: int, attributes: bytearray) -> int:
    """bpf(2); ``attributes`` is written back. Raises FileNotFoundError for ENOENT, CannotRun for everything else."""
    number = SYSCALL.get(platform.machine())
    if number is None:
        raise CannotRun(f"bpf(2) has no number here for {platform.machine()}")
    buffer = (ctypes.c_char * len(attributes)).from_buffer(attributes)
    result = int(_libc.syscall(number, command, buffer, len(attributes)))
    if result >= 0:
        return result
    code = ctypes.get_errno()
    if code == errno.ENOENT:
        raise FileNotFoundError(code, os.strerror(code))
    raise CannotRun(f"the kernel refuses its statistics of BPF programs ({os.strerror(code)})")
