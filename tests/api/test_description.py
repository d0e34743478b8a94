"""The server is what its description says, whatever is asked: schemathesis makes questions up."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
)

from pipeline.api.openapi import DESCRIPTION, PATHS
from tests.api.serving import Host, free_port, rest, serving

TOKEN = "0123456789abcdef-token"
EXAMPLES = 25  # a path
KNOWN = (known := Host()).id(known.shell)  # the stream is the same each time

schema = schemathesis.openapi.from_dict(DESCRIPTION)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A server in a thread of its own, since schemathesis waits for its answers."""
    host = Host()
    host.stream.thread_start(host.shell)
    for name in ("curl", "sleep"):
        host.stream.spawn(host.shell, f"/usr/bin/{name}")
    host.wait(100)
    host.tell()
    address = f"127.0.0.1:{free_port()}"
    started, loop = threading.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        async with serving(host, api_address=address, api_token=TOKEN):
            started.set()
            await ended.wait()

    ended = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(60)
    yield f"http://{address}"
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()
    assert not host.counters.api_refused["internal"]
    assert host.counters.api_requests > EXAMPLES


@schema.parametrize()
@hypothesis.settings(max_examples=EXAMPLES, deadline=None)
def test_the_server_answers_as_it_is_described(case: Any, base_url: str) -> None:
    # Left out: a time that fits its pattern may be no day of any month, or still to come.
    case.call_and_validate(
        base_url=base_url,
        headers={"Authorization": f"Bearer {TOKEN}"},
        excluded_checks=[positive_data_acceptance],
    )


@schema.parametrize()
@hypothesis.settings(max_examples=EXAMPLES, deadline=None)
def test_what_it_answers_of_whom_it_knows_is_as_described(case: Any, base_url: str) -> None:
    if "id" in case.path_parameters:
        case.path_parameters["id"] = KNOWN
    for number in ("pid", "tid"):
        if number in case.query:
            case.query[number] = 50
    if "entity_id" in case.query:
        case.query["entity_id"] = KNOWN
    case.call_and_validate(
        base_url=base_url,
        headers={"Authorization": f"Bearer {TOKEN}"},
        checks=[
            content_type_conformance,
            not_a_server_error,
            response_schema_conformance,
            status_code_conformance,
        ],
    )


async def test_it_is_the_description_that_is_served() -> None:
    async with serving(Host()) as client:
        assert await client.ok("/openapi.json") == DESCRIPTION


async def test_what_is_described_is_there_and_the_reverse() -> None:
    host = Host()
    async with serving(host) as client:
        for path in PATHS:
            number = {"/processes": "?pid=50", "/lineage": "?pid=50", "/threads": "?tid=50"}.get(path, "")
            url = path.format(id=host.id(host.shell)) + number
            async with client.session.get(client.base + url) as response:
                assert response.status == 200, path


async def test_head_is_answered_as_get_is_and_without_a_body() -> None:
    host = Host()
    asked = [
        path.format(id=host.id(host.shell))
        + {"/processes": "?pid=50", "/lineage": "?pid=50", "/threads": "?tid=50"}.get(path, "")
        for path in PATHS
    ]
    async with serving(host) as client:
        for path in [*asked, "/processes?pid=49", "/tree?depth=none", "/nowhere"]:
            async with client.session.get(client.base + path) as response:
                expected = (response.status, response.content_type)
                assert await response.read()
            reader, writer = await asyncio.open_unix_connection(client.path)
            for ending in ("", "Connection: close\r\n"):
                writer.write(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n{ending}\r\n".encode())
            first, second, body = (await rest(reader)).decode().split("\r\n\r\n")
            assert body == ""
            for head in (first, second):
                status = int(head.split()[1])
                content_type = next(line for line in head.split("\r\n") if line.startswith("Content-Type: "))
                assert (status, content_type.removeprefix("Content-Type: ").split(";")[0]) == expected, path
            writer.close()
        refused = Counter({"no_such_pid": 3, "bad_depth": 3, "no_such_path": 3})
        assert host.counters.api_refused == refused


OPEN = frozenset({"host", "process", "lineage", "related", "container", "file"})
"""Objects of which docs/fields.md has the rest."""


def _not_described(answer: Any, described: dict[str, Any], where: str) -> Iterator[str]:
    """Members that the description has none for. Of alternatives the one that requires what is there is meant."""
    if "$ref" in described:
        described = DESCRIPTION["components"]["schemas"][described["$ref"].rpartition("/")[2]]
    if "oneOf" in described:
        described = next(one for one in described["oneOf"] if answer.keys() >= set(one["required"]))
    for name, value in answer.items():
        member = described["properties"].get(name)
        if member is None:
            yield f"{where}.{name}"
        elif isinstance(value, dict) and name not in OPEN and "properties" in member:
            yield from _not_described(value, member, f"{where}.{name}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for one in value:
                yield from _not_described(one, member["items"], f"{where}.{name}")


async def test_all_that_is_answered_is_described() -> None:
    host = Host()
    host.stream.thread_start(host.shell)
    child = host.stream.spawn(host.shell, "/usr/bin/curl")
    child.uid = 33
    host.stream.new_credentials(child)
    host.stream.exit(host.stream.spawn(child, "/usr/bin/sleep"), 9)
    host.tell()
    asked: dict[str, list[dict[str, str]]] = {path: [{}] for path in PATHS if path not in ("/metrics", "/openapi.json")}
    for path in ("/processes", "/lineage"):
        asked[path] = [{"pid": "50"}]
    asked["/threads"] = [{"tid": "50"}]
    asked["/tree"].append({"kernel_threads": "false"})
    for path in ("/processes", "/processes/{id}", "/threads", "/threads/{id}"):
        asked[path] += [parameters | {"history": "true"} for parameters in asked[path]]
    asked["/processes/{id}/artifacts"].append({"kind": "files"})
    async with serving(host) as client:
        for path, questions in asked.items():
            for parameters in questions:
                for process in (host.shell, child):
                    answer = await client.ok(path.format(id=host.id(process)), **parameters)
                    schema = PATHS[path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
                    assert list(_not_described(answer, schema, path)) == []
