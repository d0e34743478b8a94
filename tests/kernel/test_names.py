"""comm: what prctl and a write to /proc change, and what nobody is told of twice."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from pipeline.events import Exec, Fork, Rename, ThreadStart
from tests.kernel.grown import Grown
from tests.kernel.puppet import Puppet
from tests.kernel.tracer import Tracer

pytestmark = pytest.mark.kernel


def _comm(pid: int, tid: int | None = None) -> str:
    return Path(f"/proc/{pid}/task/{tid or pid}/comm").read_text().rstrip("\n")


def test_a_process_that_renames_itself_keeps_its_name_and_has_another_comm(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    grown.news(puppet.pid)
    before = grown.of(puppet.pid)
    assert puppet.ask("libc.prctl(15, b'[kworker/0:1] long', 0, 0, 0)") == 0
    (event,) = grown.news(puppet.pid)
    assert isinstance(event, Rename)
    assert (event.tid, event.comm) == (puppet.pid, "[kworker/0:1] l")  # 15 bytes, as the kernel keeps them
    assert (event.start_ns, event.thread_start_ns) == (before.start_ns, before.start_ns)
    after = grown.of(puppet.pid)
    assert after.thread_name == event.comm == _comm(puppet.pid)
    assert after.image == before.image
    child = puppet.ask("clone3()")
    assert (grown.of(child).image.name, grown.of(child).thread_name) == (before.image.name, event.comm)
    puppet.ask(f"end({child})")


def test_a_shorter_name_leaves_nothing_of_the_longer_one(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    grown.news(puppet.pid)
    puppet.ask(
        "libc.prctl(15, b'a-longer-name', 0, 0, 0), libc.prctl(15, b'sh', 0, 0, 0), libc.prctl(15, b'', 0, 0, 0)"
    )
    told = grown.news(puppet.pid)
    assert [event.comm for event in told if isinstance(event, Rename)] == ["a-longer-name", "sh", ""]
    assert len(told) == 3
    assert grown.of(puppet.pid).thread_name == ""


@pytest.mark.parametrize("by", ["prctl", "write"])
def test_a_thread_is_renamed_and_its_process_is_not(tracer: Tracer, by: str) -> None:
    """By itself, or by another thread that writes its comm: the record is of whom it happens to."""
    puppet = Puppet()
    grown = Grown(tracer)
    tid = puppet.ask("start_thread()")
    started = grown.news(puppet.pid)[-1]
    assert isinstance(started, ThreadStart)
    before = grown.of(puppet.pid)
    if by == "prctl":
        puppet.ask("on_thread('libc.prctl(15, b\"worker\", 0, 0, 0)')")
    else:
        puppet.ask(f"open('/proc/{puppet.pid}/task/{tid}/comm', 'w').write('worker') and 0")
    (event,) = grown.news(puppet.pid)
    assert isinstance(event, Rename)
    assert (event.tid, event.thread_start_ns, event.comm) == (tid, started.thread_start_ns, "worker")
    thread = grown.tree.thread(tid, started.thread_start_ns)
    assert thread is not None
    assert thread.name == "worker" == _comm(puppet.pid, tid)
    assert grown.of(puppet.pid) == before


def test_an_exec_is_told_once_and_gives_no_rename(tracer: Tracer) -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait(30)
    executed = tracer.one(Exec, child.pid)
    assert executed.task.comm == "true"
    assert tracer.one(Fork, child.pid).task.comm != "true"
    assert not tracer.all(Rename, child.pid)


def test_nobody_renames_another_process(tracer: Tracer) -> None:
    """The kernel takes a write to comm from the process's own threads alone (comm_write in fs/proc/base.c)."""
    puppet, other = Puppet(), Puppet()
    grown = Grown(tracer)
    grown.news(puppet.pid)
    tried = f"libc.write(os.open('/proc/{puppet.pid}/comm', os.O_WRONLY), b'forged', 6)"
    assert other.ask(f"failed({tried})") == errno.EINVAL
    assert not grown.news(puppet.pid)
