from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.containers import Container
from pipeline.enrich.containers import FIELDS, LIST_MAX_ITEMS, TEXT_MAX_CHARACTERS, end_of_document, known_facts
from tests.checkout import REPOSITORY
from tests.enrich.examples import IN_CONTAINER, WEB, WEB_FACTS, contained, describer, executed, process, told

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(("image", "name", "tag")), inner),
    max_leaves=20,
)


def kept(facts: dict[str, Any]) -> tuple[dict[str, Any], Counter[str]]:
    dropped: Counter[str] = Counter()
    return known_facts(facts, dropped), dropped


def test_the_fields_are_those_that_are_mapped() -> None:
    listed = yaml.safe_load((REPOSITORY / "mappings" / "fields.yml").read_text(encoding="utf-8"))["fields"]
    mapped = {
        field["name"]: list if field.get("array") else str
        for field in listed
        if field["name"].startswith(("container.", "orchestrator."))
    }
    assert mapped == FIELDS
    assert all(field["ignore_above"] == TEXT_MAX_CHARACTERS for field in listed if field["name"] in FIELDS)


def test_a_container_of_which_only_the_path_is_known_has_id_and_runtime() -> None:
    of = IN_CONTAINER._replace(container=Container(WEB.id, "docker"))
    document = told(executed(of), of)
    assert document["container"] == {"id": WEB.id, "runtime": "docker"}
    assert "orchestrator" not in document
    assert "container" not in told(executed(process()), process())


def test_facts_stand_in_the_documents_that_come_after_them() -> None:
    by = describer()
    assert told(executed(IN_CONTAINER), IN_CONTAINER, by)["container"] == {"id": WEB.id}
    by.learn(contained(WEB_FACTS))
    document = told(executed(IN_CONTAINER), IN_CONTAINER, by)
    assert document["container"] == WEB_FACTS["container"]
    assert document["orchestrator"] == WEB_FACTS["orchestrator"]
    by.learn(contained({"container": {"name": "renamed"}}))
    assert told(executed(IN_CONTAINER), IN_CONTAINER, by)["container"] == {"id": WEB.id, "name": "renamed"}


def test_facts_of_one_container_are_not_those_of_another() -> None:
    by = describer()
    by.learn(contained(WEB_FACTS, "f" * 64))
    assert told(executed(IN_CONTAINER), IN_CONTAINER, by)["container"] == {"id": WEB.id}


def test_what_the_path_says_is_not_overruled() -> None:
    of = IN_CONTAINER._replace(container=Container(WEB.id, "docker"))
    by = describer()
    by.learn(contained({"container": {"id": "other", "runtime": "podman"}}))
    assert told(executed(of), of, by)["container"] == {"id": WEB.id, "runtime": "docker"}
    assert told(executed(IN_CONTAINER), IN_CONTAINER, by)["container"] == {"id": WEB.id, "runtime": "podman"}


def test_learning_of_a_container_forgets_nothing_that_hangs_on_other_facts() -> None:
    by, of = describer(), process()
    by.describe(executed(of), of)
    made = by._said[of.entity_id][1]
    by.learn(contained(WEB_FACTS))
    by.describe(executed(of), of)
    assert by._said[of.entity_id][1] is made


def test_fields_that_are_not_ours_are_left_out_and_counted() -> None:
    labels = {"container": {"name": "web", "labels": {"a.b": "c", "d": "e"}}, "host": {"name": "forged"}, "x": 1}
    assert kept(labels) == ({"container.name": "web"}, {"unlisted": 4})


def test_a_value_of_another_type_is_left_out_and_counted() -> None:
    facts = {"container": {"name": ["web"], "image": {"tag": "1.2", "name": None, "hash": {"all": ["a", 1]}}}}
    assert kept(facts) == ({}, {"type": 4})
    assert kept({"container": {"image": {"hash": {"all": {"deep": {"er": 1}}}}}}) == ({}, {"type": 1})


def test_what_is_empty_is_not_there() -> None:
    assert kept({"container": {"name": "", "image": {"tag": [], "hash": {"all": [""]}}}, "orchestrator": {}}) == (
        {},
        {},
    )


@pytest.mark.parametrize("long", ["x" * (TEXT_MAX_CHARACTERS + 1), "é" * (2 * TEXT_MAX_CHARACTERS)])
def test_a_long_text_and_a_long_list_are_cut_and_counted(long: str) -> None:
    tags = [str(number) for number in range(LIST_MAX_ITEMS + 1)]
    facts, dropped = kept({"container": {"name": long, "image": {"tag": tags}}})
    assert facts == {
        "container.name": long[:TEXT_MAX_CHARACTERS],
        "container.image.tag": tags[:LIST_MAX_ITEMS],
    }
    assert dropped == {"cut": 2}


@given(st.dictionaries(st.sampled_from(("container", "orchestrator", "")) | st.text(), JSON))
def test_whatever_is_told_the_document_has_none_but_our_fields_of_their_types(facts: dict[str, Any]) -> None:
    end = end_of_document(WEB, kept(facts)[0])
    document = orjson.loads(b'{"lineage":{' + end)
    assert document["container"]["id"] == WEB.id
    assert document.keys() <= {"lineage", "container", "orchestrator"}
    assert document["container"].keys() <= {"id", "name", "runtime", "image"}
