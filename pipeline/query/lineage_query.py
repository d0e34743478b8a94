"""What a person types to ask for a lineage, and how far back.

| typed                    | means                                                          |
|--------------------------|----------------------------------------------------------------|
| ``bash``                 | processes of that name                                         |
| ``nginx → bash``         | exactly that ``process.lineage``: the parent is nginx          |
| ``nginx → bash → curl``  | that run of names anywhere in the chain, descendants included  |

``->`` and ``=>`` are arrows too, with or without blanks. A name is a whole name, as it stands in a lineage.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pipeline import moments
from pipeline.errors import UsageError

ARROW = " → "
_ARROWS = re.compile(r"\s*(?:->|→|=>)\s*")
_WILDCARDS = re.compile(r"([\\*?])")


class LineageQuery(NamedTuple):
    names: tuple[str, ...]

    def __str__(self) -> str:
        return ARROW.join(self.names)


def parse(text: str) -> LineageQuery:
    """Raises UsageError for what is no lineage."""
    names = tuple(_ARROWS.split(text.strip()))
    if not all(names):
        raise UsageError(f"{text!r} is no lineage", "write for example 'nginx → bash', or 'nginx -> bash'")
    return LineageQuery(names)


def condition(query: LineageQuery) -> dict[str, Any]:
    """The query as Elasticsearch takes it."""
    if len(query.names) == 1:
        return {"term": {"process.name": query.names[0]}}
    if len(query.names) == 2:
        return {"term": {"process.lineage": str(query)}}
    run = _WILDCARDS.sub(r"\\\1", str(query))
    forms = [run, f"{run}{ARROW}*", f"*{ARROW}{run}", f"*{ARROW}{run}{ARROW}*"]
    found: dict[str, Any] = {
        "should": [{"wildcard": {"lineage.chain": form}} for form in forms],
        "minimum_should_match": 1,
    }
    known = _ancestors(query.names)
    if known:  # a wildcard that begins with * reads every term; these leave few documents for it
        found["filter"] = known
    return {"bool": found}


def _ancestors(names: Sequence[str]) -> list[dict[str, Any]]:
    """All but the last name of the run are ancestors of what matches. A name with an escape stands there without."""
    return [{"term": {"lineage.ancestors.name": name}} for name in dict.fromkeys(names[:-1]) if "\\u" not in name]


def moment(text: str, now: datetime, option: str, *, whole: bool = False) -> datetime:
    """A time as ``moments`` has it; one without zone is local. ``whole``: of a whole second the end, not the begin.

    Raises UsageError, which names the ``option`` that the text was given to.
    """
    try:
        from_ns, until_ns = moments.span(text, round(now.timestamp() * moments.SECOND_NS), local=True)
        return moments.utc(until_ns if whole else from_ns)
    except UsageError as error:
        raise UsageError(f"{option}: {error.message}", error.mend) from error
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"{option}: {text!r} is no time", moments.MEND) from error


def iso(time: datetime) -> str:
    """As documents carry it, in UTC."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
