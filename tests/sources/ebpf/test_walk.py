"""The walk over what runs: it ends, it begins again where it lost its place, and it tells each process once."""

from __future__ import annotations

import pytest

from pipeline import wire
from pipeline.errors import HostError
from pipeline.events import Running, ThreadRunning
from pipeline.sources.decode import decode
from pipeline.sources.ebpf import snapshot
from pipeline.sources.ebpf.snapshot import BEGIN_AGAIN, END, FULL, MORE, Snapshot, Walk
from pipeline.sources.encode import encode
from pipeline.sources.synthetic import Synthetic
from tests.sources.ebpf.walking import RefusedProgram, ScriptedProgram, ScriptedRing


def test_a_walk_begins_with_nought_and_goes_on_with_one_until_the_end() -> None:
    program = ScriptedProgram([MORE, MORE, END])
    walk = Walk(program)
    walk.steps(10)
    assert (program.asked, walk.ended) == ([0, 1, 1], True)


def test_a_walk_makes_no_more_steps_than_it_was_asked_for() -> None:
    program = ScriptedProgram([MORE] * 10)
    walk = Walk(program)
    walk.steps(4)
    assert (len(program.asked), walk.ended) == (4, False)


def test_a_walk_that_lost_its_place_begins_again() -> None:
    program = ScriptedProgram([MORE, BEGIN_AGAIN, MORE, END])
    walk = Walk(program)
    walk.steps(10)
    assert (program.asked, walk.ended) == ([0, 1, 0, 1], True)


def test_a_full_ring_stops_the_steps_and_the_same_is_asked_again() -> None:
    program = ScriptedProgram([FULL, MORE, FULL, END])
    walk = Walk(program)
    walk.steps(10)
    assert program.asked == [0]
    walk.steps(10)
    assert program.asked == [0, 0, 1]
    walk.steps(10)
    assert (program.asked, walk.ended) == ([0, 0, 1, 1], True)


@pytest.mark.parametrize(("answer", "bound"), [(BEGIN_AGAIN, "BEGINNINGS_MAX"), (FULL, "FULL_MAX")])
def test_a_walk_that_never_ends_is_given_up(answer: int, bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, bound, 5)
    walk = Walk(ScriptedProgram([answer] * 100))
    for _ in range(5):
        walk.steps(1)
    with pytest.raises(HostError, match="faster than they can be listed"):
        walk.steps(1)


def test_a_kernel_that_does_not_run_the_program_is_told_so() -> None:
    with pytest.raises(HostError, match=r"does not run the snapshot program \(Operation not permitted\)"):
        Walk(RefusedProgram()).steps(1)


def _stream() -> Synthetic:
    """A parent, a child, a thread of the child; and what the probes told meanwhile."""
    stream = Synthetic()
    init = stream.running("/sbin/init", pid=1, start_ns=10)
    stream.running("/usr/bin/bash", pid=50, parent=init, start_ns=20)
    stream.fork(init, pid=60)
    return stream


def _snapshot(records: list[bytes], held_bytes_max: int = 1 << 20) -> Snapshot:
    ring = ScriptedRing()
    program = ScriptedProgram([MORE] * len(records), lambda number: ring.records.extend(records[number : number + 1]))
    taken = Snapshot(program, ring, held_bytes_max)
    taken.walk()
    assert len(program.asked) == len(records) + 1
    assert not ring.waiting()
    return taken


def _running(stream: Synthetic) -> list[Running]:
    return [event for event in stream.events if isinstance(event, Running)]


def test_who_runs_is_told_oldest_first_whatever_the_order_of_the_walk() -> None:
    init, bash = map(encode, _running(_stream()))
    assert [found.record for found in _snapshot([bash, init]).found()] == [init, bash]


def test_a_process_found_twice_is_told_once_as_it_was_last() -> None:
    init, bash = _running(_stream())
    later = bash._replace(task=bash.task._replace(comm="vi"))
    found = _snapshot([encode(init), encode(bash), encode(init), encode(later)]).found()
    assert [decode(each.record) for each in found] == [init, later]


def test_a_pid_used_again_during_the_walk_is_two_processes() -> None:
    _, bash = _running(_stream())
    again = bash._replace(task=bash.task._replace(start_ns=30))
    assert [found.start_ns for found in _snapshot([encode(again), encode(bash)]).found()] == [20, 30]


def test_a_thread_found_twice_is_told_once() -> None:
    stamp = _stream().events[-1].stamp._replace(kind=wire.THREAD_RUNNING)
    thread = ThreadRunning(stamp, 50, 51, 20, 21, 51, "bash")
    renamed = thread._replace(comm="worker")
    assert list(map(decode, _snapshot([encode(thread), encode(renamed)]).threads())) == [renamed]


def test_what_the_probes_tell_meanwhile_is_held_in_its_order() -> None:
    stream = _stream()
    events = [encode(event) for event in stream.events]
    taken = _snapshot(events)
    kinds = [decode(record).stamp.kind for record in taken.held]
    assert kinds == [wire.HOST, wire.COMMAND_LINE, wire.COMMAND_LINE, wire.FORK]


def test_what_does_not_fit_any_more_is_counted_by_its_kind() -> None:
    fork = encode(_stream().events[-1])
    taken = _snapshot([fork] * 5, held_bytes_max=2 * len(fork))
    assert (taken.held, dict(taken.not_held)) == ([fork] * 2, {wire.FORK: 3})


def test_kernel_threads_and_zombies_have_no_command_line_to_ask_for() -> None:
    stream = Synthetic()
    stream.running("kthreadd", pid=2, kernel_thread=True)
    stream.running("/bin/gone", pid=60, zombie=True)
    stream.running("/bin/there", pid=70)
    found = _snapshot([encode(event) for event in _running(stream)]).found()
    assert [each.pid for each in found if each.has_command_line] == [70]
