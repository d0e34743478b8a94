"""A server on loopback that answers as a test tells it, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

PRODUCT = {"X-Elastic-Product": "Elasticsearch"}


class Asked(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: Any


Answer = tuple[int, Any]
Script = Callable[[Asked], Answer]


@contextmanager
def scripted(script: Script, headers: Mapping[str, str] = PRODUCT) -> Iterator[tuple[str, list[Asked]]]:
    """Yield the URL, and the list that every request is added to."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(size)
            headers_asked = {name.lower(): value for name, value in self.headers.items()}
            request = Asked(self.command, self.path, headers_asked, json.loads(body) if body else None)
            asked.append(request)
            status, content = script(request)
            answer = json.dumps(content).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_HEAD = answer  # noqa: N815 - the names the base class calls

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Nothing: the test sees what was asked."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def elasticsearch(version: str = "9.4.3", answers: Mapping[str, Answer] | None = None) -> Script:
    """One that greets like Elasticsearch of that version; ``answers`` by the beginning of "METHOD /path"."""

    def script(asked: Asked) -> Answer:
        request = f"{asked.method} {asked.path}"
        for beginning, answer in (answers or {}).items():
            if request.startswith(beginning):
                return answer
        if request == "GET /":
            return 200, {"version": {"number": version}, "tagline": "You Know, for Search"}
        return 404, {"error": {"reason": f"the test has no answer to {request}"}, "status": 404}

    return script


def error(status: int, reason: str, kind: str = "some_exception") -> Answer:
    return status, {"error": {"type": kind, "reason": reason}, "status": status}
