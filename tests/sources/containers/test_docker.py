"""An engine that answers with anything is never believed, and never more than counted. The real one: tests/stack."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from pipeline.counters import Counters
from pipeline.errors import ContainerRuntimeError
from pipeline.sources.containers.docker import ANSWER_MAX_BYTES, Docker
from pipeline.sources.containers.facts import bounded
from tests.sources.containers.unix_server import Serve, hangs_up, is_silent, raw_server, says, socket_path

WEB = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970"
IMAGE = "sha256:" + "0123456789abcdef" * 4
DIGEST = "sha256:" + "fedcba9876543210" * 4
LISTED: dict[str, Any] = {"Id": WEB, "Names": ["/web"], "Image": "registry.example/web:1.2", "ImageID": IMAGE}

Answers = dict[str, Callable[[], web.Response]]


class Engine:
    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, dict(request.query)))
        return self.answers.get(request.path, lambda: web.Response(status=404, text='{"message":"no such thing"}'))()


@asynccontextmanager
async def engine(answers: Answers) -> AsyncIterator[tuple[Docker, Engine]]:
    scripted = Engine(answers)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", scripted.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    with socket_path() as socket:
        await web.UnixSite(runner, str(socket)).start()
        docker = Docker(socket)
        try:
            yield docker, scripted
        finally:
            await docker.aclose()
            await runner.cleanup()


def listing(*found: Any) -> Answers:
    return {"/containers/json": lambda: web.json_response(list(found))}


async def test_name_image_and_digests_are_told() -> None:
    image = {"RepoDigests": [f"registry.example/web@{DIGEST}"], "Config": {"Env": ["PASSWORD=x"]}}
    answers = listing(LISTED) | {f"/images/{IMAGE}/json": lambda: web.json_response(image)}
    async with engine(answers) as (docker, asked):
        expected = {
            "container": {
                "id": WEB,
                "name": "web",
                "runtime": "docker",
                "image": {"name": "registry.example/web", "tag": ["1.2"], "hash": {"all": [IMAGE, DIGEST]}},
            }
        }
        assert await docker.describe(WEB) == expected
        assert await docker.describe(WEB) == expected
        question = ("/containers/json", {"all": "1", "filters": json.dumps({"id": [WEB]}, separators=(",", ":"))})
        assert asked.asked == [question, (f"/images/{IMAGE}/json", {}), question]


async def test_the_page_of_a_container_is_never_asked_for() -> None:
    """It has the environment, and passwords in it."""
    async with engine(listing(LISTED)) as (docker, asked):
        await docker.describe(WEB)
        assert not any(WEB in path for path, _ in asked.asked)


async def test_another_container_whose_id_begins_alike_is_not_believed() -> None:
    async with engine(listing(LISTED | {"Id": WEB + "0"}, {"Id": WEB[:12]}, {}, None, 7)) as (docker, _):
        assert await docker.describe(WEB) is None


async def test_no_such_container_is_no_answer() -> None:
    async with engine(listing()) as (docker, _):
        assert await docker.describe(WEB) is None


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["/web"], "web"), (["/other/alias", "/web"], "web"), ([], None), (None, None), ([7, "/web"], "web")],
)
async def test_of_several_names_its_own_is_told(names: Any, expected: str | None) -> None:
    async with engine(listing(LISTED | {"Names": names})) as (docker, _):
        described = await docker.describe(WEB)
        assert described is not None
        assert described["container"].get("name") == expected


async def test_a_pod_is_told_by_the_name_that_the_kubelets_shim_gives() -> None:
    async with engine(listing(LISTED | {"Names": ["/k8s_server_web-7d9f_shop_a1b2-c3_0"]})) as (docker, _):
        described = await docker.describe(WEB)
    assert described is not None
    assert described["container"]["name"] == "server"
    assert described["orchestrator"] == {
        "type": "kubernetes",
        "namespace": "shop",
        "resource": {"type": "pod", "name": "web-7d9f", "id": "a1b2-c3"},
    }


async def test_labels_name_no_pod_since_images_bring_labels_too() -> None:
    labels = {"io.kubernetes.pod.name": "forged", "io.kubernetes.pod.namespace": "kube-system"}
    async with engine(listing(LISTED | {"Labels": labels})) as (docker, _):
        described = await docker.describe(WEB)
    assert described is not None
    assert "orchestrator" not in described


@pytest.mark.parametrize("image_id", ["", "../../secrets", "sha256:../../x", IMAGE + "/json?x=", None, 7, [IMAGE]])
async def test_an_image_id_that_is_none_is_not_asked_about(image_id: Any) -> None:
    async with engine(listing(LISTED | {"ImageID": image_id})) as (docker, asked):
        assert await docker.describe(WEB) is not None
        assert len(asked.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=200, text="<html>"),
        lambda: web.json_response({"message": "page not found"}),
        lambda: web.json_response(None),
        lambda: web.Response(status=200, body=b"\xff\xfe"),
        lambda: web.Response(status=200, text='[{"Id": "\\ud800"}]'),
        lambda: web.Response(status=200, text="[" * 100_000),
        lambda: web.Response(status=200, body=b" " * (ANSWER_MAX_BYTES + 1)),
    ],
)
async def test_an_answer_that_is_no_list_is_garbage(answer: Callable[[], web.Response]) -> None:
    await _fails({"/containers/json": answer}, "garbage")


@pytest.mark.parametrize("status", [204, 301, 307, 400, 401, 403, 500, 503])
async def test_an_error_of_the_engine_is_told_and_no_redirection_followed(status: int) -> None:
    answers: Answers = {
        "/containers/json": lambda: web.Response(status=status, headers={"Location": "/elsewhere"}),
        "/elsewhere": lambda: web.json_response([LISTED]),
    }
    await _fails(answers, "refused")


async def _fails(answers: Answers, reason: str) -> None:
    async with engine(answers) as (docker, _):
        with pytest.raises(ContainerRuntimeError) as raised:
            await docker.describe(WEB)
        assert raised.value.reason == reason
        answers["/containers/json"] = lambda: web.json_response([])
        assert await docker.describe(WEB) is None  # it goes on after a failure


@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        (hangs_up, "closed"),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n"), "garbage"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n"), "garbage"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n[{"), "garbage"),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "garbage"),
        (says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"), "garbage"),
        (says(b"HTTP/1.1 200 OK\r\n\r\n", *[b" " * 65536] * 80), "garbage"),
        (says(b"\0" * 4096), "garbage"),
    ],
)
async def test_what_is_no_answer_is_told_apart(serve: Serve, reason: str) -> None:
    with socket_path() as socket:
        async with raw_server(serve, socket):
            docker = Docker(socket)
            with pytest.raises(ContainerRuntimeError) as raised:
                await docker.describe(WEB)
            await docker.aclose()
    assert raised.value.reason == reason


async def test_a_bomb_of_compressed_zeros_is_not_unpacked() -> None:
    body = gzip.compress(b"[" + b" " * 100_000_000 + b"]")
    answer = web.Response(body=body, headers={"Content-Encoding": "gzip"})
    await _fails({"/containers/json": lambda: answer}, "garbage")


async def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    docker = Docker(tmp_path / "none.sock")
    with pytest.raises(ContainerRuntimeError, match="No such file") as raised:
        await docker.describe(WEB)
    assert raised.value.reason == "unreachable"
    await docker.aclose()


async def test_one_that_says_nothing_can_be_left_and_asked_again() -> None:
    with socket_path() as socket:
        async with raw_server(is_silent, socket):
            docker = Docker(socket)
            for _ in range(3):
                with anyio.move_on_after(0.05) as scope:
                    await docker.describe(WEB)
                assert scope.cancelled_caught
            await docker.aclose()


_JSON: list[Any] = [None, True, 7, "x", "/x", [], {}, [None], [{}], {"Id": WEB}, LISTED, IMAGE, "x" * 9999, ["/x"] * 99]


@pytest.mark.parametrize("value", _JSON, ids=lambda value: json.dumps(value)[:20])
@pytest.mark.parametrize("key", ["Names", "Image", "ImageID", "Id"])
async def test_any_value_in_any_place_ends_well(key: str, value: Any) -> None:
    answers = listing(LISTED | {key: value}) | {f"/images/{IMAGE}/json": lambda: web.json_response(value)}
    async with engine(answers) as (docker, _):
        described = await docker.describe(WEB)
    assert described is None or len(json.dumps(bounded(described, Counters()))) < 20_000
