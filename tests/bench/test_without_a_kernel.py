"""The benchmarks on made-up streams, and the stream itself."""

from __future__ import annotations

from collections import Counter

import pytest

from pipeline.bench import mix
from pipeline.counters import Counters
from pipeline.events import Event, Exec, Exit, Fork, HostFacts, SnapshotEnd, ThreadEnd, ThreadStart
from pipeline.sources.decode import decode_batch
from tests.bench.conftest import Measure


def _events(count: int, seed: int = 0) -> list[Event]:
    counters = Counters()
    events = [event for batch in mix.records(count, seed=seed) for event in decode_batch(batch, counters)]
    assert not counters.bad_records
    return events


def test_the_stream_has_as_many_events_as_were_asked_for() -> None:
    for count in (1, 700, 5_000):
        assert len(_events(count)) == count


def test_the_stream_is_the_same_each_time() -> None:
    assert list(mix.records(3_000)) == list(mix.records(3_000))


def test_streams_of_other_seeds_are_of_other_boots() -> None:
    first, second = _events(1)[0], _events(1, seed=1)[0]
    assert isinstance(first, HostFacts)
    assert isinstance(second, HostFacts)
    assert first.boot_id != second.boot_id


def test_the_stream_has_the_mix_that_it_says() -> None:
    events = _events(50_000)
    begin = next(at for at, event in enumerate(events) if isinstance(event, SnapshotEnd))
    kinds = Counter(type(event) for event in events[begin + 1 :])
    assert 0.8 < kinds[Exec] / kinds[Fork] < 1.0
    assert abs(kinds[Exit] - kinds[Fork]) < 10
    assert kinds[ThreadStart] > kinds[Fork] / 10
    assert abs(kinds[ThreadStart] - kinds[ThreadEnd]) < 10


def test_stages_gives_the_cost_of_each_stage_and_their_sum(measure: Measure) -> None:
    figures = measure("stages")
    assert {figure.unit for figure in figures.values()} == {"us/event"}
    values = [figure.value for figure in figures.values()]
    assert len(values) == 5
    *stages, whole = [value for value in values if value is not None]
    assert all(0 < stage < 10_000 for stage in stages)
    assert whole == pytest.approx(sum(stages), rel=0.5)  # medians do not add up exactly


def test_replay_without_elasticsearch_says_so_and_measures_the_rest(measure: Measure) -> None:
    figures = measure("replay")
    rate = figures["to NDJSON"]
    assert rate.unit == "documents/s"
    assert rate.goal == 30_000
    assert rate.value is not None
    missing = figures["to Elasticsearch"]
    assert missing.value is None
    assert "set ELASTICSEARCH_URL" in missing.note


@pytest.mark.elasticsearch
def test_replay_into_elasticsearch_delivers_every_document(measure: Measure, elasticsearch_url: str) -> None:
    rate = measure("replay", elasticsearch_url)["to Elasticsearch"]
    assert rate.value is not None
    assert rate.unit == "documents/s"


@pytest.mark.elasticsearch
def test_both_ways_of_delivery_are_measured_on_the_same_documents(measure: Measure, elasticsearch_url: str) -> None:
    figures = measure("deliver", elasticsearch_url)
    assert {figure.unit for figure in figures.values()} == {"documents/s", "us/document"}
    assert all(figure.value is not None and figure.value > 0 for figure in figures.values())
    assert figures["ours"].note == figures["async_streaming_bulk"].note
