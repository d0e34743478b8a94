"""What the delivery tests share: documents, a clock they turn themselves, and a sink that does as it is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.document import Document
from pipeline.errors import LineageError
from pipeline.sinks.base import Dead, Delivery
from pipeline.sinks.dead_letters import DeadLetters
from pipeline.sinks.outbox import Outbox
from tests.timer import FakeTimer


def document(
    number: int,
    *,
    stream: str = "process",
    padding: int = 0,
    names: Sequence[str] = ("systemd", "nginx", "bash"),
    action: str = "exec",
    entity: str | None = None,
    at: str = "2026-01-31T12:00:00.000Z",
) -> Document:
    """A small but true document; ``number`` makes it unique."""
    fields = {
        "@timestamp": at,
        "event": {"id": f"id{number}", "action": action, "kind": "event", "category": ["process"], "type": ["start"]},
        "process": {
            "pid": number,
            "name": names[-1],
            "entity_id": entity or f"entity{number}",
            "lineage": " → ".join((["unknown"] if len(names) == 1 else []) + list(names[-2:])),
            "command_line": "x" * padding,
        },
        "lineage": {"chain": " → ".join(names)},
        "data_stream": {"type": "logs", "dataset": f"lineage.{stream}", "namespace": "default"},
    }
    return Document(f"id{number}", stream, orjson.dumps(fields))


def documents(count: int, first: int = 0, **options: object) -> list[Document]:
    return [document(number, **options) for number in range(first, first + count)]  # type: ignore[arg-type]


Step = Callable[[Sequence[Document]], Delivery]


class ScriptedSink:
    """Does the next thing on its list, takes everything when the list is empty. An id taken twice is a duplicate."""

    batch_max_documents = 10
    batch_max_bytes = 100_000
    in_flight_max = 2
    may_refuse = True

    def __init__(self, *steps: Step | LineageError, greetings: Sequence[LineageError] = ()) -> None:
        self.steps = list(steps)
        self.greetings = list(greetings)
        self.batches: list[list[str]] = []
        self.times: list[float] = []
        self.now: Callable[[], float] = time.monotonic
        self.taken: list[str] = []
        self.closed = 0
        self.otherwise: Step = self.take

    def open(self) -> None:
        pass

    async def connect(self) -> None:
        if self.greetings:
            raise self.greetings.pop(0)

    async def send(self, batch: Sequence[Document]) -> Delivery:
        self.batches.append([document.id for document in batch])
        self.times.append(self.now())
        step = self.steps.pop(0) if self.steps else self.otherwise
        if isinstance(step, LineageError):
            raise step
        return step(batch)

    def take(self, batch: Sequence[Document]) -> Delivery:
        fresh = [document.id for document in batch if document.id not in self.taken]
        self.taken += fresh
        return Delivery(len(fresh), duplicates=len(batch) - len(fresh))

    def turn_away(self, *ids: str) -> Step:
        """Take all but these, which are to come again."""

        def step(batch: Sequence[Document]) -> Delivery:
            again = [document for document in batch if document.id in ids]
            taken = self.take([document for document in batch if document.id not in ids])
            return taken._replace(again=again, trouble="429 es_rejected_execution_exception")

        return step

    def refuse(self, *ids: str, reason: str = "400 document_parsing_exception: bad date") -> Step:
        def step(batch: Sequence[Document]) -> Delivery:
            dead = [Dead(document, reason) for document in batch if document.id in ids]
            taken = self.take([document for document in batch if document.id not in ids])
            return taken._replace(dead=dead)

        return step

    async def aclose(self) -> None:
        self.closed += 1


class Bench:
    """An outbox before a scripted sink, with everything a test looks at."""

    def __init__(self, folder: Path, sink: ScriptedSink, *, block: bool = False, **settings: object) -> None:
        self.config = Config(state_directory=folder, **settings)  # type: ignore[arg-type]
        self.counters = Counters()
        self.sink = sink
        self.timer = FakeTimer()
        sink.now = self.timer.now
        self.dead_letters = DeadLetters(folder / "dead.ndjson", self.config.dead_letters_max_bytes, self.counters)
        self.dead_letters.open()
        self.outbox = Outbox(
            sink, self.config, self.counters, self.dead_letters, block=block, timer=self.timer, jitter=lambda: 1.0
        )

    def accounted(self) -> int:
        """Documents in a final counter, and those still held."""
        counters = self.counters
        final = counters.delivered + counters.duplicates + counters.refused.total() + counters.dropped.total()
        return final + self.outbox.held_documents

    def kept(self) -> list[dict[str, object]]:
        return [orjson.loads(line) for line in self.dead_letters.path.read_bytes().splitlines()]
