"""Runtimes that speak gRPC: what they answer is compared, bounded, translated. The real ones: tests/stack."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from google.protobuf.message import Message
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from pipeline.errors import ContainerRuntimeError
from pipeline.sources.containers import Runtime, open_runtime
from pipeline.sources.containers.calls import Calls
from pipeline.sources.containers.messages import containerd_pb2 as containerd
from pipeline.sources.containers.messages import cri_pb2 as cri
from tests.sources.containers.unix_server import (
    Serve,
    connections_ended,
    hangs_up,
    is_silent,
    raw_server,
    says,
    socket_path,
)

WEB = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970"
POD = "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d"
DIGEST = "sha256:" + "0123456789abcdef" * 4
NAMESPACES = "/containerd.services.namespaces.v1.Namespaces/List"
CONTAINER = "/containerd.services.containers.v1.Containers/Get"
IMAGE = "/containerd.services.images.v1.Images/Get"
CRI = "/runtime.v1.RuntimeService/"

Reply = Callable[[Any, str], object]
"""From the request and containerd's namespace."""

Script = dict[str, tuple[type[Message], Reply]]


class Scripted:
    """A service of these methods; NOT_FOUND and every other status is raised by the reply."""

    def __init__(self, script: Script) -> None:
        self.script = script

    def __mapping__(self) -> dict[str, Handler]:
        def handler(reply: Reply) -> Callable[[Stream[Any, Any]], Awaitable[None]]:
            async def handle(stream: Stream[Any, Any]) -> None:
                request = await stream.recv_message()
                assert stream.metadata is not None
                await stream.send_message(reply(request, str(stream.metadata.get("containerd-namespace", ""))))

            return handle

        return {
            method: Handler(handler(reply), Cardinality.UNARY_UNARY, request, object)
            for method, (request, reply) in self.script.items()
        }


@asynccontextmanager
async def runtime(kind: str, script: Script) -> AsyncIterator[Runtime]:
    server = Server([Scripted(script)])
    with socket_path() as socket:
        await server.start(path=str(socket))
        asking = open_runtime(f"{kind}:{socket}")
        try:
            yield asking
        finally:
            await asking.aclose()
            server.close()
            await server.wait_closed()
            await connections_ended()


def _missing(*_: Any) -> Message:
    raise GRPCError(Status.NOT_FOUND, "not found")


def _containers(**by_namespace: containerd.Container) -> Script:
    """containerd with one container in each of these namespaces, whatever id is asked for."""

    def container(_: Any, namespace: str) -> Message:
        if namespace not in by_namespace:
            raise GRPCError(Status.NOT_FOUND, "not found")
        return containerd.GetContainerResponse(container=by_namespace[namespace])

    listed = containerd.ListNamespacesResponse(namespaces=[containerd.Namespace(name=name) for name in by_namespace])
    target = containerd.Descriptor(digest=DIGEST)
    image = containerd.GetImageResponse(image=containerd.Image(target=target))
    return {
        NAMESPACES: (containerd.ListNamespacesRequest, lambda *_: listed),
        CONTAINER: (containerd.GetContainerRequest, container),
        IMAGE: (containerd.GetImageRequest, lambda *_: image),
    }


LABELS = {
    "io.kubernetes.pod.name": "web-7d9f",
    "io.kubernetes.pod.namespace": "shop",
    "io.kubernetes.pod.uid": "a1b2",
    "io.kubernetes.container.name": "server",
}
CONTAINER_OF_A_POD = {"io.cri-containerd.container.metadata": containerd.Extension()}
SANDBOX = {"io.cri-containerd.sandbox.metadata": containerd.Extension()}
ORCHESTRATOR = {
    "type": "kubernetes",
    "namespace": "shop",
    "resource": {"type": "pod", "name": "web-7d9f", "id": "a1b2"},
}


async def test_containerd_is_asked_in_each_of_its_namespaces() -> None:
    script = _containers(
        default=containerd.Container(id=POD),
        **{"k8s.io": containerd.Container(id=WEB, image="web:1.2", labels=LABELS, extensions=CONTAINER_OF_A_POD)},
    )
    async with runtime("containerd", script) as asking:
        assert await asking.describe(WEB) == {
            "container": {
                "id": WEB,
                "name": "server",
                "runtime": "containerd",
                "image": {"name": "web", "tag": ["1.2"], "hash": {"all": [DIGEST]}},
            },
            "orchestrator": ORCHESTRATOR,
        }
        assert await asking.describe("0" * 64) is None


@pytest.mark.parametrize("namespace", ["default", "k8s.io"])
async def test_labels_are_believed_of_the_cri_plugins_containers_alone(namespace: str) -> None:
    """An image's labels become the container's. The kubelet writes over them, others do not."""
    labels = LABELS | {"nerdctl/name": "forged", "io.cri-containerd.kind": "container"}
    async with runtime("containerd", _containers(**{namespace: containerd.Container(id=WEB, labels=labels)})) as asking:
        assert await asking.describe(WEB) == {"container": {"id": WEB, "runtime": "containerd"}}


async def test_a_sandbox_has_no_name_but_a_pod() -> None:
    labels = {name: value for name, value in LABELS.items() if "pod" in name}
    sandbox = containerd.Container(id=WEB, labels=labels, extensions=SANDBOX)
    async with runtime("containerd", _containers(**{"k8s.io": sandbox})) as asking:
        described = await asking.describe(WEB)
    assert described == {"container": {"id": WEB, "runtime": "containerd"}, "orchestrator": ORCHESTRATOR}


async def test_of_dockers_containers_containerd_knows_no_more_than_that() -> None:
    async with runtime("containerd", _containers(moby=containerd.Container(id=WEB))) as asking:
        assert await asking.describe(WEB) == {"container": {"id": WEB, "runtime": "docker"}}


async def test_namespaces_that_are_no_names_are_not_asked_in() -> None:
    container = containerd.Container(id=WEB)
    async with runtime("containerd", _containers(**{"a b": container, "é": container, "": container})) as asking:
        assert await asking.describe(WEB) is None


async def test_an_image_that_containerd_has_no_more_has_no_digest() -> None:
    script = _containers(default=containerd.Container(id=WEB, image="web:1.2"))
    script[IMAGE] = (containerd.GetImageRequest, _missing)
    async with runtime("containerd", script) as asking:
        described = await asking.describe(WEB)
    assert described == {"container": {"id": WEB, "runtime": "containerd", "image": {"name": "web", "tag": ["1.2"]}}}


def _pods(container_id: str = WEB, sandbox_id: str = POD, of: str = POD) -> Script:
    """A runtime with one container in one sandbox, whatever filter is asked with."""
    metadata = cri.PodSandboxMetadata(name="web-7d9f", uid="a1b2", namespace="shop")
    container = cri.Container(id=container_id, pod_sandbox_id=of, metadata=cri.ContainerMetadata(name="server"))
    status = cri.ContainerStatus(id=container_id, image=cri.ImageSpec(image="web:1.2"), image_ref=f"web@{DIGEST}")
    sandbox = cri.PodSandbox(id=sandbox_id, metadata=metadata)
    return {
        CRI + "Version": (cri.VersionRequest, lambda *_: cri.VersionResponse(runtime_name="cri-o")),
        CRI + "ListContainers": (
            cri.ListContainersRequest,
            lambda *_: cri.ListContainersResponse(containers=[container]),
        ),
        CRI + "ContainerStatus": (cri.ContainerStatusRequest, lambda *_: cri.ContainerStatusResponse(status=status)),
        CRI + "ListPodSandbox": (cri.ListPodSandboxRequest, lambda *_: cri.ListPodSandboxResponse(items=[sandbox])),
    }


async def test_cri_tells_container_image_and_pod() -> None:
    async with runtime("cri", _pods()) as asking:
        assert await asking.describe(WEB) == {
            "container": {
                "id": WEB,
                "name": "server",
                "runtime": "cri-o",
                "image": {"name": "web", "tag": ["1.2"], "hash": {"all": [DIGEST]}},
            },
            "orchestrator": ORCHESTRATOR,
        }


async def test_a_sandbox_is_told_by_its_pod() -> None:
    async with runtime("cri", _pods()) as asking:
        assert await asking.describe(POD) == {
            "container": {"id": POD, "runtime": "cri-o"},
            "orchestrator": ORCHESTRATOR,
        }


async def test_ids_that_only_begin_alike_are_not_believed() -> None:
    async with runtime("cri", _pods(WEB + "0", POD + "0")) as asking:
        assert await asking.describe(WEB) is None
        assert await asking.describe(POD) is None


async def test_a_container_without_a_sandbox_has_no_pod() -> None:
    for sandbox_id in ("", "gone"):
        async with runtime("cri", _pods(of=sandbox_id)) as asking:
            described = await asking.describe(WEB)
        assert described is not None
        assert "orchestrator" not in described


async def test_a_container_that_ends_between_two_questions_keeps_what_was_told() -> None:
    script = _pods()
    script[CRI + "ContainerStatus"] = (cri.ContainerStatusRequest, _missing)
    async with runtime("cri", script) as asking:
        described = await asking.describe(WEB)
    assert described == {
        "container": {"id": WEB, "name": "server", "runtime": "cri-o"},
        "orchestrator": ORCHESTRATOR,
    }


# Faults.

KINDS = pytest.mark.parametrize("kind", ["containerd", "cri"])


async def _reason(asking: Runtime) -> str:
    with pytest.raises(ContainerRuntimeError) as raised:
        await asking.describe(WEB)
    return raised.value.reason


@KINDS
async def test_a_runtime_without_that_service_refuses(kind: str) -> None:
    async with runtime(kind, {}) as asking:
        assert await _reason(asking) == "refused"


@pytest.mark.parametrize("status", [Status.PERMISSION_DENIED, Status.INTERNAL, Status.UNAVAILABLE, Status.UNKNOWN])
async def test_an_error_of_the_runtime_is_told_and_it_is_asked_again(status: Status) -> None:
    errors = [GRPCError(status, "x" * 1000)]

    def listed(*_: Any) -> Message:
        if errors:
            raise errors.pop()
        return cri.ListContainersResponse()

    script = _pods()
    script[CRI + "ListContainers"] = (cri.ListContainersRequest, listed)
    async with runtime("cri", script) as asking:
        assert await _reason(asking) == "refused"
        assert await asking.describe(WEB) is None


@dataclass
class Bytes:
    """What is sent in place of a message."""

    raw: bytes

    def SerializeToString(self) -> bytes:  # noqa: N802 - what the server calls
        return self.raw


@pytest.mark.parametrize(
    "raw",
    [
        b"\x0a\xff\xff\xff\xff\x0f",  # longer than it is
        b"\xff" * 100,
        b"\x0a\x04\x0a\x02\xff\xfe",  # an id that is no UTF-8
        b"\x0b",  # a group that never ends
        b"\x0a\x7f",
    ],
)
async def test_bytes_that_are_no_message_are_garbage(raw: bytes) -> None:
    script = _pods() | {CRI + "ListContainers": (cri.ListContainersRequest, lambda *_: Bytes(raw))}
    async with runtime("cri", script) as asking:
        assert await _reason(asking) == "garbage"


@KINDS
@pytest.mark.parametrize(
    "serve",
    [
        hangs_up,
        says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        says(b"\0" * 65536),
        says(b"\xff" * 65536),
        says(b"\0\0\0\x04\0\0\0\0\0", b"\0\0\x04\x01\x04\0\0\0\x01\xff\xff\xff\xff"),  # settings, then no headers
        says(b"\0\0\0\x04\0\0\0\0\0", b"\0\0\x08\x07\0\0\0\0\0" + b"\0" * 8),  # settings, then a farewell
        says(b"\0\0\0\x04\0\0\0\0\0", b"\0\0\x01\x01\x05\0\0\0\x01\x88"),  # 200, and no more
    ],
)
async def test_what_is_no_grpc_is_survived(kind: str, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    with socket_path() as socket:
        async with raw_server(serve, socket):
            asking = open_runtime(f"{kind}:{socket}")
            for _ in range(2):
                assert await _reason(asking) in {"closed", "garbage", "refused"}
            await asking.aclose()


@KINDS
async def test_nobody_there_is_unreachable(kind: str, tmp_path: Path) -> None:
    asking = open_runtime(f"{kind}:{tmp_path}/none.sock")
    assert await _reason(asking) == "unreachable"
    await asking.aclose()


@KINDS
async def test_one_that_says_nothing_can_be_left_and_asked_again(kind: str) -> None:
    with socket_path() as socket:
        async with raw_server(is_silent, socket):
            asking = open_runtime(f"{kind}:{socket}")
            for _ in range(3):
                with anyio.move_on_after(0.05) as scope:
                    await asking.describe(WEB)
                assert scope.cancelled_caught
            await asking.aclose()


async def test_a_runtime_that_hung_up_is_found_again() -> None:
    method = CRI + "Version"
    answer = cri.VersionResponse(runtime_name="cri-o")
    with socket_path() as socket:
        calls = Calls(socket)
        async with raw_server(hangs_up, socket):
            with pytest.raises(ContainerRuntimeError):
                await calls.call(method, cri.VersionRequest(), cri.VersionResponse)
        server = Server([Scripted({method: (cri.VersionRequest, lambda *_: answer)})])
        await server.start(path=str(socket))
        assert await calls.call(method, cri.VersionRequest(), cri.VersionResponse) == answer
        calls.close()
        server.close()
        await server.wait_closed()
        await connections_ended()
