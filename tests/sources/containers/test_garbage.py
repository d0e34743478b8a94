"""Whatever bytes come out of a runtime's socket, asking it ends in a counted failure or in a bounded answer."""

from __future__ import annotations

import json
import logging

import anyio
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.counters import Counters
from pipeline.errors import ContainerRuntimeError
from pipeline.sources.containers import open_runtime
from pipeline.sources.containers.facts import bounded
from pipeline.sources.containers.messages import containerd_pb2, cri_pb2
from tests.sources.containers.unix_server import raw_server, says, socket_path

WEB = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970"
REASONS = {"closed", "garbage", "refused", "unreachable"}
ANSWER_MAX_BYTES = 30_000

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _http() -> bytes:
    body = json.dumps([{"Id": WEB, "Names": ["/web"], "Image": "web:1.2", "ImageID": "x"}]).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _grpc(message: bytes) -> bytes:
    """The bytes of a good server's answer to the first question on a connection."""
    connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    client = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    client.initiate_connection()
    client.send_headers(1, [(":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "x")], True)
    connection.initiate_connection()
    connection.receive_data(client.data_to_send())
    connection.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
    connection.send_data(1, b"\0" + len(message).to_bytes(4, "big") + message)
    connection.send_headers(1, [("grpc-status", "0")], end_stream=True)
    return connection.data_to_send()


CRI = cri_pb2.ListContainersResponse(
    containers=[cri_pb2.Container(id=WEB, pod_sandbox_id=WEB, metadata=cri_pb2.ContainerMetadata(name="server"))]
)
CONTAINERD = containerd_pb2.ListNamespacesResponse(namespaces=[containerd_pb2.Namespace(name="default")])
GOOD = {
    "docker": _http(),
    "cri": _grpc(CRI.SerializeToString()),
    "containerd": _grpc(CONTAINERD.SerializeToString()),
}


@st.composite
def answers(draw: st.DrawFn, good: bytes) -> bytes:
    """A good answer with some of it cut out and something else put in."""
    start = draw(st.integers(0, len(good)))
    end = draw(st.integers(start, min(len(good), start + 20)))
    return good[:start] + draw(st.binary(max_size=40)) + good[end:]


async def _outcome(kind: str, answer: bytes) -> str:
    with socket_path() as socket:
        async with raw_server(says(answer), socket):
            runtime = open_runtime(f"{kind}:{socket}")
            try:
                described = await runtime.describe(WEB)
            except ContainerRuntimeError as error:
                return error.reason
            finally:
                await runtime.aclose()
    assert len(json.dumps(bounded(described or {}, Counters()))) < ANSWER_MAX_BYTES
    return "answered"


@pytest.mark.parametrize("kind", GOOD)
@FUZZ
@given(data=st.data())
def test_no_bytes_get_past_the_seam(kind: str, data: st.DataObject) -> None:
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # where it tells of what the libraries let through
    answer = data.draw(st.one_of(answers(GOOD[kind]), st.binary(max_size=200)))
    assert anyio.run(_outcome, kind, answer) in {*REASONS, "answered"}
