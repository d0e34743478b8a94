"""The benchmark of the tree: what it compares says the same, and what it fills a tree with is what it counts."""

from __future__ import annotations

from itertools import chain

import pytest

from pipeline.bench import tree as bench
from pipeline.bench.mix import records
from pipeline.bench.naive import Naive
from pipeline.bench.population import PIDS, Population
from pipeline.counters import Counters
from pipeline.errors import LineageError
from pipeline.events import Account, Exec, HostFacts
from pipeline.sources.decode import decode_batch
from pipeline.sources.synthetic import Synthetic
from pipeline.tree import LineageKey, ProcessKey, ProcessTree
from tests.bench.conftest import Measure


def _filled(count: int) -> tuple[ProcessTree, Naive, HostFacts]:
    counters = Counters()
    events = [event for batch in records(count) for event in decode_batch(batch, counters)]
    stream = [event for event in events if not isinstance(event, Account)]
    host = stream[0]
    assert isinstance(host, HostFacts)
    return *bench.filled(stream), host


def test_the_oracle_and_the_tree_answer_alike_at_a_thousand_moments() -> None:
    tree, naive, host = _filled(8_000)
    asked = bench.moments(tree, naive, host, 1_000)
    assert len({moment.key for moment in asked}) > 300
    names = set()
    for moment in asked:
        was, *above = naive.lineage(moment.key, moment.time_ns, bench.DEPTH)
        answer = tree.lineage(LineageKey(moment.entity_id, moment.time_ns, bench.DEPTH))
        found = answer.process.process
        assert (found.image.name, found.image.args, found.credentials.uid) == (was.name, was.args, was.uid)
        assert (found.session.group_id, found.session.group_start_ns) == was.group
        assert (found.session.id, found.session.start_ns) == was.session
        told = [((one.pid, one.start_ns), one.image.name, one.image.args) for one in answer.ancestors]
        assert told == [(one.key, one.name, one.args) for one in above]
        assert len(told) == bench.DEPTH
        names.add(was.name)
    assert {"bash", "git", "gcc-12", "make"} <= names  # a shell's fork is one until its exec


def test_the_oracle_knows_a_name_and_a_user_until_the_next() -> None:
    stream = Synthetic()
    init = stream.running("/usr/lib/systemd/systemd", pid=1)
    child = stream.spawn(init, "/usr/bin/python3", ("python3", "serve.py"))
    before_ns = stream.now_ns
    child.uid = 33
    stream.new_credentials(child)
    naive = Naive()
    for event in stream.events:
        if not isinstance(event, HostFacts):
            naive.add(event)  # type: ignore[arg-type]  # the stream's are the tree's
    key = (child.pid, child.start_ns)
    then, now = naive.process(key, before_ns), naive.process(key, stream.now_ns)
    assert then is not None
    assert now is not None
    assert (then.uid, now.uid) == (0, 33)
    assert then.name == now.name == "python3"
    assert naive.process(key, child.start_ns - 1) is None


def test_a_stream_that_does_not_fit_is_no_measure() -> None:
    stream = Synthetic()
    child = stream.spawn(stream.running("/sbin/init", pid=1), "/bin/true")
    stream.exit(child)
    stream.exit(child)
    with pytest.raises(LineageError, match="exit_twice"):
        bench.filled(stream.events)


def _told(population: Population) -> tuple[ProcessTree, Counters]:
    counters = Counters()
    tree = ProcessTree(1_024, 1_024, counters)
    for event in decode_batch(population.stream.records, counters):
        tree.apply(event)  # type: ignore[arg-type]  # the stream's are the tree's
    assert not counters.bad_records + counters.bad_transitions
    return tree, counters


def test_those_who_stay_change_into_versions_of_their_own() -> None:
    population = Population(5)
    for _ in chain(population.stay(100), population.change(6)):
        pass
    tree, counters = _told(population)
    assert repr(tree) == f"<ProcessTree {2 + 5 + 50} alive, 50 ended, 0 threads>"
    assert not counters.versions_dropped
    for process in tree.alive():
        if process.image.name in ("bash", "sshd", "systemd"):
            continue
        born, executed, *changed = tree.versions(process.entity_id)
        assert (born.told[0], executed.told[0]) == ("birth", "image")
        assert [one.told[0] for one in changed] == ["thread_name", "credentials"] * 3
        assert len({one.process.thread_name for one in changed}) == 3
        assert len({one.process.credentials.uid for one in changed}) == 3 + 1


def test_each_has_five_arguments_and_most_of_them_are_others_too() -> None:
    population = Population(5)
    for _ in population.stay(500):
        pass
    args = [event.args for event in population.stream.events if isinstance(event, Exec)]
    assert {len(each) for each in args} == {5}
    assert len({argument for each in args for argument in each}) < 2 * len(args)
    assert len(set(args)) == len(args)


def test_those_who_pass_by_use_pids_again() -> None:
    population = Population(2)
    for _ in population.pass_by(PIDS + 5):
        pass
    executed = [event.task for event in population.stream.events if isinstance(event, Exec)]
    assert len({task.pid for task in executed}) == PIDS
    assert len({(task.pid, task.start_ns) for task in executed}) == PIDS + 5


def test_the_questions_are_the_same_each_time_and_about_the_past() -> None:
    tree, naive, host = _filled(5_000)
    asked = bench.moments(tree, naive, host, 200)
    assert asked == bench.moments(tree, naive, host, 200)
    past = [tree.process(ProcessKey(moment.entity_id, moment.time_ns)) for moment in asked]
    now = [tree.process(ProcessKey(moment.entity_id)) for moment in asked]
    assert sum(then.since_ns < last.since_ns for then, last in zip(past, now, strict=True)) > 50


def test_every_figure_has_the_oracle_behind_it(measure: Measure) -> None:
    figures = measure("tree")
    goals = {name: figure.goal for name, figure in figures.items() if figure.goal is not None}
    assert goals == {
        "apply": 100_000,
        "lineage then": 10,
        "a process": 2_500,
        "a version": 512,
        "memory, many parents": 1.05,
        "memory, one parent": 1.05,
    }
    assert all(f"{name.partition(', without')[0]}, oracle" in figures for name in figures if "oracle" not in name)
    assert all(figure.value is not None and figure.value > 0 for figure in figures.values())
    flat = [figures[f"memory, {what}"] for what in ("many parents", "one parent")]
    kept = [figures[f"memory, {what}, oracle"] for what in ("many parents", "one parent")]
    assert all(figure.value is not None and figure.value < 2 for figure in flat)
    assert all(figure.value is not None and figure.value > 4 for figure in kept)  # of five times as many
