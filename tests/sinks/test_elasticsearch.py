"""Every way a bulk request can go wrong, before a server that does as its script says: nothing lost, nothing twice."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from pipeline.config import MIB, Config, Elasticsearch
from pipeline.counters import Counters
from pipeline.document import Document
from pipeline.errors import SinkError, SinkUnavailable
from pipeline.sinks.base import SinkDenied
from pipeline.sinks.dead_letters import DeadLetters
from pipeline.sinks.elasticsearch import ElasticsearchSink
from pipeline.sinks.outbox import Outbox
from tests.sinks import scripted_server as scripted
from tests.sinks.scripted_server import ScriptedServer, Step, json_response
from tests.sinks.support import document, documents

REJECTED = {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "queue full"}}
BAD_DATE = {"status": 400, "error": {"type": "document_parsing_exception", "reason": "failed to parse field [x]"}}


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted.scripted_server() as server:
        yield server


class Delivered:
    """What a whole delivery came to."""

    def __init__(self, folder: Path, server_url: str, **settings: Any) -> None:
        elastic = {"url": server_url, "bulk_max_documents": 10, **settings}
        self.config = Config(state_directory=folder, elasticsearch=Elasticsearch(**elastic))
        self.counters = Counters()
        self.sink = ElasticsearchSink(self.config)
        self.dead_letters = DeadLetters(folder / "dead.ndjson", MIB, self.counters)

    async def deliver(self, batch: list[Document]) -> Counters:
        """Put them through an outbox whose pauses last no time."""
        self.dead_letters.open()
        outbox = Outbox(self.sink, self.config, self.counters, self.dead_letters, jitter=lambda: 0.0)
        try:
            async with anyio.create_task_group() as tasks:
                await outbox.put(batch)
                tasks.start_soon(outbox.run)
                await outbox.drain(20)
        finally:
            await outbox.aclose()
        return self.counters


@pytest.fixture
def deliver(tmp_path: Path, server: ScriptedServer) -> Callable[..., Awaitable[Counters]]:
    async def run(count: int = 10, **settings: Any) -> Counters:
        return await Delivered(tmp_path, server.url, **settings).deliver(documents(count))

    return run


Deliver = Callable[..., Awaitable[Counters]]


async def test_all_created(server: ScriptedServer, deliver: Deliver) -> None:
    counters = await deliver(25)
    assert (counters.delivered, counters.retried, counters.duplicates) == (25, 0, 0)
    assert len(server.documents) == 25
    assert set(server.streams.values()) == {"logs-lineage.process-default"}


async def test_one_429_among_created_sends_that_one_again(server: ScriptedServer, deliver: Deliver) -> None:
    server.script = [scripted.items(None, None, None, REJECTED)]
    counters = await deliver(10)
    assert server.requests[1:] == [["id3"]]
    assert (counters.delivered, counters.retried) == (10, 1)


async def test_all_429_then_recovery(server: ScriptedServer, deliver: Deliver) -> None:
    server.script = [scripted.all_items(REJECTED)] * 3
    counters = await deliver(10)
    assert (counters.delivered, counters.retried, len(server.documents)) == (10, 30, 10)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b'{"error":{"type":"t"}}', "application/json"),
        (b"<html>Bad Gateway</html>", "text/html"),
        (b"", "x/y"),
    ],
)
async def test_a_request_refused_for_now_is_sent_again(
    server: ScriptedServer, deliver: Deliver, status: int, text: bytes, kind: str
) -> None:
    server.script = [scripted.refuses(status, text, kind)]
    counters = await deliver(10)
    assert (counters.delivered, counters.retried, counters.duplicates) == (10, 10, 0)


async def test_a_reset_before_the_server_applied_it(server: ScriptedServer, deliver: Deliver) -> None:
    server.script = [scripted.resets_before]
    counters = await deliver(10)
    assert (counters.delivered, counters.duplicates) == (10, 0)


@pytest.mark.parametrize(
    "step",
    [
        scripted.resets_after,
        scripted.cuts_the_answer,
        scripted.mangles(lambda answer: answer[:-7]),
        scripted.mangles(lambda answer: b""),
        scripted.mangles(lambda answer: b'{"items":[]}'),
        scripted.mangles(lambda answer: orjson.dumps({"items": orjson.loads(answer)["items"][1:]})),
        scripted.mangles(lambda answer: b"\xff" + answer),
    ],
    ids=["reset", "hung up", "truncated", "empty", "no items", "an item less", "no UTF-8"],
)
async def test_an_applied_batch_whose_answer_is_lost_is_nowhere_twice(
    server: ScriptedServer, deliver: Deliver, step: Step
) -> None:
    server.script = [step]
    counters = await deliver(10)
    assert (counters.delivered, counters.duplicates, counters.retried) == (0, 10, 10)
    assert len(server.documents) == 10


async def test_a_read_time_out_is_sent_again(server: ScriptedServer, deliver: Deliver) -> None:
    server.script = [scripted.applies_and_never_answers]
    counters = await deliver(10, request_timeout_s=0.3)
    assert (counters.delivered, counters.duplicates) == (0, 10)


async def test_a_batch_too_large_is_split_until_it_fits(server: ScriptedServer, deliver: Deliver) -> None:
    server.body_max = 1500
    counters = await deliver(10)
    assert (counters.delivered, counters.retried, counters.refused.total()) == (10, 0, 0)
    assert len(server.documents) == 10


async def test_a_single_document_too_large_is_dead_and_no_other(server: ScriptedServer, tmp_path: Path) -> None:
    server.body_max = 4000
    delivered = Delivered(tmp_path, server.url)
    counters = await delivered.deliver([*documents(4), document(99, padding=5000), *documents(4, first=4)])
    assert counters.delivered == 8
    assert list(counters.refused) == ["413 too large"]
    kept = orjson.loads(delivered.dead_letters.path.read_bytes())
    assert kept["id"] == "id99"
    assert kept["document"]["event"]["id"] == "id99"


async def test_after_a_413_later_batches_are_smaller(server: ScriptedServer, tmp_path: Path) -> None:
    delivered = Delivered(tmp_path, server.url, bulk_max_documents=1000)
    server.body_max = 150_000
    await delivered.sink.connect()
    await delivered.sink.send(documents(20, padding=10_000))
    assert delivered.sink.batch_max_bytes < 150_000
    await delivered.sink.aclose()


async def test_half_a_split_batch_that_fails_is_all_that_is_sent_again(
    server: ScriptedServer, deliver: Deliver
) -> None:
    too_large = scripted.refuses(413)
    server.script = [too_large, scripted.items(), scripted.refuses(503)]
    counters = await deliver(10)
    assert server.requests[-1] == [f"id{number}" for number in range(5, 10)]
    assert (counters.delivered, counters.retried, counters.duplicates) == (10, 5, 0)


async def test_a_400_beside_good_documents_is_dead_alone(server: ScriptedServer, deliver: Deliver) -> None:
    server.script = [scripted.items(None, BAD_DATE)]
    counters = await deliver(10)
    assert counters.delivered == 9
    assert counters.refused == {"400 document_parsing_exception": 1}


async def test_a_document_in_the_failure_store_counts_as_refused(server: ScriptedServer, deliver: Deliver) -> None:
    server.script = [scripted.items({"status": 201, "failure_store": "used"})]
    counters = await deliver(10)
    assert counters.delivered == 9
    assert counters.refused == {"failure_store": 1}


@pytest.mark.parametrize("status", [401, 403, 400, 404])
async def test_a_request_denied_in_mid_run_keeps_the_documents(
    server: ScriptedServer, tmp_path: Path, status: int
) -> None:
    server.script = [scripted.refuses(status, b'{"error":{"type":"security_exception","reason":"no"}}')]
    sink = Delivered(tmp_path, server.url).sink
    await sink.connect()
    with pytest.raises(SinkDenied, match=f"{status} security_exception: no"):
        await sink.send(documents(3))
    assert (await sink.send(documents(3))).done == 3
    await sink.aclose()


async def test_a_missing_data_stream_keeps_the_documents(server: ScriptedServer, deliver: Deliver) -> None:
    missing = {"status": 404, "error": {"type": "index_not_found_exception", "reason": "no data stream"}}
    server.script = [scripted.all_items(missing)]
    counters = await deliver(10)
    assert (counters.delivered, counters.refused.total()) == (10, 0)


async def test_a_server_away_for_long_loses_only_what_is_counted(tmp_path: Path) -> None:
    delivered = Delivered(tmp_path, "http://127.0.0.1:9")
    config = delivered.config.model_copy(update={"outbox_max_bytes": MIB, "outbox_hold_s": 0.0})
    outbox = Outbox(delivered.sink, config, delivered.counters, delivered.dead_letters, jitter=lambda: 0.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        for number in range(100):
            await outbox.put(documents(20, first=number * 20, padding=500))
            assert delivered.counters.outbox_bytes <= MIB
        await outbox.drain(0)
    dropped = delivered.counters.dropped
    assert dropped["outbox full"] > 0
    assert dropped.total() == 2000
    await outbox.aclose()


async def test_bodies_arrive_byte_for_byte_with_any_text(server: ScriptedServer, tmp_path: Path) -> None:
    texts = ["nginx → bash", "\x00NUL\x1f", "\ufffd", "🦀", '"quoted"\\', "\u2028", "a\nb"]
    bodies = [orjson.dumps({"process": {"args": [text]}}) for text in texts]
    sent = [Document(f"id{number}", "process", body) for number, body in enumerate(bodies)]
    await Delivered(tmp_path, server.url).deliver(sent)
    assert [server.bodies[document.id] for document in sent] == [document.body for document in sent]


async def test_compressed_bodies_arrive_too(server: ScriptedServer, deliver: Deliver) -> None:
    counters = await deliver(10, compress=True)
    assert counters.delivered == 10
    assert server.headers[-1]["content-encoding"] == "gzip"


async def test_a_near_server_gets_no_compressed_bodies(server: ScriptedServer, deliver: Deliver) -> None:
    await deliver(10)
    assert "content-encoding" not in server.headers[-1]


async def test_a_large_request_is_sent_without_a_warning(server: ScriptedServer, tmp_path: Path) -> None:
    delivered = Delivered(tmp_path, server.url, bulk_max_documents=1000)
    counters = await delivered.deliver(documents(1000, padding=2000))
    assert counters.delivered == 1000
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({"api_key": "c2VjcmV0"}, "ApiKey c2VjcmV0"),
        ({"username": "elastic", "password": "x"}, "Basic ZWxhc3RpYzp4"),
    ],
)
async def test_credentials_are_sent(
    server: ScriptedServer, deliver: Deliver, settings: dict[str, Any], header: str
) -> None:
    await deliver(1, **settings)
    assert {headers["authorization"] for headers in server.headers} == {header}


# First contact.


async def greeted(server: ScriptedServer, folder: Path, status: int, value: Any, **settings: Any) -> ElasticsearchSink:
    server.greeting = json_response(status, value)
    sink = Delivered(folder, server.url, **settings).sink
    try:
        await sink.connect()
    finally:
        await sink.aclose()
    return sink


@pytest.mark.parametrize("number", ["8.16.0", "8.19.3", "9.4.3", "10.0.0", "8.17.0-SNAPSHOT"])
async def test_a_version_new_enough_is_accepted(server: ScriptedServer, tmp_path: Path, number: str) -> None:
    await greeted(server, tmp_path, 200, {"version": {"number": number}})


async def test_a_serverless_project_is_accepted_whatever_its_number(server: ScriptedServer, tmp_path: Path) -> None:
    await greeted(server, tmp_path, 200, {"version": {"number": "8.11.0", "build_flavor": "serverless"}})


@pytest.mark.parametrize("number", ["8.15.5", "7.17.0", "6.8.0"])
async def test_an_older_version_is_named(server: ScriptedServer, tmp_path: Path, number: str) -> None:
    with pytest.raises(SinkError, match=rf"is version {number}: 8\.16 or later is needed"):
        await greeted(server, tmp_path, 200, {"version": {"number": number}})


@pytest.mark.parametrize(
    "value",
    [{"version": {"number": "2.11.0", "distribution": "opensearch"}}, {"hello": 1}, [], {"version": {"number": "x"}}],
)
async def test_a_foreign_server_is_an_error(server: ScriptedServer, tmp_path: Path, value: Any) -> None:
    with pytest.raises(SinkError, match="is not Elasticsearch: mend ELASTICSEARCH_URL"):
        await greeted(server, tmp_path, 200, value)


async def test_a_server_without_the_products_header_is_foreign(server: ScriptedServer, tmp_path: Path) -> None:
    server.greeting = (200, b"<html>Welcome to nginx</html>", {"Content-Type": "text/html"})
    sink = Delivered(tmp_path, server.url).sink
    with pytest.raises(SinkError, match="is not Elasticsearch"):
        await sink.connect()
    await sink.aclose()


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_name_the_variables(server: ScriptedServer, tmp_path: Path, status: int) -> None:
    error = {"error": {"type": "security_exception", "reason": "missing credentials"}}
    with pytest.raises(SinkError, match="set ELASTICSEARCH_API_KEY") as caught:
        await greeted(server, tmp_path, status, error)
    assert not isinstance(caught.value, SinkUnavailable)


async def test_a_key_that_may_only_write_is_enough(server: ScriptedServer, tmp_path: Path) -> None:
    server.may_write = True
    await greeted(server, tmp_path, 403, {"error": {"type": "security_exception", "reason": "no monitor"}})


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_server_that_is_not_ready_is_waited_for(server: ScriptedServer, tmp_path: Path, status: int) -> None:
    with pytest.raises(SinkUnavailable, match=str(status)) as caught:
        await greeted(server, tmp_path, status, {"error": "starting"})
    assert not isinstance(caught.value, SinkError)


@pytest.mark.parametrize(
    ("url", "words"),
    [("http://127.0.0.1:9", "connection refused"), ("http://no-such-host.invalid:9200", "its name")],
)
async def test_nobody_there_is_waited_for_and_says_why(tmp_path: Path, url: str, words: str) -> None:
    sink = Delivered(tmp_path, url).sink
    with pytest.raises(SinkUnavailable, match=words) as caught:
        await sink.connect()
    assert url in str(caught.value)
    await sink.aclose()


@pytest.mark.parametrize("url", ["http://", "http://host:port", "http://[::1", "https://:9200"])
def test_a_bad_url_is_an_error_that_names_the_variable(tmp_path: Path, url: str) -> None:
    with pytest.raises(SinkError, match="mend ELASTICSEARCH_URL"):
        Delivered(tmp_path, url)


def test_a_password_in_the_url_is_never_shown(tmp_path: Path) -> None:
    sink = Delivered(tmp_path, "http://elastic:hunter2@127.0.0.1:9200/prefix/").sink
    assert repr(sink) == "<ElasticsearchSink Elasticsearch at http://127.0.0.1:9200/prefix>"


def test_half_of_a_user_and_password_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="set both ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD"):
        Delivered(tmp_path, "http://127.0.0.1:9200", username="elastic")


def test_a_missing_authority_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="LINEAGE_ELASTICSEARCH__CA_CERTS"):
        Delivered(tmp_path, "https://127.0.0.1:9200", ca_certs=tmp_path / "none.pem")


def test_a_file_that_is_no_certificate_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(SinkError, match="LINEAGE_ELASTICSEARCH__CA_CERTS"):
        Delivered(tmp_path, "https://127.0.0.1:9200", ca_certs=tmp_path / "ca.pem")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


async def test_an_untrusted_certificate_is_an_error_and_a_trusted_one_is_not(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async with scripted.scripted_server(context) as server:
        stranger = Delivered(tmp_path, server.url).sink
        with pytest.raises(SinkError, match="no trusted TLS connection"):
            await stranger.connect()
        await stranger.aclose()
        counters = await Delivered(tmp_path, server.url, ca_certs=certificate[0]).deliver(documents(3))
        assert counters.delivered == 3
