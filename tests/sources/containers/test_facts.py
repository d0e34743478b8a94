"""What a runtime answers becomes ECS, without what is not known, and within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.counters import Counters
from pipeline.sources.containers.facts import (
    LIST_MAX_ITEMS,
    TEXT_MAX_BYTES,
    Pod,
    Reference,
    bounded,
    facts,
    reference,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4
OTHER = "sha256:" + "fedcba9876543210" * 4


@pytest.mark.parametrize(
    ("text", "name", "tag", "digest"),
    [
        ("", "", "", ""),
        ("nginx", "nginx", "", ""),
        ("nginx:1.25", "nginx", "1.25", ""),
        ("docker.io/library/nginx:1.25", "docker.io/library/nginx", "1.25", ""),
        ("registry.example:5000/team/web", "registry.example:5000/team/web", "", ""),
        ("registry.example:5000/team/web:v1", "registry.example:5000/team/web", "v1", ""),
        (f"nginx@{DIGEST}", "nginx", "", DIGEST),
        (f"registry.example:5000/web:v1@{DIGEST}", "registry.example:5000/web", "v1", DIGEST),
        (DIGEST, "", "", DIGEST),
        ("nginx@sha256:short", "nginx", "", ""),
        ("nginx@", "nginx", "", ""),
    ],
)
def test_a_reference_is_taken_apart(text: str, name: str, tag: str, digest: str) -> None:
    assert reference(text) == Reference(name, tag, digest)


def test_everything_known_is_told() -> None:
    described = facts(
        "id",
        "containerd",
        name="server",
        image="registry.example/web:1.2",
        digests=[DIGEST, f"registry.example/web@{OTHER}", f"elsewhere.example/web@{OTHER}"],
        pod=Pod("web-7d9f", "shop", "a1b2"),
    )
    assert described == {
        "container": {
            "id": "id",
            "name": "server",
            "runtime": "containerd",
            "image": {"name": "registry.example/web", "tag": ["1.2"], "hash": {"all": [DIGEST, OTHER]}},
        },
        "orchestrator": {
            "type": "kubernetes",
            "namespace": "shop",
            "resource": {"type": "pod", "name": "web-7d9f", "id": "a1b2"},
        },
    }


def test_what_is_not_known_is_absent() -> None:
    assert facts("id", "") == {"container": {"id": "id"}}
    assert facts("id", "", digests=["", "no digest"]) == {"container": {"id": "id"}}
    assert facts("id", "", image="web") == {"container": {"id": "id", "image": {"name": "web"}}}
    assert facts("id", "", pod=Pod("web", "", ""))["orchestrator"] == {
        "type": "kubernetes",
        "resource": {"type": "pod", "name": "web"},
    }


def test_what_is_within_bounds_is_left_as_it_is() -> None:
    counters = Counters()
    described = facts("id", "docker", name="n" * TEXT_MAX_BYTES, image="web:1", digests=[DIGEST])
    assert bounded(described, counters) == described
    assert counters.container_facts_cut == 0


def test_a_long_text_is_cut_between_characters_and_counted() -> None:
    counters = Counters()
    assert bounded("é" * TEXT_MAX_BYTES, counters) == "é" * (TEXT_MAX_BYTES // 2)
    assert bounded("x" + "é" * TEXT_MAX_BYTES, counters) == "x" + "é" * ((TEXT_MAX_BYTES - 1) // 2)
    assert counters.container_facts_cut == 2


def test_a_long_list_is_cut_and_counted() -> None:
    counters = Counters()
    assert bounded(["a"] * (LIST_MAX_ITEMS + 1), counters) == ["a"] * LIST_MAX_ITEMS
    assert counters.container_facts_cut == 1


@given(st.text(), st.text(), st.text(), st.lists(st.text(), max_size=20), st.tuples(st.text(), st.text(), st.text()))
def test_no_text_goes_beyond_the_bounds(
    container_id: str, name: str, image: str, digests: list[str], pod: tuple[str, str, str]
) -> None:
    described = facts(container_id, "docker", name=name, image=image, digests=digests, pod=Pod(*pod))
    texts: list[str] = []

    def look(value: object) -> None:
        if isinstance(value, dict):
            assert value
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            assert 0 < len(value) <= LIST_MAX_ITEMS
            texts.extend(value)
        else:
            assert isinstance(value, str)
            texts.append(value)

    look(bounded(described, Counters()))
    assert all(0 < len(text.encode()) <= TEXT_MAX_BYTES for text in texts)
