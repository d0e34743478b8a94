"""What /proc says of other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.bench import processes

LEADER_ENDS = """
import ctypes, os, sys, threading
threading.Thread(target=sys.stdin.read).start()
ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)  # exit(2), of this thread alone
"""


def test_this_process_runs_below_its_parent() -> None:
    ours = processes.stat(os.getpid())
    assert ours.parent == os.getppid()
    assert not ours.ended
    assert processes.listed()[ours.key] == ours


def test_the_first_process_has_no_parent() -> None:
    assert processes.stat(1).parent == 0


def test_one_that_nobody_has_reaped_has_ended() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    seen = processes.stat(child.pid)
    assert seen.ended
    child.wait()
    with pytest.raises(processes.GONE):
        processes.stat(child.pid)


def test_one_whose_leader_has_ended_is_alive_as_long_as_a_thread_of_it() -> None:
    with subprocess.Popen([sys.executable, "-c", LEADER_ENDS], stdin=subprocess.PIPE) as child:
        _wait_until_zombie(child.pid)
        assert not processes.stat(child.pid).ended


def _wait_until_zombie(pid: int) -> None:
    deadline_s = time.monotonic() + 30
    while "State:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_ancestors_go_up_to_the_first_process() -> None:
    above = processes.ancestors_of(os.getpid())
    assert above[0] == os.getppid()
    assert above[-1] == 1
    assert processes.ancestors_of(1) == []


def test_a_name_may_hold_anything(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    folder.mkdir()
    fields = " ".join(str(number) for number in range(100, 150))
    (folder / "stat").write_text(f"7 (a) R 1 (b)) S 3 {fields}\n")
    assert processes.stat(7, tmp_path) == processes.Stat(processes.Key(7, 117), 3, False)
    assert processes.listed(tmp_path).keys() == {processes.Key(7, 117)}


def test_cpu_time_is_told_of_any_process_its_ended_threads_included() -> None:
    script = """
import threading, time
def work():
    while time.thread_time() < 0.05: pass
thread = threading.Thread(target=work)
thread.start(); thread.join()
print(time.process_time(), flush=True)
input()
"""
    arguments = [sys.executable, "-c", script]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        told_s = float(child.stdout.readline())
        assert processes.cpu_s(child.pid) >= told_s > 0.05
        child.communicate("\n")
    with pytest.raises(OSError, match="Invalid"):
        processes.cpu_s(child.pid)
