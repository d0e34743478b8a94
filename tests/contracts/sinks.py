"""What every sink keeps. An implementation's tests subclass SinkContract and bring two fixtures.

``sink``: an opened sink. ``arrived``: a function that gives id -> body of all that is at the far end now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import ClassVar

import orjson

from pipeline.document import Document
from pipeline.sinks.base import Delivery, Sink

Arrived = Callable[[], Awaitable[list[bytes]]]

ODD_TEXTS = ["nginx → bash", "a\x00b", "\x1b[31m", "\ufffd", "🦀" * 50, '"\\', "\u2028", "tab\tline\n", ""]


def _document(identity: str, text: str = "x") -> Document:
    fields = {
        "@timestamp": "2026-01-31T12:00:00.000Z",
        "event": {"id": identity, "kind": "event", "category": ["process"], "type": ["start"], "action": "exec"},
        "process": {"pid": 1, "entity_id": identity, "name": "x", "args": [text], "lineage": "a → x"},
        "lineage": {"chain": "a → x"},
        "data_stream": {"type": "logs", "dataset": "lineage.process", "namespace": "default"},
    }
    return Document(identity, "process", orjson.dumps(fields))


def total(delivery: Delivery) -> int:
    return delivery.done + delivery.duplicates + len(delivery.again) + len(delivery.dead)


class SinkContract:
    idempotent: ClassVar[bool] = True
    exact: ClassVar[bool] = True  # bodies arrive byte for byte; else the same JSON with its keys in another order

    def sorted(self, bodies: Iterable[bytes]) -> list[bytes]:
        if self.exact:
            return sorted(bodies)
        return sorted(orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS) for body in bodies)

    async def test_every_document_of_a_batch_arrives_and_is_accounted_for(self, sink: Sink, arrived: Arrived) -> None:
        await sink.connect()
        batch = [_document(f"id{number}") for number in range(50)]
        delivery = await sink.send(batch)
        assert (delivery.done, total(delivery)) == (50, 50)
        assert self.sorted(await arrived()) == self.sorted(document.body for document in batch)

    async def test_any_text_arrives_as_it_was(self, sink: Sink, arrived: Arrived) -> None:
        await sink.connect()
        batch = [_document(f"id{number}", text) for number, text in enumerate(ODD_TEXTS)]
        assert (await sink.send(batch)).done == len(batch)
        assert self.sorted(await arrived()) == self.sorted(document.body for document in batch)

    async def test_a_resend_is_counted_as_such_and_nothing_is_there_twice(self, sink: Sink, arrived: Arrived) -> None:
        await sink.connect()
        await sink.send([_document("id1"), _document("id2")])
        delivery = await sink.send([_document("id2"), _document("id3")])
        assert (delivery.done, delivery.duplicates) == ((1, 1) if self.idempotent else (2, 0))
        assert len(await arrived()) == (3 if self.idempotent else 4)

    async def test_one_document_is_a_batch(self, sink: Sink, arrived: Arrived) -> None:
        await sink.connect()
        assert await sink.send([_document("id1")]) == Delivery(1)

    async def test_connecting_twice_changes_nothing(self, sink: Sink, arrived: Arrived) -> None:
        await sink.connect()
        await sink.connect()
        assert await arrived() == []

    async def test_closing_twice_is_safe_and_keeps_what_was_sent(self, sink: Sink, arrived: Arrived) -> None:
        await sink.connect()
        await sink.send([_document("id1")])
        await sink.aclose()
        await sink.aclose()
        assert len(await arrived()) == 1

    def test_its_bounds_are_bounds(self, sink: Sink) -> None:
        assert sink.batch_max_documents >= 1
        assert sink.batch_max_bytes >= 1024
        assert sink.in_flight_max >= 1
