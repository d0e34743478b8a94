"""The order of the stages, on streams without a kernel: what comes out of ``Flow.work`` for what goes in."""

from __future__ import annotations

from typing import Any

import orjson

from pipeline import wire
from pipeline.counters import Counters
from pipeline.document import Document
from pipeline.enrich import Describer
from pipeline.events import Container, Event, Exec, Stamp
from pipeline.flow import Flow
from pipeline.process import ProcessVersion
from pipeline.sources.decode import decode_batch
from pipeline.sources.synthetic import Process, Synthetic
from pipeline.tree import ProcessTree


class Working:
    """A flow of which only ``work`` is called."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.watched: list[str] = []
        self.ready = 0
        nothing: Any = None  # neither source nor outbox is touched
        self.flow = Flow(
            nothing,
            ProcessTree(100, 100, self.counters),
            Describer("default", [], self.counters),
            nothing,
            self.counters,
            shutdown_s=0.0,
            watch=self._watch,
            ready=self._count_ready,
        )

    def _watch(self, event: Exec, process: ProcessVersion) -> None:
        self.watched.append(process.image.name)

    def _count_ready(self) -> None:
        self.ready += 1

    def work(self, stream: Synthetic) -> list[Document]:
        """What the stream has told since it was last asked."""
        events = decode_batch(stream.records, self.counters)
        stream.events.clear()
        return self.flow.work(events)


def told(documents: list[Document]) -> list[tuple[str, str]]:
    return [
        (body["event"]["action"], body["process"]["name"]) for body in map(orjson.loads, (d.body for d in documents))
    ]


def begun() -> tuple[Synthetic, Process, Process]:
    """systemd and below it a shell, both found by the snapshot."""
    stream = Synthetic()
    init = stream.running("/usr/lib/systemd/systemd", pid=1)
    shell = stream.running("/usr/bin/bash", parent=init)
    stream.snapshot_end()
    return stream, init, shell


def look_again(stream: Synthetic, *living: Process) -> None:
    stream.loss({wire.EXEC: 1, wire.EXIT: 1})
    stream.snapshot_begin()
    for process in living:
        stream.running(
            process.executable, process.args, parent=process.parent, pid=process.pid, start_ns=process.start_ns
        )
    stream.snapshot_end()


def filtered(event: Any) -> Event:
    made: Event = event._replace(filtered=True)
    return made


def test_a_snapshot_is_told_at_its_end_and_then_it_is_ready() -> None:
    flow, (stream, _, shell) = Working(), begun()
    end = stream.events.pop()
    assert flow.work(stream) == []
    assert flow.ready == 0
    stream.add(end)
    assert told(flow.work(stream)) == [("snapshot", "systemd"), ("snapshot", "bash")]
    assert flow.ready == 1
    stream.spawn(shell, "/usr/bin/curl")
    assert told(flow.work(stream)) == [("fork", "bash"), ("exec", "curl")]
    assert flow.watched == ["curl"]


def test_a_repair_tells_who_is_gone_and_who_is_new_and_is_no_second_start() -> None:
    flow, (stream, init, shell) = Working(), begun()
    gone = stream.spawn(shell, "/usr/bin/curl")
    flow.work(stream)
    missed = stream.fork(shell)
    stream.events.pop()  # its fork was lost, and so was the exit of the other
    look_again(stream, init, shell, missed)
    documents = flow.work(stream)
    assert told(documents) == [("snapshot", "bash"), ("end", "curl")]
    end = orjson.loads(documents[1].body)
    assert end["process"]["pid"] == gone.pid
    assert end["lineage"]["doubt"] == ["loss", "snapshot"]
    assert "exit_code" not in end["process"]
    assert flow.ready == 1
    assert flow.counters.closed_unseen == 1


def test_who_is_found_gone_because_its_pid_is_anothers_has_an_end_as_well() -> None:
    flow, (stream, _, shell) = Working(), begun()
    gone = stream.spawn(shell, "/usr/bin/curl")
    flow.work(stream)
    stream.fork(shell, pid=gone.pid)
    assert told(flow.work(stream)) == [("fork", "bash"), ("end", "curl")]
    assert flow.counters.closed_unseen == 1


def test_a_repair_told_again_is_the_same_documents() -> None:
    stream, init, shell = begun()
    stream.spawn(shell, "/usr/bin/curl")
    look_again(stream, init, shell)
    records = list(stream.events)
    first = Working().work(stream)
    stream.events += records
    assert told(first)[-1] == ("end", "curl")
    assert Working().work(stream) == first


def test_a_filtered_process_has_neither_documents_nor_a_line_in_the_feed() -> None:
    flow, (stream, init, shell) = Working(), begun()
    flow.work(stream)
    dropped = stream.spawn(shell, "/usr/bin/curl")
    stream.exit(dropped)
    stream.events = [filtered(event) for event in stream.events]
    assert flow.work(stream) == []
    assert flow.watched == []
    assert flow.counters.filtered == 3
    never_seen_to_end = stream.spawn(shell, "/usr/bin/curl")
    stream.events = [filtered(event) for event in stream.events]
    child = stream.spawn(never_seen_to_end, "/usr/bin/id")
    assert told(flow.work(stream)) == [("fork", "curl"), ("exec", "id")]
    look_again(stream, init, shell, child)
    assert flow.work(stream) == []
    assert flow.counters.filtered == 6
    assert flow.counters.closed_unseen == 1


def test_a_filtered_process_is_left_out_of_the_snapshot() -> None:
    flow, (stream, _, _) = Working(), begun()
    stream.events = [filtered(event) if getattr(event, "task", None) else event for event in stream.events]
    assert flow.work(stream) == []
    assert (flow.counters.filtered, flow.ready) == (2, 1)


def test_what_a_runtime_says_of_a_container_goes_to_the_documents_and_not_into_the_tree() -> None:
    flow, (stream, _, _) = Working(), begun()
    stream.add(Container(Stamp(5, 0, 0, wire.CONTAINER), "f" * 64, {"container": {"name": "web"}}))
    flow.work(stream)
    assert flow.flow.describer.tables.container_facts("f" * 64) == {"container.name": "web"}
    assert not flow.counters.bad_transitions


def test_the_latest_event_is_the_one_with_the_greatest_stamp_wherever_it_stands() -> None:
    stream, _, shell = begun()
    working = Working()
    working.work(stream)
    stream.exec(shell, "/usr/bin/one")
    first = stream.events.pop()
    stream.exec(shell, "/usr/bin/two")
    latest_ns = stream.events[-1].stamp.time_ns
    stream.events.append(first)  # two processors exchanged
    working.work(stream)
    assert working.flow.last_ns == latest_ns > first.stamp.time_ns
