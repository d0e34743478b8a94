"""One identity for life: the same from every record, the snapshot and after a restart; another for each process."""

from __future__ import annotations

import os

import pytest

from pipeline.events import Exit, Fork
from pipeline.sources import hostfacts
from tests.kernel.grown import Grown, about
from tests.kernel.programs import namespace
from tests.kernel.puppet import Puppet
from tests.kernel.tracer import Tracer

pytestmark = pytest.mark.kernel

NEWPID = 0x20000000
AGAIN = 20


def test_it_is_the_same_from_birth_exec_change_snapshot_and_end(tracer: Tracer) -> None:
    live = Grown(tracer)
    puppet = Puppet()
    born = live.of(puppet.pid).entity_id
    by_snapshot = Grown(tracer).of(puppet.pid)
    assert by_snapshot.entity_id == born
    puppet.ask("os.setsid()")
    puppet.order("os.execv('/bin/true', ['true'])")
    tracer.one(Exit, puppet.pid)
    ended = live.of(puppet.pid)
    assert (ended.entity_id, ended.image.name, ended.exit_status) == (born, "true", 0)
    starts = {about(event)[1] for event in tracer.events if about(event)[0] == puppet.pid}
    assert starts == {by_snapshot.start_ns}


def test_it_is_the_same_for_probes_that_are_loaded_again(tracer: Tracer, medium: Tracer) -> None:
    """A restarted agent: other programs, another ring, another snapshot."""
    puppet = Puppet()
    child = puppet.ask("clone3()")
    first, second = Grown(tracer), Grown(medium)
    ids = {version.pid: (version.start_ns, version.entity_id) for version in first.tree.alive()}
    again = {version.pid: (version.start_ns, version.entity_id) for version in second.tree.alive()}
    stayed = [pid for pid in ids if ids[pid][0] == again.get(pid, (0, ""))[0]]
    assert {os.getpid(), puppet.pid, child, 1, 2} <= set(stayed)
    assert all(ids[pid] == again[pid] for pid in stayed)
    assert len(set(ids.values())) == len(ids)
    puppet.ask(f"end({child})")
    assert medium.one(Exit, child).task.start_ns == tracer.one(Exit, child).task.start_ns == ids[child][0]


def test_a_pid_used_again_and_again_is_another_process_each_time(tracer: Tracer) -> None:
    """clone3 asks for the number that has just become free."""
    puppet = Puppet()
    grown = Grown(tracer)
    first = puppet.ask("clone3()")
    ids = [grown.of(first).entity_id]
    for _ in range(AGAIN):
        puppet.ask(f"end({first})")
        assert puppet.ask(f"clone3(tids=[{first}])") == first
        ids.append(grown.of(first).entity_id)
    assert len(set(ids)) == AGAIN + 1
    forks = tracer.all(Fork, first)
    assert len({fork.task.start_ns for fork in forks}) == len(forks) == AGAIN + 1
    assert [end.task.start_ns for end in tracer.all(Exit, first)] == [fork.task.start_ns for fork in forks[:-1]]
    puppet.ask(f"end({first})")


def test_a_number_used_again_inside_a_pid_namespace_is_another_process(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    init = puppet.ask(f"clone3({NEWPID}, work='end(clone3(tids=[50])), clone3(tids=[50])')")
    tracer.until(lambda: len(grown.children(init)) == 2)
    first, second = (tracer.one(Fork, pid).task for pid in grown.children(init))
    assert first.ns_pid == second.ns_pid == 50
    assert first.pid_ns == second.pid_ns == namespace("pid", init)
    assert first.pid != second.pid
    ids = {grown.of(first.pid).entity_id, grown.of(second.pid).entity_id, grown.of(init).entity_id}
    assert len(ids) == 3
    puppet.ask(f"end({init})")


def test_the_hosts_and_the_inner_number_are_both_told_and_the_namespaces_named(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    init = puppet.ask(f"clone3({NEWPID})")
    for version in (grown.of(init), Grown(tracer).of(init)):
        assert (version.pid, version.ns_pid) == (init, 1)
        assert version.pid_ns == namespace("pid", init)
        assert version.boot_pid_ns == namespace("pid") == hostfacts.INITIAL_PID_NS
        assert (version.ancestors[0].pid, version.ancestors[0].ns_pid) == (puppet.pid, puppet.pid)
    puppet.ask(f"end({init})")
