from __future__ import annotations

import orjson

from pipeline.document import Document
from pipeline.sinks.bulk import BulkEncoder, data_stream
from tests.sinks.support import document


def test_each_document_is_two_lines_and_its_bytes_are_untouched() -> None:
    one, two = document(1), document(2, stream="alert")
    lines = BulkEncoder("prod").body([one, two]).split(b"\n")
    assert orjson.loads(lines[0]) == {"create": {"_index": "logs-lineage.process-prod", "_id": "id1"}}
    assert lines[1] == one.body
    assert orjson.loads(lines[2]) == {"create": {"_index": "logs-lineage.alert-prod", "_id": "id2"}}
    assert lines[3] == two.body
    assert lines[4:] == [b""]


def test_a_line_break_inside_a_document_does_not_break_the_request() -> None:
    body = BulkEncoder("d").body([Document("a", "process", b'{"x":\n1}')])
    assert body.count(b"\n") == 2
    assert orjson.loads(body.split(b"\n")[1]) == {"x": 1}


def test_a_data_stream_is_named_by_dataset_and_namespace() -> None:
    assert data_stream("process", "default") == "logs-lineage.process-default"
