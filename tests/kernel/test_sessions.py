"""Sessions, process groups and terminals: who leads, told when it changes."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator

import pytest

from pipeline.events import Event, Exit, Fork, SessionChange
from tests.kernel.grown import Grown
from tests.kernel.programs import namespace, stat
from tests.kernel.puppet import Puppet
from tests.kernel.tracer import Tracer

pytestmark = pytest.mark.kernel

PTS_MAJOR = 136
NEWPID = 0x20000000


def _shown(pid: int) -> tuple[int, int]:
    """Session and group as /proc shows them."""
    fields = stat(pid)
    return int(fields[3]), int(fields[2])


def _told(event: Event) -> tuple[int, int]:
    assert isinstance(event, SessionChange)
    return event.task.session.id, event.task.session.group_id


def test_a_new_session_is_told_and_makes_its_own_leader(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    child = puppet.ask("clone3()")
    grown.news(puppet.pid)
    before = grown.of(puppet.pid)
    assert puppet.ask("libc.setsid()") == puppet.pid
    (event,) = grown.news(puppet.pid)
    assert _told(event) == _shown(puppet.pid) == (puppet.pid, puppet.pid)
    after = grown.of(puppet.pid)
    assert (after.session.id, after.session.group_id) == (puppet.pid, puppet.pid)
    assert after.session_leader is not None
    assert after.group_leader is not None
    assert after.session_leader.entity_id == after.group_leader.entity_id == after.entity_id == before.entity_id
    assert grown.of(child).session.id == before.session.id  # a child that was there stays where it was
    assert puppet.ask("failed(libc.setsid())") != 0  # it leads a group already
    assert not grown.news(puppet.pid)
    puppet.ask(f"end({child})")


def test_a_session_begun_by_another_thread_is_the_processs(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    puppet.ask("start_thread()")
    puppet.ask("on_thread('libc.prctl(15, b\"worker\", 0, 0, 0)')")
    puppet.ask("on_thread('libc.syscall(SYS_SETUID, 1001)')")
    before = grown.of(puppet.pid)
    grown.news(puppet.pid)
    assert puppet.ask("on_thread('libc.setsid()')") == puppet.pid
    (event,) = grown.news(puppet.pid)
    assert _told(event) == _shown(puppet.pid) == (puppet.pid, puppet.pid)
    after = grown.of(puppet.pid)
    assert (after.session.id, after.session.group_id) == (puppet.pid, puppet.pid)
    assert (after.thread_name, after.credentials) == (before.thread_name, before.credentials)


def test_a_group_of_ones_own_is_told(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    grown.news(puppet.pid)
    session = _shown(puppet.pid)[0]
    assert puppet.ask("libc.setpgid(0, 0)") == 0
    (event,) = grown.news(puppet.pid)
    assert _told(event) == _shown(puppet.pid) == (session, puppet.pid)
    assert grown.of(puppet.pid).session.group_id == puppet.pid
    assert puppet.ask("failed(libc.setpgid(1, 0))") != 0  # no child of its
    assert not grown.news(puppet.pid)


@pytest.mark.parametrize("number", ["0", "os.getpid()"])
def test_it_may_name_itself_in_two_ways(tracer: Tracer, number: str) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    grown.news(puppet.pid)
    assert puppet.ask(f"libc.setpgid({number}, os.getpid())") == 0
    assert [_told(event) for event in grown.news(puppet.pid)] == [_shown(puppet.pid)]


def test_job_control_is_told_of_the_child_and_not_of_the_shell(tracer: Tracer) -> None:
    """As a shell puts the processes of a pipe into a group of their own."""
    puppet = Puppet()
    grown = Grown(tracer)
    first, second = puppet.ask_all("clone3(), clone3()")
    before = grown.of(puppet.pid)
    for pid in (puppet.pid, first, second):
        grown.news(pid)
    assert puppet.ask_all(f"libc.setpgid({first}, {first}), libc.setpgid({second}, {first})") == [0, 0]
    for pid in (first, second):
        (event,) = grown.news(pid)
        assert _told(event) == _shown(pid) == (before.session.id, first)
        leader = grown.of(pid).group_leader
        assert leader is not None
        assert (leader.pid, leader.entity_id) == (first, grown.of(first).entity_id)
    assert not grown.news(puppet.pid)
    assert grown.of(puppet.pid) == before
    puppet.ask_all(f"end({first}), end({second})")


def test_in_a_pid_namespace_the_child_goes_by_its_number_there(tracer: Tracer) -> None:
    """The init of a new namespace puts its child, number 2 in there, into a group of its own."""
    puppet = Puppet()
    grown = Grown(tracer)
    init = puppet.ask(f"clone3({NEWPID}, work='libc.setpgid(clone3(), 2)')")
    tracer.until(lambda: grown.children(init))
    (child,) = grown.children(init)
    tracer.until(lambda: tracer.all(SessionChange, child))
    fork = tracer.one(Fork, child)
    assert (fork.task.ns_pid, fork.task.pid_ns) == (2, namespace("pid", init))
    event = tracer.one(SessionChange, child)
    assert _told(event) == _shown(child) == (grown.of(init).session.id, child)
    assert grown.of(child).session.group_id == child
    puppet.ask(f"end({init})")


@pytest.fixture
def terminal() -> Iterator[str]:
    """A pseudo terminal that nobody's session has."""
    ours, theirs = pty.openpty()
    yield os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def test_a_terminal_is_told_with_the_next_record_and_given_up_with_the_session(tracer: Tracer, terminal: str) -> None:
    """Nobody tells of the call that makes a terminal a session's; every birth does, of the child and of its parent."""
    puppet = Puppet()
    grown = Grown(tracer)
    assert puppet.ask("libc.setsid()") == puppet.pid
    assert grown.of(puppet.pid).session.tty == 0
    puppet.ask(f"os.open({terminal!r}, os.O_RDWR)")
    child = puppet.ask("clone3()")
    tty = PTS_MAJOR << 20 | int(terminal.rpartition("/")[2])
    (fork,) = grown.news(child)
    assert isinstance(fork, Fork)
    assert fork.task.session.tty == tty == grown.of(child).session.tty == grown.of(puppet.pid).session.tty
    assert int(stat(child)[4]) == os.stat(terminal).st_rdev
    assert grown.of(child).interactive
    other = puppet.ask("clone3(work='os.setsid()')")
    tracer.until(lambda: tracer.all(SessionChange, other))
    assert grown.of(other).session.tty == 0
    assert not grown.of(other).interactive
    puppet.ask_all(f"end({child}), end({other})")
    assert tracer.one(Exit, child).task.session.tty == tty
