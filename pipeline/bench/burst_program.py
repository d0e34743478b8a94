"""Makes a storm of execs, many of them below parents that end at once, and knows who gave birth to whom.

One command a line on standard input, one JSON line as the answer; it ends with its input, and all it started with it.
Standard library only, started with -I -S, so that a fork of it has little to copy.

    burst WORD FIRST COUNT    COUNT execs of true(1) one after the other, with WORDn as the argument, n from FIRST on

A third of them have a parent of their own: a fork of this process that calls posix_spawn and ends at once, while its
child is still on its way into exec. The others are children of this process. It is a subreaper, so that the orphans
come to it, and nothing is left over. Now and then a child and an orphan are started beside them that sleep until the
end. The answer has the truth about each of the COUNT, in their order: who gave birth to it, and between which two
moments that process was born itself, since a pid may be used many times in one storm.

    {"wall_s": ..., "sleeping": ..., "births": [[PARENT, NOT_BEFORE_NS, NOT_AFTER_NS], ...]}       ns since boot
"""

import ctypes
import json
import os
import shutil
import signal
import sys
import time

COUNT_MAX = 1_000_000
ORPHAN_EVERY = 3
SLEEPING_EVERY = 500
SLEEP_S = "3600"
PR_SET_CHILD_SUBREAPER = 36
TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")

Birth = tuple[int, int, int]


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"there is no {name} on this host")
    return found


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def ourselves() -> Birth:
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as stat:
        start = int(stat.read().rpartition(")")[2].split()[19]) * TICK_NS  # starttime, proc(5)
    return os.getpid(), start, start + TICK_NS - 1


def spawn(path: str, argument: str) -> int:
    return os.posix_spawn(path, [path, argument], {})


def orphan(path: str, argument: str) -> Birth:
    """Start it below a parent that ends at once; who that was."""
    before_ns = now_ns()
    parent = os.fork()
    if not parent:
        try:
            spawn(path, argument)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(parent, 0)
    if status:
        raise SystemExit("a process could not be started by a fork of ours")
    return parent, before_ns, now_ns()


def burst(word: str, first: int, count: int) -> dict[str, object]:
    true, sleep, us = program("true"), program("sleep"), ourselves()
    births: list[Birth] = []
    sleeping = 0
    began = time.perf_counter()
    for number in range(first, first + count):
        if number % ORPHAN_EVERY:
            os.waitpid(spawn(true, f"{word}{number}"), 0)
            births.append(us)
        else:
            births.append(orphan(true, f"{word}{number}"))
            os.wait()  # the orphan, ours by now; those that sleep do not end
        if number % SLEEPING_EVERY == 0:
            spawn(sleep, SLEEP_S)
            orphan(sleep, SLEEP_S)
            sleeping += 2
    return {"wall_s": time.perf_counter() - began, "sleeping": sleeping, "births": births}


def end_all() -> None:
    """Children and adopted ones alike."""
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as children:
        ours = [int(pid) for pid in children.read().split()]
    for pid in ours:
        os.kill(pid, signal.SIGKILL)
    for pid in ours:
        os.waitpid(pid, 0)


def main() -> None:
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise SystemExit("the kernel refuses to make this process a subreaper")
    try:
        for line in sys.stdin:
            command, *arguments = line.split()
            if command != "burst":
                raise SystemExit(f"no such command: {command}")
            word, first, count = arguments[0], int(arguments[1]), min(int(arguments[2]), COUNT_MAX)
            print(json.dumps(burst(word, first, count)), flush=True)  # noqa: T201 - its one way to answer
    finally:
        end_all()


if __name__ == "__main__":
    main()
