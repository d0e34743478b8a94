"""A version without an event says what its documents say."""

from __future__ import annotations

import orjson
import pytest

from pipeline.process import ProcessVersion
from tests.enrich.examples import SECOND_NS, WEB_FACTS, contained, describer, ended, executed, process, told
from tests.enrich.test_describer import KINDS

OF_EVENTS = ("@timestamp", "message", "event", "ecs", "data_stream", "agent", "host")


@pytest.mark.parametrize("of", KINDS, ids=lambda of: of.image.name)
def test_it_is_the_document_of_what_runs_less_what_only_an_event_has(of: ProcessVersion) -> None:
    by = describer()
    by.learn(contained(WEB_FACTS))
    living = of._replace(end_ns=None, exit_status=None)
    document = orjson.loads(by.describe_running(living).body)
    version = orjson.loads(by.describe_version(living))
    assert version == {name: value for name, value in document.items() if name not in OF_EVENTS}
    assert by.host() == document["host"]


@pytest.mark.parametrize("status", [0, 3 << 8, 9, 0x8B])
def test_an_end_has_the_time_and_the_code_of_its_document(status: int) -> None:
    by = describer()
    of = process(end_ns=20_000 * SECOND_NS, exit_status=status)
    event = ended(of, status)
    event = event._replace(stamp=event.stamp._replace(time_ns=20_000 * SECOND_NS))
    document = told(event, of, by)
    version = orjson.loads(by.describe_version(of))
    assert version["process"]["end"] == document["process"]["end"]
    assert version["process"]["exit_code"] == document["process"]["exit_code"]
    signal = document["lineage"]["exit"].get("signal")
    assert version["lineage"].get("exit", {}).get("signal") == signal


def test_asking_leaves_what_documents_say_as_it_was() -> None:
    by, of = describer(), process()
    before = told(executed(of), of, by)
    by.describe_version(of._replace(thread_name="another", working_directory="/elsewhere"))
    assert told(executed(of), of, by) == before


def test_an_ancestor_and_credentials_are_those_of_a_document() -> None:
    by, of = describer(), process()
    document = told(executed(of), of, by)
    assert of.parent is not None
    assert orjson.loads(by.describe_relative(of.parent)) == document["process"]["parent"]
    credentials = orjson.loads(by.describe_credentials(of.credentials, of_host=True))
    assert credentials.items() <= document["process"].items()
    assert {"user", "real_user", "saved_user", "group"} <= credentials.keys()
