"""A process's container as documents have it: container.*, and orchestrator.* for a pod.

Rules of this file:
- id and runtime are what the cgroup's path tells. All else is what a runtime answered: text that image authors and the
  users of a cluster chose, in a record that may come out of a file. Only the fields named here are taken, each of the
  type that it is mapped as and within its bound; the rest is left out and counted by reason: unlisted, type, cut;
- labels are not among them: each would be a field of its own, under a name that anybody may choose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson

from pipeline.containers import Container

FIELDS: dict[str, type] = {
    "container.id": str,
    "container.name": str,
    "container.runtime": str,
    "container.image.name": str,
    "container.image.tag": list,
    "container.image.hash.all": list,
    "orchestrator.type": str,
    "orchestrator.namespace": str,
    "orchestrator.resource.type": str,
    "orchestrator.resource.name": str,
    "orchestrator.resource.id": str,
}
"""In the order of a document."""

TEXT_MAX_CHARACTERS = 1024  # ignore_above of these fields
LIST_MAX_ITEMS = 8
DEPTH_MAX = 4  # of the deepest field; what lies below is no field of ours

Facts = dict[str, str | list[str]]
"""By the field's name. Nothing empty in it."""


def known_facts(told: dict[str, Any], dropped: Counter[str]) -> Facts:
    """What documents take of it."""
    facts: Facts = {}
    for name, value in _leaves(told):
        wanted = FIELDS.get(name)
        if wanted is str and isinstance(value, str):
            facts[name] = _bounded(value, dropped)
        elif wanted is list and isinstance(value, list) and all(isinstance(one, str) for one in value):
            facts[name] = [_bounded(one, dropped) for one in value[:LIST_MAX_ITEMS] if one]
            if len(value) > LIST_MAX_ITEMS:
                dropped["cut"] += 1
        else:
            dropped["type" if wanted else "unlisted"] += 1
    return {name: value for name, value in facts.items() if value}


def end_of_document(container: Container, facts: Facts) -> bytes:
    """From behind the last member of the lineage object to the end of the document."""
    by_path: Facts = {"container.id": container.id}
    if container.runtime:
        by_path["container.runtime"] = container.runtime
    by_name = facts | by_path
    described: dict[str, Any] = {}
    for name in filter(by_name.__contains__, FIELDS):
        *path, leaf = name.split(".")
        level = described
        for step in path:
            level = level.setdefault(step, {})
        level[leaf] = by_name[name]
    return b"}," + orjson.dumps(described)[1:]


def _leaves(told: dict[str, Any], path: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    for key, value in told.items():
        name = f"{path}{key}"
        if isinstance(value, dict) and depth < DEPTH_MAX:
            yield from _leaves(value, f"{name}.", depth + 1)
        else:
            yield name, value


def _bounded(text: str, dropped: Counter[str]) -> str:
    if len(text) > TEXT_MAX_CHARACTERS:
        dropped["cut"] += 1
    return text[:TEXT_MAX_CHARACTERS]
