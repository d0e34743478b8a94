from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from pipeline.config import Config, Elasticsearch
from pipeline.counters import Counters
from pipeline.errors import SinkError, UsageError
from pipeline.sinks import open_sink
from pipeline.sinks.outbox import open_outbox


def config(folder: Path, url: str | None = None) -> Config:
    return Config(state_directory=folder, elasticsearch=Elasticsearch(url=url))


@pytest.mark.parametrize(
    ("spec", "url", "expected"),
    [
        (None, None, "<StoreSink {}/events.db>"),
        (None, "http://127.0.0.1:9200", "<ElasticsearchSink Elasticsearch at http://127.0.0.1:9200>"),
        ("elasticsearch", "http://127.0.0.1:9200", "<ElasticsearchSink Elasticsearch at http://127.0.0.1:9200>"),
        ("store", "http://127.0.0.1:9200", "<StoreSink {}/events.db>"),
        ("store:{}/mine.db", None, "<StoreSink {}/mine.db>"),
        ("ndjson", None, "<NdjsonSink standard output>"),
        ("ndjson:-", None, "<NdjsonSink standard output>"),
        ("ndjson:{}/with:colon", None, "<NdjsonSink {}/with:colon>"),
        ("ndjson:/dev/null", None, "<NdjsonSink /dev/null>"),
    ],
)
async def test_a_spec_names_a_sink(tmp_path: Path, spec: str | None, url: str | None, expected: str) -> None:
    sink = open_sink(spec and spec.format(tmp_path), config(tmp_path, url), Counters())
    assert repr(sink) == expected.format(tmp_path)
    await sink.aclose()


@pytest.mark.parametrize("spec", ["", "kafka", "elasticsearch:http://x", "Store", "ndjson-"])
def test_an_unknown_spec_is_wrong_usage(tmp_path: Path, spec: str) -> None:
    with pytest.raises(UsageError, match="there is no sink") as caught:
        open_sink(spec, config(tmp_path), Counters())
    assert caught.value.exit_code == 2


def test_elasticsearch_without_an_address_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="set ELASTICSEARCH_URL"):
        open_sink("elasticsearch", config(tmp_path), Counters())


def test_other_sinks_do_not_load_the_elasticsearch_client(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pipeline.config import Config\n"
        "from pipeline.counters import Counters; from pipeline.sinks import open_sink\n"
        "from pipeline.sinks.outbox import open_outbox\n"
        f"config = Config(state_directory=Path({str(tmp_path)!r})); counters = Counters()\n"
        "for spec in ('store', 'ndjson:/dev/null'):\n"
        "    open_outbox(open_sink(spec, config, counters), config, counters)\n"
        "loaded = {'elasticsearch', 'elastic_transport', 'aiohttp'} & set(sys.modules)\n"
        "sys.exit(', '.join(loaded) or 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(("spec", "kept"), [("ndjson:/dev/null", False), ("store", True)])
def test_a_dead_letter_file_stands_by_where_documents_may_be_refused(spec: str, kept: bool, tmp_path: Path) -> None:
    settings, counters = config(tmp_path), Counters()
    outbox = open_outbox(open_sink(spec, settings, counters), settings, counters)
    assert (tmp_path / "dead-letters.ndjson").exists() is kept
    anyio.run(outbox.aclose)


@pytest.mark.parametrize("spec", ["store:", "ndjson:"])
def test_a_colon_without_a_file_is_refused(spec: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no file"):
        open_sink(spec, config(tmp_path), Counters())


@pytest.mark.parametrize("kind", ["store", "ndjson"])
def test_a_file_named_in_a_folder_that_is_not_there_is_refused_and_nothing_is_made(kind: str, tmp_path: Path) -> None:
    with pytest.raises(SinkError) as caught:
        open_sink(f"{kind}:{tmp_path}/mistyped/x", config(tmp_path), Counters())
    words = f"{tmp_path}/mistyped/x cannot be opened (No such file or directory): name another with --sink {kind}:FILE"
    assert str(caught.value) == words
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_the_default_store_is_made(tmp_path: Path) -> None:
    sink = open_sink("store", config(tmp_path / "a/b"), Counters())
    assert (tmp_path / "a/b/events.db").exists()
    anyio.run(sink.aclose)
