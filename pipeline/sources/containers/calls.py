"""One gRPC call at a time on a socket, for the runtimes that speak it; foreign exceptions are translated here.

How much an answer may hold is the server's own bound (16 MiB in containerd); what is kept of it is bounded in facts.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.encoding.proto import ProtoCodec
from grpclib.exceptions import GRPCError, StreamTerminatedError

from pipeline.errors import ContainerRuntimeError

Answer = TypeVar("Answer", bound=Message)


class Calls:
    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._channel: Channel | None = None

    def __repr__(self) -> str:
        return f"<Calls {self._socket}>"

    async def call(
        self, method: str, request: Message, answer: type[Answer], metadata: dict[str, str] | None = None
    ) -> Answer | None:
        """What the method answers; None where there is no such thing. ``method`` is /PACKAGE.SERVICE/NAME."""
        if self._channel is None:
            # A codec is named, since without one the library looks for packages when it is too late to import.
            self._channel = Channel(path=str(self._socket), codec=ProtoCodec())
        try:
            return await UnaryUnaryMethod(self._channel, method, type(request), answer)(request, metadata=metadata)
        except GRPCError as error:
            if error.status is Status.NOT_FOUND:
                return None
            what = f"{self._socket} answers {method} with {error.status.name}"
            raise ContainerRuntimeError("refused", what) from error
        except asyncio.CancelledError:
            self.close()  # it did not answer in time; the next question gets a connection of its own
            raise
        except (StreamTerminatedError, BrokenPipeError, ConnectionResetError) as error:
            self.close()
            raise ContainerRuntimeError("closed", f"{self._socket} hung up") from error
        except OSError as error:
            self.close()
            raise ContainerRuntimeError("unreachable", f"{self._socket}: {error.strerror}") from error
        except Exception as error:
            # Anything may come out of the libraries when the other side does not speak gRPC: assertions, look-ups.
            self.close()
            raise ContainerRuntimeError("garbage", f"{self._socket} does not speak gRPC") from error

    def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
