"""``process.lineage`` computed on other people's ECS indices: Auditbeat's, Filebeat's, Tetragon's shipped by others.

Rules: an index gets the field only where both names are mapped so that a script can read them; mapped as text they
would make every search on the index fail, so such an index is refused by name and not touched. Who has an indexed
``process.lineage`` keeps it. Everything is looked at before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from elasticsearch import AsyncElasticsearch

from pipeline.errors import SinkError
from pipeline.sinks import mappings

NAMES = ("process.name", "process.parent.name")
READABLE = frozenset({"keyword", "constant_keyword", "wildcard"})
"""Types whose values a script reads from doc values."""


class Plan(NamedTuple):
    """What is to become of each index that the pattern names: ``(index, outcome, note)``."""

    pattern: str
    indices: list[tuple[str, str, str]]


async def plan(client: AsyncElasticsearch, pattern: str) -> Plan:
    """Look at every index of the pattern. Raises SinkError when there is none."""
    fields = [*NAMES, mappings.RUNTIME_FIELD]
    options: dict[str, Any] = {"index": pattern, "ignore_unavailable": True, "expand_wildcards": "open"}
    mapped = await client.options(ignore_status=404).indices.get_field_mapping(fields=fields, **options)
    if mapped.meta.status == 404 or not mapped.body:
        raise SinkError(f"no index is called {pattern}", "name existing indices, for example 'auditbeat-*'")
    computed = await client.indices.get_mapping(filter_path="*.mappings.runtime", **options)
    indices = []
    for index in sorted(mapped.body):
        runtime = computed.get(index, {}).get("mappings", {}).get("runtime", {})
        indices.append((index, *_judge(mapped[index].get("mappings", {}), runtime.get(mappings.RUNTIME_FIELD))))
    return Plan(pattern, indices)


async def apply(client: AsyncElasticsearch, plan: Plan) -> list[tuple[str, str, str]]:
    """Put the field on every index that can bear it; what was done, the refused ones among it."""
    done = []
    for index, outcome, note in plan.indices:
        if outcome in ("created", "updated"):
            await client.indices.put_mapping(index=index, runtime=mappings.runtime_mapping())
        done.append((f"{mappings.RUNTIME_FIELD} on {index}", outcome, note))
    return done


def _judge(fields: Mapping[str, Any], runtime: Any) -> tuple[str, str]:
    """Outcome and note for one index."""
    if mappings.RUNTIME_FIELD in fields:
        return ("unchanged", "it has the field indexed")
    for name in NAMES:
        if name not in fields:
            return ("omitted", f"it has no {name}")
        mapping = next(iter(fields[name]["mapping"].values()))
        if mapping["type"] not in READABLE:
            return ("refused", f"{name} is mapped as {mapping['type']}, not keyword: every search would fail")
        if mapping.get("doc_values") is False:
            return ("refused", f"{name} has no doc_values: every search would fail")
    if runtime is None:
        return ("created", "")
    wanted = mappings.runtime_mapping()[mappings.RUNTIME_FIELD]
    same = (
        runtime.get("type") == wanted["type"] and runtime.get("script", {}).get("source") == wanted["script"]["source"]
    )
    return ("unchanged", "") if same else ("updated", "")
