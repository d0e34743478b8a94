"""Every leaf of every kind of document against ECS 9.4's field list and our own, in both directions."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.enrich import describer
from pipeline.sources import hostfacts
from tests.enrich.examples import every_document

REPOSITORY = Path(__file__).resolve().parents[2]
LISTED: dict[str, dict[str, Any]] = {
    field["name"]: field
    for field in yaml.safe_load((REPOSITORY / "mappings" / "fields.yml").read_text(encoding="utf-8"))["fields"]
}
with (REPOSITORY / "tests" / "data" / "ecs-9.4.0.csv").open(encoding="utf-8") as opened:
    ECS = {row["Field"]: row for row in csv.DictReader(opened)}

FAMILIES = {"wildcard": "keyword", "constant_keyword": "keyword", "match_only_text": "text"}
LISTS_OF_OBJECTS = ("previous", "supplemental_groups")
"""ECS has these as objects; they may be lists of them."""


def is_of(kind: str, value: Any) -> bool:
    match kind:
        case "keyword" | "text":
            return isinstance(value, str)
        case "long":
            return type(value) is int and -(2**63) <= value < 2**63
        case "boolean":
            return isinstance(value, bool)
        case "date":
            return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
        case "ip":
            return ip_address(value) is not None
    raise AssertionError(f"no check for {kind}")


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(name, value) of each leaf; a list of plain values is one leaf, a list of objects is looked into."""
    if isinstance(value, dict):
        assert value, f"{path} is an empty object"
        for key, inside in value.items():
            yield from leaves(inside, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        assert path.rpartition(".")[2] in LISTS_OF_OBJECTS, f"{path} is no list of objects"
        for inside in value:
            yield from leaves(inside, path)
    else:
        yield path, value


DOCUMENTS = every_document()
LEAVES = [(kind, name, value) for kind, document in DOCUMENTS.items() for name, value in leaves(document)]


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_every_leaf_is_listed_with_its_type_and_array_ness(kind: str) -> None:
    for _, name, value in (leaf for leaf in LEAVES if leaf[0] == kind):
        assert name in LISTED, f"{name} is not in fields.yml"
        field = LISTED[name]
        assert isinstance(value, list) == bool(field.get("array")), name
        for one in value if isinstance(value, list) else [value]:
            assert is_of(field["type"], one), f"{name}: {one!r} is no {field['type']}"


def test_every_listed_field_is_in_some_document() -> None:
    emitted = {name for _, name, _ in LEAVES}
    assert {name for name, field in LISTED.items() if "by" not in field} == emitted


@pytest.mark.parametrize("name", [name for name, field in LISTED.items() if field["source"] == "ecs"])
def test_a_field_called_ecs_is_as_ecs_has_it(name: str) -> None:
    field, row = LISTED[name], ECS[name]
    assert field["type"] == FAMILIES.get(row["Type"], row["Type"])
    assert bool(field.get("array")) == (row["Normalization"] == "array")
    if field.get("text"):
        assert ECS[f"{name}.text"]["Type"] == "match_only_text"


def test_our_own_fields_are_under_lineage_and_none_is_in_ecs() -> None:
    for name, field in LISTED.items():
        if field["source"] == "ours":
            assert name == "process.lineage" or name.startswith("lineage.")
            assert name not in ECS


def test_what_a_process_chooses_is_indexed_to_the_last_byte_that_is_sent() -> None:
    chosen = re.compile(
        r"(process(\.parent|\.\w+_leader|\.previous)?|lineage(\.ancestors|\.reaper|\.script)?)"
        r"\.(name|executable|args|command_line|working_directory|env_vars|path|interpreter|lineage|chain)"
    )
    found = {name: field.get("ignore_above") for name, field in LISTED.items() if chosen.fullmatch(name)}
    assert len(found) == 32
    assert set(found.values()) == {32766}


def test_the_version_of_ecs_is_the_one_of_the_list_that_is_checked_against() -> None:
    assert describer.ECS_VERSION == "9.4.0"
    assert all(document["ecs"]["version"] == "9.4.0" for document in DOCUMENTS.values())


def test_generated_files_are_what_the_list_says() -> None:
    command = [sys.executable, str(REPOSITORY / "mappings" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_this_very_host_tells_of_itself_is_listed() -> None:
    facts = hostfacts.facts()
    facts.pop("init", None)  # for comparisons, and in no document
    for name, value in leaves(facts):
        assert isinstance(value, list) == bool(LISTED[name].get("array")), name
