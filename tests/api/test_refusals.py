"""What gets no answer gets a reason: never an empty success, and never another reason's."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from pipeline.api.openapi import PATHS
from pipeline.api.problems import STATUS
from tests.api.serving import Host, rest, serving, until

NOBODY = "A" * 22


async def test_never_known_and_not_known_any_more_are_different_answers() -> None:
    host = Host(processes_max=64)
    first = host.stream.spawn(host.shell, "/usr/bin/first")
    host.stream.exit(first)
    host.tell()
    identity = host.id(first)
    for _ in range(100):
        host.stream.exit(host.stream.spawn(host.shell, "/usr/bin/true"))
    host.tell()
    async with serving(host) as client:
        for path in ("/processes/{}", "/processes/{}/children", "/processes/{}/threads", "/lineage/{}"):
            assert await client.refused(path.format(identity)) == (404, "forgotten")
            assert await client.refused(path.format(NOBODY)) == (404, "never_known")


async def test_before_its_birth_and_before_the_memory_are_different_answers() -> None:
    host = Host()
    host.wait(10)
    child = host.stream.spawn(host.shell, "/usr/bin/sleep")
    host.tell()
    async with serving(host) as client:
        began = (await client.ok("/health"))["began"]
        for path in ("/processes/{}", "/lineage/{}"):
            assert await client.refused(path.format(host.id(child)), at=began) == (404, "not_yet_born")
            # It ran for a second when the snapshot found it: nobody knows what it was then.
            found = path.format(host.id(host.shell))
            assert await client.refused(found, at="-10.5s") == (404, "before_memory")
            assert await client.refused(found, at="-1h") == (404, "not_yet_born")
        assert await client.refused("/tree", at="-11s") == (404, "before_memory")
        assert await client.refused("/processes", pid=50, at="-11s") == (404, "before_memory")
        assert await client.refused("/processes", pid=child.pid, at="-1s") == (404, "no_such_pid")
        assert await client.refused("/tree", pid=4242) == (404, "no_such_pid")


@pytest.mark.parametrize(
    "at",
    [
        *("", "soon", "--90s", "-", "-90", "2026-01-31", "2026-01-31T12:00:00", "2026-02-31T12:00:00Z", "٢٠٢٦"),
        *("2026-01-31T12:00:00.1234567890Z", "2026-01-31T12:00:60Z", "9999-12-31T23:59:59Z"),
    ],
)
async def test_what_is_no_time_is_told_so(at: str) -> None:
    host = Host()
    async with serving(host) as client:
        for path in (f"/processes/{host.id(host.shell)}", f"/lineage/{host.id(host.shell)}", "/tree"):
            assert await client.refused(path, at=at) == (400, "bad_time")
        assert await client.refused("/processes", pid=50, at=at) == (400, "bad_time")


@pytest.mark.parametrize("depth", ["0", "1000000", "-1", "1.5", "", "five", "１"])
async def test_what_is_no_depth_is_told_so(depth: str) -> None:
    host = Host()
    async with serving(host) as client:
        assert await client.refused(f"/lineage/{host.id(host.shell)}", depth=depth) == (400, "bad_depth")
        assert await client.refused("/tree", depth=depth) == (400, "bad_depth")


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/processes", {}),
        ("/processes", {"pid": "0"}),
        ("/processes", {"pid": "99999999999999999999"}),
        ("/processes", {"pid": "50", "colour": "red"}),
        ("/processes/{shell}", {"pid": "50"}),
        ("/processes/{shell}", {"history": "perhaps"}),
        ("/processes/{shell}/children", {"edge": "sideways"}),
        ("/processes/{shell}/siblings", {"edge": "birth"}),
        ("/lineage/{shell}", {"as_of": "yesterday"}),
        ("/threads/{shell}", {"depth": "1"}),
        ("/tree", {"ended": "true"}),
        ("/health", {"at": "-1s"}),
        ("/metrics", {"at": "-1s"}),
        ("/openapi.json", {"at": "-1s"}),
    ],
)
async def test_a_parameter_that_does_not_fit_is_named(path: str, parameters: dict[str, str]) -> None:
    host = Host()
    async with serving(host) as client:
        assert await client.refused(path.format(shell=host.id(host.shell)), **parameters) == (400, "bad_parameter")


async def test_a_parameter_that_comes_twice_is_refused() -> None:
    async with serving(Host()) as client:
        assert await client.refused("/tree?depth=1&depth=2") == (400, "bad_parameter")
        assert await client.refused("/health?a=1&a=2") == (400, "bad_parameter")


async def test_other_paths_and_other_methods_are_refused_and_counted() -> None:
    host = Host()
    async with serving(host) as client:
        assert await client.refused("/") == (404, "no_such_path")
        assert await client.refused("/processes/a/b/c") == (404, "no_such_path")
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            async with client.session.request(method, client.base + "/tree") as response:
                assert response.status == 405
                assert response.headers["Allow"] == "GET, HEAD"
    assert host.counters.api_refused == {"no_such_path": 2, "bad_method": 5}
    assert host.counters.api_requests == 7


async def test_before_the_first_snapshot_is_told_nothing_is_answered() -> None:
    host = Host(begin=False)
    host.tell()
    async with serving(host) as client:
        for path in ("/health", "/tree", f"/processes/{NOBODY}", f"/threads/{NOBODY}", "/lineage?pid=1"):
            assert await client.refused(path) == (503, "not_ready")
        host.stream.snapshot_end()
        host.tell()
        assert (await client.ok("/tree"))["count"] == 2


async def test_where_no_tree_is_kept_nobody_is_told_that_nothing_runs() -> None:
    async with serving(Host(remembers=False)) as client:
        for path in ("/tree", f"/processes/{NOBODY}", "/processes?pid=1", f"/lineage/{NOBODY}"):
            assert await client.refused(path) == (404, "no_tree")
        assert (await client.ok("/health"))["ok"]


async def test_more_questions_at_once_than_allowed_are_refused_and_the_next_is_answered() -> None:
    host = Host()
    async with serving(host, api_requests_max=1) as client:
        answers = await asyncio.gather(*(client.get("/tree") for _ in range(20)))
        reasons = [body.get("reason", "answered") for _, body in answers]
        assert set(reasons) == {"answered", "busy"}
        assert host.counters.api_refused["busy"] == reasons.count("busy")
        assert (await client.ok("/tree"))["count"] == 2


async def test_a_bug_is_one_answer_and_one_count_and_the_server_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()

    def fail(*_: Any) -> Any:
        raise ZeroDivisionError

    async with serving(host) as client:
        with monkeypatch.context() as patch:
            patch.setattr(host.questions, "_one", fail)
            assert await client.refused("/processes", pid=1) == (500, "internal")
        assert (await client.ok("/processes", pid=1))["process"]["pid"] == 1
    assert host.counters.api_refused == {"internal": 1}


async def test_a_reader_that_reads_nothing_is_left_and_never_given_half_an_answer_as_a_whole() -> None:
    host = Host()
    for _ in range(900):
        host.stream.spawn(host.shell, "/usr/bin/sleep", ("sleep", "x" * 4000))
    host.tell()
    async with serving(host, api_timeout_s=0.5, api_requests_max=1) as client:
        reader, writer = await asyncio.open_unix_connection(client.path)
        writer.write(b"GET /tree HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: host.counters.api_refused["slow"])
        received = await rest(reader)
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b'"truncated"' not in received
        assert received.count(b"HTTP/1.1 ") == 1  # no second answer within the first
        writer.close()
        assert (await client.ok("/health"))["ok"]


async def test_an_answer_with_more_rows_than_allowed_says_that_there_are_more() -> None:
    host = Host()
    for _ in range(198):
        host.stream.spawn(host.shell, "/usr/bin/sleep")
    host.tell()
    for rows_max, truncated in ((100, True), (128, True), (199, True), (200, False), (201, False)):
        async with serving(host, api_rows_max=rows_max) as client:
            answer = await client.ok("/tree")
            assert len(answer["processes"]) == answer["count"] == min(rows_max, 200)
            assert answer["truncated"] is truncated


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x00\n\n\n",
        b"GARBAGE",
        b"GET /tree HTTP/9.9",
        b"GET /" + b"x" * 70_000,
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x",
        b"GET /tree HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000,
        b"GET /tree HTTP/1.1\r\nHost: x\r\nExpect: the unexpected",
    ],
    ids=lambda sent: sent[:12],
)
async def test_what_is_no_http_gets_a_problem_as_well_and_the_next_is_answered(
    sent: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    host = Host()
    async with serving(host) as client:
        reader, writer = await asyncio.open_unix_connection(client.path)
        writer.write(sent + b"\r\n\r\n")
        head, _, body = (await rest(reader)).partition(b"\r\n\r\n")
        assert head.split(b"\r\n")[0] in (b"HTTP/1.0 400 Bad Request", b"HTTP/1.1 400 Bad Request")
        assert b"Content-Type: application/problem+json" in head
        problem = orjson.loads(body)
        assert (problem["status"], problem["reason"]) == (400, "bad_request")
        assert "xxx" not in problem["message"]
        writer.close()
        await writer.wait_closed()
        assert (await client.ok("/health"))["ok"]
    assert host.counters.api_refused == {"bad_request": 1}
    assert capsys.readouterr() == ("", "")


def test_every_reason_has_its_status_in_the_description() -> None:
    told = {int(status) for path in PATHS.values() for status in path["get"]["responses"]}
    assert told == {200, *STATUS.values()}
