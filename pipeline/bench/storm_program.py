"""Makes load: forks and execs, and nothing else. A program of its own: standard library only, started with -I -S.

One command a line on standard input, one JSON line as the answer; it ends with its input, and all it started with it.

    storm N      N times posix_spawn of true(1), each waited for   {"wall_s": ..., "cpu_s": ...}, its own and theirs
    hold N       N sleeping processes, until the end               {"held": N}
    mark [WORD]  posix_spawn of true(1) WORD, waited for           {"pid": ..., "at_s": ...}, time.monotonic before it

posix_spawn is vfork inside, so that the size of this process does not matter.
"""

import json
import os
import resource
import shutil
import signal
import sys
import time

COUNT_MAX = 1_000_000
SLEEP_S = "3600"


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"there is no {name} on this host")
    return found


def cpu_s() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def spawn(path: str, *arguments: str) -> int:
    return os.posix_spawn(path, [path, *arguments], {})


def storm(count: int) -> dict[str, float]:
    true = program("true")
    cpu, wall = cpu_s(), time.perf_counter()
    for _ in range(count):
        os.waitpid(spawn(true), 0)
    return {"wall_s": time.perf_counter() - wall, "cpu_s": cpu_s() - cpu}


def mark(*word: str) -> dict[str, float]:
    true = program("true")
    at = time.monotonic()
    pid = spawn(true, *word)
    os.waitpid(pid, 0)
    return {"pid": pid, "at_s": at}


def count_of(arguments: list[str]) -> int:
    return min(int(arguments[0]), COUNT_MAX)


def main() -> None:
    held: list[int] = []
    try:
        for line in sys.stdin:
            word, *arguments = line.split()
            if word == "storm":
                answer = storm(count_of(arguments))
            elif word == "hold":
                held += [spawn(program("sleep"), SLEEP_S) for _ in range(count_of(arguments))]
                answer = {"held": len(held)}
            elif word == "mark":
                answer = mark(*arguments)
            else:
                raise SystemExit(f"no such command: {word}")
            print(json.dumps(answer), flush=True)  # noqa: T201 - its one way to answer
    finally:
        for pid in held:
            os.kill(pid, signal.SIGKILL)
        for pid in held:
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
