from __future__ import annotations

from typing import Any

import orjson
import pytest

from pipeline.errors import SinkUnavailable
from pipeline.sinks.base import Dead, Delivery
from pipeline.sinks.judge import REASON_MAX, error_of, judge, reason
from tests.sinks.support import document, documents

REJECTED = {"type": "es_rejected_execution_exception", "reason": "queue full"}


def answer(*items: int | dict[str, Any]) -> bytes:
    return orjson.dumps(
        {"items": [{"create": {"status": item} if isinstance(item, int) else item} for item in items], "errors": True}
    )


def test_all_created_is_all_done() -> None:
    assert judge(answer(201, 201), documents(2), "it") == Delivery(2)


def test_a_conflict_is_a_duplicate() -> None:
    assert judge(answer(201, 409), documents(2), "it") == Delivery(1, duplicates=1)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 401, 403, 404])
def test_what_is_not_the_documents_fault_goes_again(status: int) -> None:
    first, second = documents(2)
    delivery = judge(answer(201, {"status": status, "error": REJECTED}), [first, second], "it")
    assert delivery == Delivery(1, again=(second,), trouble=f"{status} es_rejected_execution_exception: queue full")


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_the_documents_fault_is_dead_with_its_reason(status: int) -> None:
    error = {"type": "document_parsing_exception", "reason": "failed to parse\nfield [x]"}
    delivery = judge(answer({"status": status, "error": error}, 201), documents(2), "it")
    reason = f"{status} document_parsing_exception: failed to parse field [x]"
    assert delivery == Delivery(1, dead=(Dead(document(0), reason),))


def test_a_document_in_the_failure_store_is_dead_though_its_status_says_created() -> None:
    delivery = judge(answer({"status": 201, "failure_store": "used"}, 201), documents(2), "it")
    assert delivery == Delivery(1, dead=(Dead(document(0), "failure_store: used"),))


def test_a_failure_store_that_failed_or_is_off_leaves_the_status_to_decide() -> None:
    items = [{"status": 429, "failure_store": "failed"}, {"status": 400, "failure_store": "not_enabled"}]
    delivery = judge(answer(*items), documents(2), "it")
    assert [found.id for found in delivery.again] == ["id0"]
    assert [found.document.id for found in delivery.dead] == ["id1"]


@pytest.mark.parametrize(
    "garbled",
    [
        b"",
        b'{"errors":false,"items":[{"create":{"sta',
        b"<html>502</html>",
        b"[]",
        b"null",
        b"{}",
        b'{"items":null}',
        b'{"items":[1,2]}',
        b'{"items":[{},{}]}',
        b'{"items":[{"create":{}},{"create":{}}]}',
        b'{"items":[{"create":{"status":null}},{"create":{"status":[]}}]}',
        b'{"items":[{"create":null},{"create":null}]}',
        b"\xff\xfe",
    ],
)
def test_an_answer_that_cannot_be_read_sends_the_whole_batch_again(garbled: bytes) -> None:
    with pytest.raises(SinkUnavailable, match="cannot be read"):
        judge(garbled, documents(2), "it")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_answer_for_another_number_of_documents_sends_the_whole_batch_again(count: int) -> None:
    with pytest.raises(SinkUnavailable, match=f"it answered for {count} documents of 2"):
        judge(answer(*[201] * count), documents(2), "it")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"type": "a", "reason": "b"}, "400 a: b"),
        ({"type": "a"}, "400 a"),
        ({}, "400 no reason given"),
        ("text", "400 text"),
        (None, "400 no reason given"),
    ],
)
def test_a_reason_is_short_whatever_shape_the_error_has(error: Any, words: str) -> None:
    assert reason(error, 400) == words


def test_a_long_reason_is_cut() -> None:
    assert len(reason({"type": "t", "reason": "r" * 9999}, 400)) == REASON_MAX


def test_the_error_of_a_body_that_is_no_json_is_none() -> None:
    assert error_of(b"<html>") is None
    assert error_of(b"[1]") is None
    assert error_of(b'{"error":"x"}') == "x"
