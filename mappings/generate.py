"""Generates what depends on the list of fields, or with ``--check`` says whether it is up to date.

From mappings/fields.yml come mappings/component-lineage-fields.json (the mappings of the component template) and
docs/fields.md. Rules: the same list gives the same bytes; a mistake in the list is one line that names the field.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent
LIST = FOLDER / "fields.yml"
COMPONENT = FOLDER / "component-lineage-fields.json"
DOCUMENT = FOLDER.parent / "docs" / "fields.md"

TYPES = {"keyword", "text", "long", "boolean", "date", "ip"}
REQUIRED = {"name", "type", "source", "about"}
OPTIONAL = {"array", "ignore_above", "normalizer", "text", "by"}

INTRODUCTION = """# Fields

Every field of the documents in `logs-lineage.process-*`. Generated from `mappings/fields.yml` by `make generate`.

- **ECS** fields have the name and the meaning of Elastic Common Schema 9.4; **ours** are under `lineage`, and
  `process.lineage`. ECS's `wildcard`, `constant_keyword` and `match_only_text` are mapped as `keyword` and `text`.
- *array*: always an array. Other fields have one value in their object; `process.previous` and the
  `supplemental_groups` are lists of objects.
- *.text*: also there for full-text search, as `<field>.text`.
- Times have nine digits of a second. Elasticsearch's `date` orders by the millisecond; `event.sequence` orders within.
- A field that is not known is not in the document. `args` always is.
- Strings longer than 32,766 bytes are cut, and `lineage.doubt` says `cut`. What a runtime says of a container is cut at
  1,024 characters, and counted in `container_facts_dropped`.

| field | type | source | |
|---|---|---|---|
"""


class ListError(Exception):
    """fields.yml holds something that is no field."""


def fields() -> list[dict[str, Any]]:
    """The list, checked. Raises ListError."""
    found: list[dict[str, Any]] = yaml.safe_load(LIST.read_text(encoding="utf-8"))["fields"]
    seen = set()
    for field in found:
        name = field.get("name", field)
        if not set(field) >= REQUIRED or not set(field) <= REQUIRED | OPTIONAL:
            raise ListError(f"{name}: needs {sorted(REQUIRED)}, may have {sorted(OPTIONAL)}")
        if field["type"] not in TYPES or field["source"] not in {"ecs", "ours"}:
            raise ListError(f"{name}: type is one of {sorted(TYPES)}, source is ecs or ours")
        if name in seen:
            raise ListError(f"{name}: is there twice")
        seen.add(name)
    return found


def component(listed: list[dict[str, Any]]) -> dict[str, Any]:
    """The component template: mappings alone, settings are put to them by setup.

    ``dynamic: false``: a field that is not listed stays in _source and is not indexed, so that no process and no ingest
    processor can grow the mapping or break the index with a clash of types. Who adds fields maps them in
    ``logs-lineage@custom``.
    """
    mappings: dict[str, Any] = {"dynamic": False, "properties": {}}
    for field in listed:
        mapping: dict[str, Any] = {"type": field["type"]}
        for key in ("ignore_above", "normalizer"):
            if key in field:
                mapping[key] = field[key]
        if field.get("text"):
            mapping["fields"] = {"text": {"type": "text"}}
        *path, leaf = field["name"].split(".")
        level = mappings["properties"]
        for step in path:
            level = level.setdefault(step, {}).setdefault("properties", {})
        level[leaf] = mapping
    meta = {"managed_by": "lineage", "description": "Every field of lineage's documents; generated from fields.yml"}
    return {"template": {"mappings": mappings}, "_meta": meta}


def document(listed: list[dict[str, Any]]) -> str:
    """docs/fields.md."""
    rows = []
    for field in listed:
        kind = field["type"]
        if field.get("array"):
            kind += ", array"
        if field.get("text"):
            kind += ", .text"
        source = "ECS" if field["source"] == "ecs" else "ours"
        if field.get("by"):
            source += f", added by the ingest {field['by']}"
        rows.append(f"| `{field['name']}` | {kind} | {source} | {field['about']} |\n")
    return INTRODUCTION + "".join(rows)


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: generate.py [--check]\n")
        return 2
    try:
        listed = fields()
    except ListError as error:
        sys.stderr.write(f"{LIST.name}: {error}\n")
        return 1
    made = {
        COMPONENT: json.dumps(component(listed), indent=2, ensure_ascii=False) + "\n",
        DOCUMENT: document(listed),
    }
    stale = [path for path, text in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if arguments:
        for path in stale:
            sys.stderr.write(f"{path.name} is not what fields.yml says: make generate\n")
        return 1 if stale else 0
    for path in stale:
        path.write_text(made[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
