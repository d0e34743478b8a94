"""What the tree says of a process after its birth, in every way there is to be born."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from itertools import pairwise

import pytest

from pipeline.events import Event, Exec, Exit, Fork, Running, ThreadEnd, ThreadRunning, ThreadStart
from pipeline.process import ProcessVersion
from tests.kernel.compiled import Compiler
from tests.kernel.not_here import needs
from tests.kernel.programs import go_on, namespace, numbers, program, ran, stat
from tests.kernel.tracer import Tracer
from tests.kernel.watch import Told, Watch, below, grown, pid_of

pytestmark = pytest.mark.kernel

WAYS = ["fork", "vfork", "clone", "clone_vm", "clone3"]


@pytest.mark.parametrize("way", WAYS)
def test_a_child_that_never_execs_is_what_its_parent_was(watch: Watch, compiler: Compiler, way: str) -> None:
    births = compiler.program("births")
    parent = ran(births, way)
    (pid,) = watch.children(parent.pid)
    assert watch.kinds(parent.pid) == [Fork, Exec, Exit]
    assert watch.kinds(pid) == [Fork, Exit]
    child, mother = watch.ended(pid), watch.ended(parent.pid)
    assert (child.image.name, child.image.args) == ("births", (births, way))
    assert child.image == mother.image
    assert (child.previous, len(mother.previous)) == ((), 1)  # what the mother had of us, before its exec
    assert (child.exit_status, mother.exit_status) == (3 << 8, 3 << 8)
    assert below(child, mother)
    assert below(mother, watch.now(os.getpid()))
    assert (child.doubt, child.reaper) == (mother.doubt, None)
    assert watch.threads(child) == ()


@pytest.mark.parametrize(("way", "args"), [("posix_spawn", ("sh", "-c", "exit 3")), ("system", ("sh", "-c", "exit 3"))])
def test_a_spawned_child_has_its_own_image_and_the_right_parent(
    watch: Watch, compiler: Compiler, way: str, args: tuple[str, ...]
) -> None:
    births = compiler.program("births")
    parent = ran(births, way)
    (pid,) = watch.children(parent.pid)
    assert watch.kinds(pid) == [Fork, Exec, Exit]
    child, mother = watch.ended(pid), watch.ended(parent.pid)
    assert (child.image.name, child.image.executable) == ("sh", os.path.realpath("/bin/sh"))
    assert tuple(word for word in child.image.args if word != "--") == args  # glibc puts one before the command
    assert [image.args for image in child.previous] == [(births, way)]
    assert below(child, mother)
    assert child.exit_status == 3 << 8


def test_a_sibling_made_by_clone_parent_is_its_callers_child_and_has_another_reaper(
    watch: Watch, compiler: Compiler
) -> None:
    caller = ran(compiler.program("births"), "sibling")
    (pid,) = watch.children(caller.pid)
    os.waitpid(pid, 0)  # ours
    sibling = watch.ended(pid)
    assert below(sibling, watch.ended(caller.pid))
    assert sibling.reaper is not None
    assert sibling.reaper.pid == os.getpid()
    assert sibling.reaper.entity_id == watch.now(os.getpid()).entity_id


def test_a_thread_is_part_of_its_process_while_it_lives(watch: Watch, compiler: Compiler) -> None:
    child = program(compiler.program("threads"), "one")
    (tid,) = numbers(child)
    started, process = watch.one(ThreadStart, child.pid)
    assert watch.threads(process) == (child.pid, tid)
    thread = watch.tree.thread(tid, started.thread_start_ns)
    assert thread is not None
    assert (thread.name, thread.birth_tid, thread.process) == ("threads", child.pid, (child.pid, process.start_ns))
    go_on(child)
    watch.one(ThreadEnd, child.pid)
    assert watch.threads(process) == (child.pid,)
    assert watch.tree.thread(tid, started.thread_start_ns) is None
    go_on(child)
    assert child.wait(30) == 3
    watch.ended(child.pid)
    assert watch.kinds(child.pid) == [Fork, Exec, ThreadStart, ThreadEnd, Exit]


def test_a_lineage_goes_out_of_nested_pid_namespaces(watch: Watch, compiler: Compiler) -> None:
    host = ran(compiler.program("births"), "nested")
    (outer,) = watch.children(host.pid)
    (inner,) = watch.children(outer)
    (last,) = watch.children(inner)
    versions = [watch.ended(pid) for pid in (host.pid, outer, inner, last)]
    assert [version.ns_pid for version in versions] == [host.pid, 1, 1, 2]
    spaces = [version.pid_ns for version in versions]
    assert spaces[0] == namespace("pid")
    assert len(set(spaces)) == 3
    assert spaces[2] == spaces[3]
    assert all(below(child, parent) for parent, child in pairwise(versions))
    assert not watch.one(Exit, inner)[0].reaper_pid  # an init: nobody adopts, they end with it


def _twice(watch: Watch, first: Told, second: Told) -> tuple[ProcessVersion, ProcessVersion]:
    """Two that share a number: two identities, one end each."""
    one, other = watch.get(first.event.task), watch.get(second.event.task)
    assert one.entity_id != other.entity_id
    assert one.start_ns < other.start_ns
    assert (one.exit_status, other.exit_status) == (3 << 8, 4 << 8)
    assert one.parent is not None
    assert other.parent is not None
    assert one.parent.entity_id == other.parent.entity_id
    return one, other


def test_a_pid_used_again_at_once_is_another_process(watch: Watch, compiler: Compiler) -> None:
    parent = ran(compiler.program("births"), "twice")
    needs("a pid asked for by its number", parent.returncode not in (errno.EINVAL, errno.EPERM))
    assert parent.returncode == 4
    pid = watch.children(parent.pid)[-1]
    watch.until(lambda: len(watch.all(Exit, pid)) == 2)
    first, second = watch.all(Fork, pid)
    _twice(watch, first, second)
    assert watch.kinds(pid) == [Fork, Exit, Fork, Exit]


def test_when_the_first_ones_end_is_not_told_it_ends_with_the_birth_of_the_second(
    watch: Watch, compiler: Compiler
) -> None:
    parent = ran(compiler.program("births"), "twice")
    needs("a pid asked for by its number", parent.returncode not in (errno.EINVAL, errno.EPERM))
    assert parent.returncode == 4
    pid = watch.children(parent.pid)[-1]
    watch.until(lambda: len(watch.all(Exit, pid)) == 2)
    missing = watch.all(Exit, pid)[0].event
    tree = grown([*watch.older, *(told.event for told in watch.told if told.event is not missing)])
    first, second = (tree.get(pid, told.event.task.start_ns) for told in watch.all(Fork, pid))
    assert first is not None
    assert second is not None
    assert (first.exit_status, second.exit_status) == (None, 4 << 8)
    assert not [process for process in tree.alive() if process.pid == pid]


def test_a_pid_used_again_inside_a_namespace_is_another_process_too(watch: Watch, compiler: Compiler) -> None:
    host = ran(compiler.program("births"), "twice_inside")
    (init,) = watch.children(host.pid)
    first, second = (watch.all(Fork, pid)[0] for pid in watch.children(init))
    watch.ended(host.pid)
    one, other = _twice(watch, first, second)
    assert (one.ns_pid, other.ns_pid) == (42, 42)
    assert one.pid_ns == other.pid_ns


def test_who_was_born_while_nobody_listened_is_found_by_the_snapshot_as_the_same(
    tracer: Tracer, compiler: Compiler
) -> None:
    """Two children from before; a watch that heard of both births, and one that began too late."""
    heard = Watch(tracer)
    births = compiler.program("births")
    parent = program(births, "chain", "1")
    (pid,) = numbers(parent)
    mother, child = heard.now(parent.pid), heard.now(pid)
    late = Tracer(1 << 20)
    try:
        found = Watch(late)
        same_mother, same, ours = found.now(parent.pid), found.now(pid), found.now(os.getpid())
        assert parent.stdin is not None
        parent.stdin.close()
        ended = found.ended(pid)
        parent.wait(30)
    finally:
        late.close()
    assert (same.entity_id, same_mother.entity_id) == (child.entity_id, mother.entity_id)
    assert same.image[:3] == child.image[:3]
    assert below(same, same_mother)
    assert below(same_mother, ours)
    assert "unknown_parent" not in same.doubt
    assert (ended.entity_id, ended.exit_status, ended.parent) == (child.entity_id, 3 << 8, same.parent)
    assert heard.ended(pid).exit_status == 3 << 8


def test_who_was_born_while_nobody_listened_and_never_found_is_in_doubt(tracer: Tracer, compiler: Compiler) -> None:
    parent = program(compiler.program("births"), "chain", "1")
    (pid,) = numbers(parent)
    watch = Watch(tracer, with_snapshot=False)
    assert parent.stdin is not None
    parent.stdin.close()
    child = watch.ended(pid)
    parent.wait(30)
    assert watch.kinds(pid) == [Exit]
    assert (child.exit_status, child.image.name) == (3 << 8, "births")  # its comm: no more was told
    assert child.doubt == ("unknown_parent",)
    assert not child.complete
    assert not watch.counters.bad_transitions


def test_who_is_born_while_the_snapshot_is_taken_is_told_twice_and_known_once(
    tracer: Tracer, compiler: Compiler
) -> None:
    """The walk finds the process and its thread, and then comes what the probes told of their births."""
    begun: list[subprocess.Popen[str]] = []
    tids: list[int] = []

    def begin() -> None:
        begun.append(program(compiler.program("threads"), "one"))
        tids.extend(numbers(begun[0]))

    watch = Watch(tracer, meanwhile=begin)
    (child,), (tid,) = begun, tids
    found = [type(event) for event in watch.older if pid_of(event) == child.pid]
    assert {Running, ThreadRunning} <= set(found)
    started, process = watch.one(ThreadStart, child.pid)
    assert watch.kinds(child.pid) == [Fork, Exec, ThreadStart]
    assert watch.threads(process) == (child.pid, tid)
    thread = watch.tree.thread(tid, started.thread_start_ns)
    assert thread is not None
    assert thread.birth_tid == child.pid
    assert below(watch.now(child.pid), watch.now(os.getpid()))
    assert "unknown_parent" not in process.doubt
    for _ in range(2):
        go_on(child)
    assert child.wait(30) == 3
    assert watch.ended(child.pid).exit_status == 3 << 8
    assert not watch.counters.bad_transitions


def test_who_is_born_and_ends_before_the_walk_finds_it_as_a_zombie_is_told_like_any_other(tracer: Tracer) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    def begin() -> None:
        begun.append(subprocess.Popen(["/bin/true", "early"]))
        tracer.until(lambda: stat(begun[0].pid)[0] == "Z")

    watch = Watch(tracer, meanwhile=begin)
    (child,) = begun
    assert [event.zombie for event in watch.older if isinstance(event, Running) and pid_of(event) == child.pid] == [
        True
    ]
    child.wait()
    process, mine = watch.ended(child.pid), watch.now(os.getpid())
    assert watch.kinds(child.pid) == [Fork, Exec, Exit]
    assert (process.image.args, process.exit_status) == (("/bin/true", "early"), 0)
    assert process.previous == (mine.image,)
    assert below(process, mine)
    assert process.doubt == mine.doubt
    assert not [alive for alive in watch.tree.alive() if alive.pid == child.pid]
    assert not watch.counters.bad_transitions


def _described(events: list[Event], pids: list[int]) -> list[object]:
    """Of each process what must not depend on the order that its records came in."""
    tree = grown(events)
    starts = {event.task.pid: event.task.start_ns for event in events if isinstance(event, Fork)}
    described: list[object] = []
    for pid in pids:
        process = tree.get(pid, starts[pid])
        assert process is not None
        chain = [ancestor.entity_id for ancestor in process.ancestors]
        described.append((pid, chain, process.depth, process.complete, process.doubt, process.exit_status))
    return described


def _swaps(events: list[Event]) -> Iterator[list[Event]]:
    """Every two neighbours that two processors may have told in the other order."""
    for at in range(len(events) - 1):
        one, other = events[at : at + 2]
        if pid_of(one) != pid_of(other) or isinstance(one, Fork):
            yield [*events[:at], other, one, *events[at + 2 :]]


def test_lineages_do_not_hang_on_the_order_of_neighbouring_records(watch: Watch, compiler: Compiler) -> None:
    """A child that is told of before its birth, or before its parent is, comes out the same."""
    births = compiler.program("births")
    parent = ran(
        "/bin/sh", "-c", f"/bin/true; ({births} posix_spawn & {births} system; wait; true); {births} clone; exit 7"
    )
    watch.ended(parent.pid)
    mine = {parent.pid}
    for told in watch.told:
        if isinstance(told.event, Fork) and told.event.birth_pid in mine:
            mine.add(told.event.task.pid)
    events = [told.event for told in watch.told if pid_of(told.event) in mine]
    pids = sorted(mine)
    assert len(pids) >= 9  # two shells, /bin/true, three of births with a child each
    expected = _described([*watch.older, *events], pids)
    swapped = list(_swaps(events))
    assert len(swapped) > 15
    for order in swapped:
        assert _described([*watch.older, *order], pids) == expected
