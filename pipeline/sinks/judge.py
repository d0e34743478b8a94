"""What became of each document of a bulk request. Pure: bytes of the answer in, Delivery out.

| item                            | verdict                                                                  |
|---------------------------------|--------------------------------------------------------------------------|
| 200, 201                        | done                                                                     |
| 201 with failure_store: used    | dead: the cluster took it aside as unfit; nobody will find it            |
| 409                             | duplicate: an earlier try did arrive                                     |
| 429, 5xx                        | again                                                                    |
| 401, 403, 404                   | again: rights, a block or a missing data stream are not the document's   |
| other 4xx                       | dead, with type and reason                                               |

An answer that does not say one verdict for each document says nothing: the whole batch goes again, which is safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from pipeline.document import Document
from pipeline.errors import SinkUnavailable
from pipeline.sinks.base import Dead, Delivery

REASON_MAX = 200
"""Characters of Elasticsearch's own words that are kept."""

_NOT_THE_DOCUMENTS_FAULT = {401, 403, 404, 429}


def judge(answer: bytes, batch: Sequence[Document], where: str) -> Delivery:
    """Read the answer to a bulk request for ``batch``. Raises SinkUnavailable when it cannot be understood."""
    try:
        items = orjson.loads(answer)["items"]
        verdicts = [item["create"] for item in items]
        statuses = [int(verdict["status"]) for verdict in verdicts]
    except (ValueError, KeyError, TypeError) as error:
        raise SinkUnavailable(f"{where} gave an answer that cannot be read") from error
    if len(statuses) != len(batch):
        raise SinkUnavailable(f"{where} answered for {len(statuses)} documents of {len(batch)}")
    if b'"failure_store"' not in answer and statuses.count(201) == len(batch):
        return Delivery(done=len(batch))
    return _one_by_one(verdicts, statuses, batch)


def _one_by_one(verdicts: Sequence[dict[str, Any]], statuses: Sequence[int], batch: Sequence[Document]) -> Delivery:
    done = duplicates = 0
    again: list[Document] = []
    dead: list[Dead] = []
    trouble = ""
    for verdict, status, document in zip(verdicts, statuses, batch, strict=True):
        if status in (200, 201):
            if verdict.get("failure_store") == "used":
                dead.append(Dead(document, "failure_store: used"))
            else:
                done += 1
        elif status == 409:
            duplicates += 1
        elif status in _NOT_THE_DOCUMENTS_FAULT or not 400 <= status < 500:
            again.append(document)
            trouble = trouble or reason(verdict.get("error"), status)
        else:
            dead.append(Dead(document, reason(verdict.get("error"), status)))
    return Delivery(done, duplicates, tuple(again), tuple(dead), trouble)


def reason(error: Any, status: int) -> str:
    """Type and reason of an Elasticsearch error in one short line, whatever shape it has."""
    if isinstance(error, dict):
        kind, words = error.get("type"), error.get("reason")
        text = f"{kind}: {words}" if kind and words else str(kind or words or "no reason given")
    else:
        text = str(error or "no reason given")
    return f"{status} {' '.join(text.split())}"[:REASON_MAX]


def error_of(answer: Any) -> Any:
    """The ``error`` of a failed request's body; None where there is none or it is no JSON."""
    try:
        body = orjson.loads(answer) if isinstance(answer, (bytes, str)) else answer
    except ValueError:
        return None
    return body.get("error") if isinstance(body, dict) else None
