"""Processes that leave the session and the parents they came from: their lineage stays."""

from __future__ import annotations

import os

import pytest

from pipeline.events import Exit, SessionChange
from tests.kernel.families import family, is_right
from tests.kernel.programs import go_on, numbers, parent_now, stat
from tests.kernel.watch import Watch, below

pytestmark = pytest.mark.kernel


def test_a_daemon_before_during_and_after_it_becomes_one(watch: Watch) -> None:
    """Fork, setsid, fork; first the middle one ends, then the one that began it; the lineage stays."""
    root = family(
        """
def middle():
    next()
    os.setsid()
    made = child(daemon)
    tell(os.getpid(), made)
    next()
def daemon():
    time.sleep(60)
made = child(middle)
tell(made)
wait_for(made)
tell(0)
next()
"""
    )
    (middle,) = numbers(root)
    begun = watch.now(middle)
    assert begun.session.id == int(stat(os.getpid())[3])  # before: in our session still
    go_on(root)
    _, daemon = numbers(root)
    led = watch.now(middle)
    assert (led.session.id, led.session.group_id) == (middle, middle)
    assert watch.one(SessionChange, middle)
    during = is_right(watch, daemon, middle)
    assert during.reaper is None
    assert during.session_leader is not None
    assert (during.session_leader.entity_id, during.session.id) == (led.entity_id, middle)
    go_on(root)
    assert numbers(root) == [0]
    after = is_right(watch, daemon, middle)
    assert parent_now(daemon) not in (middle, root.pid)
    assert below(after, watch.ended(middle))
    go_on(root)
    root.wait(30)
    watch.ended(root.pid)
    last = is_right(watch, daemon, middle)
    assert [ancestor.pid for ancestor in last.ancestors[:3]] == [middle, root.pid, os.getpid()]
    assert (last.session.id, last.entity_id) == (middle, during.entity_id)
    os.kill(daemon, 9)
    assert watch.ended(daemon).ancestors == last.ancestors


def test_leaders_that_are_gone_are_those_that_were_known(watch: Watch) -> None:
    root = family(
        """
def leader():
    os.setsid()
    tell(os.getpid(), child(lambda: os.execv("/bin/cat", ["cat"])))
made = child(leader)
wait_for(made)
tell(0)
next()
"""
    )
    leader, member = numbers(root)
    assert numbers(root) == [0]
    root.communicate("x")  # cat comes to the end of it
    process = watch.ended(member)
    assert watch.ended(leader).session.id == leader
    assert (process.session.id, process.session.group_id) == (leader, leader)
    exited, _ = watch.one(Exit, member)
    assert (exited.task.session.start_ns, exited.task.session.group_start_ns) == (0, 0)
    for gone in (process.session_leader, process.group_leader):
        assert gone is not None
        assert (gone.pid, gone.entity_id) == (leader, watch.ended(leader).entity_id)
    assert process.parent is not None
    assert process.parent.pid == leader
