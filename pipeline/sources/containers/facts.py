"""A runtime's answer as ECS has it: container.*, and orchestrator.* for a pod.

Rules of this file:
- what is not known is absent; nothing is guessed;
- the answer is text that image authors and the users of a cluster chose: bounded here, in one place, cuts counted;
- labels stay out. Their names are as free as their values, and each would become a field of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from pipeline.counters import Counters
from pipeline.sources.containers.base import Facts

TEXT_MAX_BYTES = 512  # a reference is at most 255 characters and a tag of 128; names of Kubernetes at most 253
LIST_MAX_ITEMS = 8
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-f]{32,128}")


class Pod(NamedTuple):
    name: str
    namespace: str
    uid: str


class Reference(NamedTuple):
    """What an image was called; each part may be empty."""

    name: str
    tag: str
    digest: str


def reference(text: str) -> Reference:
    """``registry.example:5000/team/web:1.2@sha256:...`` in its parts; a digest alone has no name."""
    if _DIGEST.fullmatch(text):
        return Reference("", "", text)
    rest, _, digest = text.partition("@")
    folder, slash, last = rest.rpartition("/")
    name, _, tag = last.partition(":")
    return Reference(folder + slash + name, tag, digest if _DIGEST.fullmatch(digest) else "")


def facts(
    container_id: str,
    runtime: str,
    *,
    name: str = "",
    image: str = "",
    digests: Iterable[str] = (),
    pod: Pod | None = None,
) -> Facts:
    """``image`` is a reference; ``digests`` are digests, or references that end with one, also of other names of it."""
    called = reference(image)
    every = dict.fromkeys([called.digest, *(reference(digest).digest for digest in digests)])
    described: Facts = {
        "container": {
            "id": container_id,
            "name": name,
            "runtime": runtime,
            "image": {
                "name": called.name,
                "tag": [called.tag] if called.tag else [],
                "hash": {"all": [digest for digest in every if digest]},
            },
        }
    }
    if pod is not None:
        resource = {"type": "pod", "name": pod.name, "id": pod.uid}
        described["orchestrator"] = {"type": "kubernetes", "namespace": pod.namespace, "resource": resource}
    kept: Facts = _without_empty(described)
    return kept


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kept = ((key, _without_empty(inner)) for key, inner in value.items())
    return {key: inner for key, inner in kept if inner}


def bounded(value: Any, counters: Counters) -> Any:
    """``value`` with every text and every list within its bound."""
    match value:
        case dict():
            return {key: bounded(inner, counters) for key, inner in value.items()}
        case list():
            counters.container_facts_cut += len(value) > LIST_MAX_ITEMS
            return [bounded(inner, counters) for inner in value[:LIST_MAX_ITEMS]]
        case str():
            encoded = value.encode(errors="replace")
            counters.container_facts_cut += len(encoded) > TEXT_MAX_BYTES
            return encoded[:TEXT_MAX_BYTES].decode(errors="ignore")  # ignores a character that was cut in two
    raise TypeError(f"{type(value)} in a container's facts")
