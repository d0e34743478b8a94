"""Small families of processes that lose members, and the question whether the tree says of them what /proc says."""

from __future__ import annotations

import subprocess

from pipeline.process import ProcessVersion
from tests.kernel.programs import parent_now, python
from tests.kernel.watch import Watch

# Each of these grows a small family, tells its pids, and does the next thing at each line that it reads.
FAMILY = """
PR_SET_CHILD_SUBREAPER = 36
def next():
    os.read(0, 1)
def subreaper(on=1):
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, on, 0, 0, 0) == 0
def child(work):
    made = os.fork()
    if made == 0:
        try:
            work()
        finally:
            os._exit(0)
    return made
def wait_for(made):
    while os.waitpid(-1, 0)[0] != made:
        pass
def stay():
    time.sleep(60)
def end(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
"""


def family(script: str) -> subprocess.Popen[str]:
    return python(FAMILY + script, stdin=subprocess.PIPE)


def is_right(watch: Watch, pid: int, birth_pid: int) -> ProcessVersion:
    """The tree says of a living process what /proc says; who gave birth to it has not changed."""
    process = watch.now(pid)
    now = parent_now(pid)
    assert process.exit_status is None
    assert process.parent is not None
    assert process.parent.pid == birth_pid
    if now == birth_pid:
        assert process.reaper is None
    else:
        assert process.reaper is not None
        assert process.reaper.pid == now
        assert process.reaper.entity_id == watch.now(now).entity_id
    return process


def left(watch: Watch, orphan: int, gone: tuple[int, ...]) -> None:
    """Wait until the kernel has given it to somebody else."""
    watch.until(lambda: parent_now(orphan) not in gone)
