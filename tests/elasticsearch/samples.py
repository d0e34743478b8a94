"""Documents as the agent sends them, small; and how tests put them into a real server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
from elasticsearch import AsyncElasticsearch

from pipeline.config import Config
from pipeline.enrich.lineage import ARROW, escape
from pipeline.sinks.bulk import data_stream
from pipeline.sinks.install import Step
from pipeline.sinks.install import install as install_all

ACTIONS = {"fork": ["start"], "exec": ["start"], "end": ["end"]}


def now(seconds_ago: float = 0.0) -> str:
    time = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def process(
    *names: str,
    action: str = "exec",
    ids: Sequence[str] | None = None,
    pid: int | None = None,
    seconds_ago: float = 5.0,
    host: str = "web1",
    args: Sequence[str] | None = None,
    exit_code: int | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """The document of the last of ``names``; the others are its ancestors, root first. ``ids``: their entity ids."""
    identities = list(ids or [f"{host}-{'/'.join(names[: number + 1])}" for number in range(len(names))])
    pids = [1 if number == 0 else 1000 + number for number in range(len(names))]
    pids[-1] = pid if pid is not None else pids[-1]
    above = list(zip(names, identities, pids, strict=True))[-2::-1]
    own: dict[str, Any] = {
        "entity_id": identities[-1],
        "pid": pids[-1],
        "name": names[-1],
        "executable": f"/usr/bin/{names[-1]}",
        "args": list(args or [names[-1], "-x"]),
        "command_line": " ".join(args or [names[-1], "-x"]),
        "start": now(seconds_ago),
        "user": {"id": "33", "name": "www-data"},
        "lineage": (escape(above[0][0]) if above else "unknown") + ARROW + escape(names[-1]),
    }
    if above:
        name, identity, number = above[0]
        own["parent"] = {"name": name, "entity_id": identity, "pid": number, "executable": f"/usr/bin/{name}"}
    if exit_code is not None:
        own |= {"exit_code": exit_code, "end": now(seconds_ago - 1)}
    return {
        "@timestamp": now(seconds_ago),
        "event": {
            "id": uuid4().hex,
            "kind": "event",
            "category": ["process"],
            "type": ACTIONS[action],
            "action": action,
            "sequence": int(1e15 - seconds_ago * 1e9),
        },
        "host": {"name": host, "hostname": host},
        "user": {"id": "33", "name": "www-data"},
        "process": own,
        "lineage": {
            "chain": ARROW.join(escape(name) for name in names),
            "ancestors": {
                "name": [each[0] for each in above],
                "executable": [f"/usr/bin/{each[0]}" for each in above],
                "entity_id": [each[1] for each in above],
                "pid": [each[2] for each in above],
            },
            "depth": len(above),
            "complete": True,
        },
        **fields,
    }


async def index(client: AsyncElasticsearch, target: str, documents: Iterable[dict[str, Any]]) -> list[str]:
    """Create them in a data stream or index, searchable at once; the ids. Fails on the first that is refused."""
    lines: list[Any] = []  # bytes, which the client passes on as they are, though its types do not say so
    ids = []
    for document in documents:
        ids.append(str(document["event"]["id"] if "event" in document else uuid4().hex))
        lines += [orjson.dumps({"create": {"_index": target, "_id": ids[-1]}}), orjson.dumps(document)]
    answer = await client.bulk(operations=lines, refresh=True)
    refused = [item["create"] for item in answer["items"] if item["create"]["status"] != 201]
    assert not refused, refused[0]
    return ids


async def install(client: AsyncElasticsearch, config: Config, **options: Any) -> list[Step]:
    """Install, looking at the existing data streams of the test's own namespace only: the server keeps all of them."""
    return await install_all(client, config, streams_of=data_stream("*", config.namespace), **options)


async def installed_stream(client: AsyncElasticsearch, config: Config) -> str:
    """The name of the namespace's process stream, with the templates there."""
    await install(client, config)
    return data_stream("process", config.namespace)
