"""bpf(2), for the two things the agent itself asks of it; BCC's bindings exist in the loader's interpreter alone."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import re

from pipeline.errors import HostError

_NUMBERS = {"x86_64": 321, "aarch64": 280}
_PROG_TEST_RUN = 10
SNAPSHOT_CALL = 0x6C696E65
"""First argument of the getpriority(2) that asks for a step of the snapshot: no kernel knows it."""
_libc = ctypes.CDLL(None, use_errno=True)


class _TestRun(ctypes.Structure):
    """The member ``test`` of union bpf_attr (include/uapi/linux/bpf.h)."""

    _fields_ = (
        ("prog_fd", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("data_in", ctypes.c_uint64),
        ("data_out", ctypes.c_uint64),
        ("repeat", ctypes.c_uint32),
        ("duration", ctypes.c_uint32),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_uint64),
        ("ctx_out", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
    )


def number() -> int:
    """Number of bpf(2). Raises ``HostError`` on a machine whose number is not known here."""
    try:
        return _NUMBERS[platform.machine()]
    except KeyError:
        raise HostError(f"no support for {platform.machine()}", "use an x86-64 or arm64 host") from None


class Program:
    """A held BPF program that can be run on demand: a raw tracepoint program of one argument."""

    def __init__(self, descriptor: int) -> None:
        self._argument = ctypes.c_uint64()
        self._attributes = _TestRun(prog_fd=descriptor, ctx_size_in=8, ctx_in=ctypes.addressof(self._argument))
        self._number = number()

    def run(self, argument: int) -> int:
        """Run it once with ``args[0]`` and return what it returns. Raises ``OSError`` when the kernel refuses."""
        self._argument.value = argument
        attributes = self._attributes
        if _libc.syscall(self._number, _PROG_TEST_RUN, ctypes.byref(attributes), ctypes.sizeof(attributes)) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return int(attributes.retval)


class CalledProgram:
    """The same on kernels before 5.19, where an unprivileged process may not ask bpf(2) for anything.

    The program listens to a system call that fails, from this process alone, and leaves its answer in a map.
    """

    def __init__(self, answers: int) -> None:
        self._map = mmap.mmap(answers, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ)
        self._words = memoryview(self._map).cast("Q")

    def run(self, argument: int) -> int:
        """As ``Program.run``. Raises ``OSError`` where nobody has answered."""
        count = self._words[1]
        _libc.getpriority(SNAPSHOT_CALL, argument)
        if self._words[1] == count:
            raise OSError(errno.ENOSYS, "the program that listens to it is gone")
        return self._words[0]

    def close(self) -> None:
        self._words.release()
        self._map.close()


def open_info(descriptor: int) -> int:
    """Descriptor of what the kernel says of a held program. Open it as root: 5.10 lets nobody else."""
    return os.open(f"/proc/self/fdinfo/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)


def skipped_runs(info: int) -> int:
    """How often the kernel skipped the program because it was running on that CPU already; looked up anew each time."""
    match = re.search(rb"^recursion_misses:\s*(\d+)", os.pread(info, 4096, 0), flags=re.MULTILINE)
    return int(match[1]) if match else 0
