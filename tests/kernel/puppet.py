"""A process that does one thing at a time, when it is told to, so that a test can look at it in between."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pipeline.events import Credentials
from tests.kernel.programs import numbers, python

LOOP = """
import queue, struct
SYS_CLONE3 = 435
SYS_SETUID = 105 if os.uname().machine == "x86_64" else 146
asked, answered = queue.Queue(), queue.Queue()

def work():
    while True:
        answered.put(eval(asked.get()))

def start_thread():
    "Its tid, once it is there."
    threading.Thread(target=work, daemon=True).start()
    return on_thread("threading.get_native_id()")

def on_thread(text):
    asked.put(text)
    return answered.get()

def failed(result):
    "errno, 0: it did not fail."
    return ctypes.get_errno() if result < 0 else 0

def capset(effective, permitted, inheritable):
    sets = [value >> shift & 0xFFFFFFFF for shift in (0, 32) for value in (effective, permitted, inheritable)]
    header = struct.pack("Ii", 0x20080522, 0)
    return libc.capset(header, struct.pack("6I", *sets))

def clone3(flags=0, tids=(), cgroup=0, work="0"):
    "A child that does its work and then waits to be killed; it ends when its parent does."
    array = (ctypes.c_int * (len(tids) or 1))(*tids)
    made = libc.syscall(SYS_CLONE3, (ctypes.c_uint64 * 11)(
        flags, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(array) if tids else 0, len(tids), cgroup), 88)
    if made == 0:
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)
        eval(work)
        while True:
            signal.pause()
    return made if made > 0 else -ctypes.get_errno()

def end(child):
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[0]

for line in iter(sys.stdin.readline, ""):
    answer = eval(line)
    tell(*(answer if isinstance(answer, tuple) else (answer or 0,)))
"""


class Puppet:
    def __init__(self) -> None:
        self._child = python(LOOP, stdin=subprocess.PIPE)
        self.pid = self._child.pid
        self.ask("0")  # it is there: nothing of its start is told any more

    def order(self, expression: str) -> None:
        """Have it begin something that it does not come back from, as an exec."""
        assert self._child.stdin is not None
        self._child.stdin.write(expression + "\n")
        self._child.stdin.flush()

    def ask(self, expression: str) -> int:
        """What the expression gave, when it is done."""
        return self.ask_all(expression)[0]

    def ask_all(self, expression: str) -> list[int]:
        self.order(expression)
        answer = numbers(self._child)
        assert answer, f"it ended at {expression}"
        return answer


def status(pid: int | str) -> dict[str, str]:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def credentials(pid: int | str, securebits: int = 0) -> Credentials:
    """As /proc shows them, which knows no securebits."""
    shown = status(pid)
    uid, euid, suid, fsuid = map(int, shown["Uid"].split())
    gid, egid, sgid, fsgid = map(int, shown["Gid"].split())
    of_capabilities = (int(shown[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    groups = tuple(map(int, shown["Groups"].split()))
    user_ns = Path(f"/proc/{pid}/ns/user").stat().st_ino
    inheritable, permitted, effective, bounding, ambient = of_capabilities
    ids = (uid, gid, suid, sgid, euid, egid, fsuid, fsgid)
    return Credentials(*ids, securebits, user_ns, inheritable, permitted, effective, bounding, ambient, groups)
