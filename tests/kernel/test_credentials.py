"""Users, groups, capabilities and securebits: one record for each change, with the state as /proc shows it."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.events import CredentialChange, Credentials, Event, Exec, Exit, Fork, ThreadStart
from pipeline.tree.changes import facts
from tests.kernel.grown import Grown
from tests.kernel.not_here import needs
from tests.kernel.puppet import Puppet, credentials
from tests.kernel.tracer import Tracer

pytestmark = pytest.mark.kernel

KEEP_CAPS = 1 << 4
NO_ROOT = 1 << 0
CHOWN = 1 << 0
NET_RAW = 13


def _told(event: Event) -> Credentials:
    assert isinstance(event, CredentialChange)
    assert not event.cut
    return facts.credentials(event.task, event.groups)


CHANGES = [
    "libc.setuid(1001)",
    "libc.setgid(1002)",
    "libc.setreuid(1001, 1002)",
    "libc.setregid(1001, 1002)",
    "libc.setresuid(1001, 1002, 0)",
    "libc.setresgid(1001, 1002, 1003)",
    "os.setgroups([4, 24, 1001])",
    "os.setgroups([])",
    f"capset({CHOWN}, {CHOWN}, 0)",
    f"libc.prctl(24, {NET_RAW}, 0, 0, 0)",
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_one_record_with_the_state_that_proc_shows(tracer: Tracer, change: str) -> None:
    puppet = Puppet()
    puppet.ask("os.setgroups([5])")
    grown = Grown(tracer)
    before = credentials(puppet.pid)
    grown.news(puppet.pid)
    assert puppet.ask(change) == 0
    (event,) = grown.news(puppet.pid)
    after = credentials(puppet.pid)
    assert before != after == _told(event) == grown.of(puppet.pid).credentials


@pytest.mark.parametrize(("change", "field"), [("setfsuid", "fsuid"), ("setfsgid", "fsgid")])
def test_ids_for_files_alone_are_told_too(tracer: Tracer, change: str, field: str) -> None:
    """They return the id before, in success and in failure: a call that changed nothing is told as well."""
    puppet = Puppet()
    grown = Grown(tracer)
    grown.news(puppet.pid)
    assert puppet.ask(f"libc.{change}(1001)") == 0
    (event,) = grown.news(puppet.pid)
    told = _told(event)
    assert getattr(told, field) == 1001
    assert told == credentials(puppet.pid) == grown.of(puppet.pid).credentials
    assert puppet.ask(f"libc.{change}(-1)") == 1001
    (event,) = grown.news(puppet.pid)
    assert _told(event) == told


def test_securebits_and_ambient_capabilities_are_told(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    grown.news(puppet.pid)
    for change, bits in (
        (f"libc.prctl(28, {NO_ROOT}, 0, 0, 0)", NO_ROOT),  # PR_SET_SECUREBITS
        ("libc.prctl(8, 1, 0, 0, 0)", NO_ROOT | KEEP_CAPS),  # PR_SET_KEEPCAPS
        ("libc.prctl(8, 0, 0, 0, 0)", NO_ROOT),
        (f"capset({CHOWN}, {CHOWN}, {CHOWN})", NO_ROOT),
        ("libc.prctl(47, 2, 0, 0, 0)", NO_ROOT),  # PR_CAP_AMBIENT_RAISE, CAP_CHOWN
    ):
        assert puppet.ask(change) == 0
        (event,) = grown.news(puppet.pid)
        expected = credentials(puppet.pid, bits)
        assert _told(event) == expected == grown.of(puppet.pid).credentials
        assert puppet.ask("libc.prctl(27, 0, 0, 0, 0)") == bits
    assert expected.cap_ambient == CHOWN
    assert puppet.ask("libc.prctl(47, 1, 0, 0, 0)") == 1  # asking is no change
    assert puppet.ask("libc.prctl(47, 1, 1, 0, 0)") == 0
    assert not grown.news(puppet.pid)
    assert puppet.ask("libc.prctl(47, 4, 0, 0, 0)") == 0  # PR_CAP_AMBIENT_CLEAR_ALL
    (event,) = grown.news(puppet.pid)
    assert (_told(event).cap_ambient, credentials(puppet.pid).cap_ambient) == (0, 0)


def test_groups_beyond_the_bound_are_cut_and_flagged_until_there_are_fewer(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    for count, cut in ((wire.GROUPS_MAX, ()), (wire.GROUPS_MAX + 1, ("groups",)), (wire.GROUPS_MAX - 1, ())):
        puppet.ask(f"os.setgroups(range(1000, {1000 + count}))")
        version = grown.of(puppet.pid)
        assert version.credentials.groups == tuple(range(1000, 1000 + min(count, wire.GROUPS_MAX)))
        assert version.cut == cut
        assert ("cut" in version.doubt) == bool(cut)


def test_what_fails_is_not_told(tracer: Tracer) -> None:
    puppet = Puppet()
    puppet.ask("os.setgroups([5])")
    puppet.ask("libc.setresgid(1001, 1001, 1001)")
    puppet.ask("libc.setresuid(1001, 1001, 1001)")
    grown = Grown(tracer)
    before = grown.of(puppet.pid)
    grown.news(puppet.pid)
    for change in (
        "libc.setuid(0)",
        "libc.setgid(0)",
        "libc.setreuid(0, 0)",
        "libc.setregid(0, 0)",
        "libc.setresuid(0, 0, 0)",
        "libc.setresgid(0, 0, 0)",
        "libc.setgroups(0, None)",
        f"capset({CHOWN}, {CHOWN}, 0)",
        f"libc.prctl(24, {NET_RAW}, 0, 0, 0)",
        f"libc.prctl(28, {NO_ROOT}, 0, 0, 0)",
        "libc.prctl(47, 2, 0, 0, 0)",
    ):
        assert puppet.ask(f"failed({change})") == errno.EPERM, change
    assert grown.news(puppet.pid) == []
    assert grown.of(puppet.pid) == before


def test_the_c_library_changes_every_thread_and_each_is_told(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    tid = puppet.ask("start_thread()")
    (started,) = grown.news(puppet.pid)[-1:]
    assert isinstance(started, ThreadStart)
    assert puppet.ask("libc.setresuid(1001, 1001, 1001)") == 0
    told = grown.news(puppet.pid)
    assert sorted(event.task.tid for event in told if isinstance(event, CredentialChange)) == sorted([puppet.pid, tid])
    assert len(told) == 2
    after = credentials(puppet.pid)
    assert {_told(event) for event in told} == {after}
    thread = grown.tree.thread(tid, started.thread_start_ns)
    assert thread is not None
    assert thread.credentials == grown.of(puppet.pid).credentials == after


def test_a_thread_alone_changes_itself_and_its_children_but_not_its_process(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    tid = puppet.ask("start_thread()")
    (started,) = grown.news(puppet.pid)[-1:]
    assert isinstance(started, ThreadStart)
    of_process = credentials(puppet.pid)
    assert puppet.ask("on_thread('libc.syscall(SYS_SETUID, 1001)')") == 0
    (event,) = grown.news(puppet.pid)
    of_thread = _told(event)
    assert (of_thread.uid, of_thread.euid, of_process.uid) == (1001, 1001, 0)
    assert of_thread == credentials(f"{puppet.pid}/task/{tid}")
    thread = grown.tree.thread(tid, started.thread_start_ns)
    assert thread is not None
    assert thread.credentials == of_thread
    assert grown.of(puppet.pid).credentials == of_process == credentials(puppet.pid)

    child = puppet.ask("on_thread('clone3()')")
    (fork,) = grown.news(child)
    assert isinstance(fork, Fork)
    assert fork.birth_tid == tid
    assert grown.of(child).credentials == credentials(child) == of_thread
    assert grown.of(puppet.pid).credentials == of_process
    puppet.ask(f"end({child})")


def test_the_32_bit_way_is_learnt_with_the_next_record(tracer: Tracer, tmp_path: Path) -> None:
    """A tracepoint of one system call does not see int 0x80; each birth, exec and end tells the state all the same."""
    needs("a system call the 32-bit way", os.uname().machine == "x86_64")
    source, program = tmp_path / "old.c", tmp_path / "old"
    source.write_text(
        """
#include <unistd.h>
#include <sys/wait.h>
static long old(long number, long argument)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(argument) : "memory", "r8", "r9", "r10", "r11");
	return result;
}
int main(void)
{
	if (old(213, 1001)) /* setuid32 */
		return 1;
	if (!fork())
		return 0;
	return wait(0) > 0 && getuid() == 1001 ? 0 : 2;
}
"""
    )
    subprocess.run(["cc", "-static", "-o", program, source], check=True)
    grown = Grown(tracer)
    child = subprocess.Popen([program])
    assert child.wait(30) == 0, "this kernel takes no 32-bit calls"
    events = grown.news(child.pid)
    assert [type(event) for event in events] == [Fork, Exec, Exit]
    executed, ended = events[1:]
    assert isinstance(executed, Exec)
    assert isinstance(ended, Exit)
    assert (executed.task.credentials.uid, ended.task.credentials.uid) == (0, 1001)
    (birth,) = [event for event in tracer.events if isinstance(event, Fork) and event.birth_pid == child.pid]
    assert birth.task.credentials.uid == 1001
    assert grown.of(child.pid).credentials.uid == 1001


def test_an_exec_of_a_setuid_file_changes_users(tracer: Tracer, tmp_path: Path) -> None:
    program = tmp_path / "suid"
    program.write_bytes(Path("/bin/true").read_bytes())
    os.chown(program, 1002, 1003)
    program.chmod(0o6755)
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        folder.chmod(folder.stat().st_mode | 0o011)
    needs("set-user-ID files", not os.statvfs(tmp_path).f_flag & os.ST_NOSUID)
    grown = Grown(tracer)
    child = subprocess.Popen([program], user=1001, group=1001, extra_groups=[])
    child.wait(30)
    executed = next(event for event in grown.news(child.pid) if isinstance(event, Exec))
    told = executed.task.credentials
    assert (told.uid, told.euid, told.suid, told.fsuid) == (1001, 1002, 1002, 1002)
    assert (told.gid, told.egid, told.sgid, told.fsgid) == (1001, 1003, 1003, 1003)
    assert executed.file.traits == ("setuid", "setgid")
    assert grown.of(child.pid).credentials[:8] == (1001, 1001, 1002, 1003, 1002, 1003, 1002, 1003)
