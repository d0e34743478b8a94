"""Data streams that exist already, brought up to date with the templates.

Rules: what the template would give a new index is asked of the server (users have their say in ``@custom``); fields are
only ever added in place; a mapping that would have to change, or storage settings of ours that did, mean a rollover:
old documents stay as they are and searchable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elasticsearch import ApiError, AsyncElasticsearch, BadRequestError

from pipeline.errors import SinkError
from pipeline.sinks import mappings
from pipeline.sinks.bulk import data_stream
from pipeline.sinks.mappings import Installable
from pipeline.sinks.settings import flat
from pipeline.sinks.translate import is_missing_api, reason

Done = tuple[str, str, str]
"""What, its outcome, a note."""


async def check_place(client: AsyncElasticsearch, namespace: str) -> None:
    """Raise SinkError where documents could not go into a data stream with our mapping: somebody else has a say."""
    answer = await client.indices.resolve_index(name=mappings.DATA_STREAMS)
    for index in answer["indices"]:
        if "data_stream" not in index:
            raise SinkError(
                f"{index['name']} is an index, not a data stream", "reindex it under another name and delete it"
            )
    for alias in answer["aliases"]:
        raise SinkError(f"{alias['name']} is an alias, not a data stream", "remove that alias")
    simulated = await client.indices.simulate_index_template(name=data_stream("process", namespace))
    if any(each["name"] == mappings.NAME for each in simulated.get("overlapping", [])):
        raise SinkError(
            f"another index template takes {mappings.DATA_STREAMS} before ours",
            f"give it a priority under {mappings.load('index-template.json')['priority']} or narrower patterns",
        )
    properties = simulated["template"].get("mappings", {}).get("properties", {})
    lineage = properties.get("process", {}).get("properties", {}).get("lineage", {})
    if lineage.get("type") != "keyword":
        raise SinkError(
            f"with {mappings.CUSTOM} the templates no longer map process.lineage as keyword",
            f"mend the mappings in the component template {mappings.CUSTOM}",
        )


async def refresh(
    client: AsyncElasticsearch, pattern: str, installed: Sequence[Installable], retention: str, roll_over: bool
) -> list[Done]:
    """Bring every existing data stream of that pattern up to date; what was done to each."""
    answer = await client.indices.resolve_index(name=pattern, expand_wildcards="all")
    ours: dict[str, Any] = {}
    for each in installed:
        ours |= flat(each.body.get("template", {}).get("settings", {}))
    done: list[Done] = []
    names = []
    for stream in answer["data_streams"]:
        backing = stream["backing_indices"]
        indices = [backing] if isinstance(backing, str) else backing
        names.append(stream["name"])
        done.append(await _refresh(client, stream["name"], max(indices, key=_generation), ours, roll_over))
    if names:
        done += await _alias(client, pattern, names)
        done += await _lifecycle(client, pattern, retention)
    return done


def _generation(index: str) -> int:
    number = index.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


async def _refresh(
    client: AsyncElasticsearch, name: str, write_index: str, ours: dict[str, Any], roll_over: bool
) -> Done:
    thing = f"data stream {name}"
    simulated = (await client.indices.simulate_index_template(name=name))["template"]
    wanted_settings = flat(simulated.get("settings", {}))
    wanted_mapping = simulated.get("mappings", {})
    current = (await client.indices.get(index=write_index, flat_settings=True))[write_index]
    now = flat(current["settings"])
    differing = [key for key in ours if wanted_settings.get(key) != now.get(key)]
    why = f"changed settings: {', '.join(differing)}" if differing else ""
    if not differing:
        if contains(current.get("mappings", {}), wanted_mapping):
            return (thing, "unchanged", "")
        try:
            await client.indices.put_mapping(index=write_index, **_growth(wanted_mapping))
        except BadRequestError as error:
            why = reason(error)
        else:
            return (thing, "updated", "")
    if not roll_over:
        return (thing, "stale", f"{why}; `lineage setup` rolls it over")
    await client.indices.rollover(alias=name)
    return (thing, "rolled over", why)


def _growth(mapping: dict[str, Any]) -> dict[str, Any]:
    """What of a mapping can be put on an index that exists."""
    return {
        key: value for key, value in mapping.items() if key in {"properties", "dynamic", "dynamic_templates", "runtime"}
    }


def contains(whole: Any, part: Any) -> bool:
    """Whether everything in ``part`` is the same in ``whole``, which may have more fields."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    return str(whole).lower() == str(part).lower()


async def _alias(client: AsyncElasticsearch, pattern: str, names: Sequence[str]) -> list[Done]:
    answer = await client.indices.get_alias(index=pattern)
    lacking = [name for name in names if mappings.ALIAS not in answer.get(name, {}).get("aliases", {})]
    if lacking:
        await client.indices.update_aliases(
            actions=[{"add": {"index": name, "alias": mappings.ALIAS}} for name in lacking]
        )
    return [(f"alias {mappings.ALIAS} on {name}", "created", "") for name in lacking]


async def _lifecycle(client: AsyncElasticsearch, pattern: str, retention: str) -> list[Done]:
    done = []
    try:
        answer = await client.indices.get_data_lifecycle(name=pattern)
        for stream in answer["data_streams"]:
            name = stream["name"]
            if stream.get("lifecycle", {}).get("data_retention") != retention:
                await client.indices.put_data_lifecycle(name=name, data_retention=retention)
                done.append((f"retention of {name}", "updated", retention))
    except ApiError as error:
        if is_missing_api(error):
            note = "this server has no requests for it; new data streams get it by template"
            return [("retention of existing data streams", "omitted", note)]
        raise
    return done
