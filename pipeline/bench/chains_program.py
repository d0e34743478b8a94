"""Makes chains of three processes whose every ancestor is gone before the last exec. Standard library only.

    first -> second -> third      three names for sh(1), links in a folder of our own

``first`` starts ``second`` in the background and ends at once; ``second`` does the same with a child that waits, and
ends; only when both have been reaped is that child let go, and execs ``third``. This process is a subreaper, so that
the orphans come to it, their ends are known exactly and none is left over. One JSON line a chain, with what is true:

    {"first": PID, "second": PID, "third": PID}

    chains_program.py FOLDER COUNT
"""

import ctypes
import json
import os
import shutil
import sys
from pathlib import Path

NAMES = ("first", "second", "third")
COUNT_MAX = 100_000
PR_SET_CHILD_SUBREAPER = 36
GATE = 3  # descriptor that the last process waits on
FIRST = '"$FOLDER/second" -c "$SECOND" &'
SECOND = '{ read _ <&3; exec "$FOLDER/third" -c :; } &'


def chain(folder: Path) -> dict[str, int]:
    ours, gate = os.pipe()
    environment = {"FOLDER": str(folder), "SECOND": SECOND}
    actions = [(os.POSIX_SPAWN_DUP2, ours, GATE)] if ours != GATE else []
    os.set_inheritable(ours, True)
    first = os.posix_spawn(folder / NAMES[0], [NAMES[0], "-c", FIRST], environment, file_actions=actions)
    os.close(ours)
    gone: list[int] = []
    while len(gone) < 2:
        gone.append(os.wait()[0])
    os.close(gate)  # now the last one reads the end of the pipe, and execs
    third = os.wait()[0]
    gone.remove(first)
    return {"first": first, "second": gone[0], "third": third}


def main() -> None:
    folder, count = Path(sys.argv[1]), min(int(sys.argv[2]), COUNT_MAX)
    shell = shutil.which("sh")
    if shell is None:
        raise SystemExit("there is no sh on this host")
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise SystemExit("the kernel refuses to make this process a subreaper")
    for name in NAMES:
        (folder / name).symlink_to(shell)
    for _ in range(count):
        print(json.dumps(chain(folder)), flush=True)  # noqa: T201 - its one way to tell


if __name__ == "__main__":
    main()
