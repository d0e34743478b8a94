"""Index settings and template bodies in one form, so that two that mean the same compare equal."""

from __future__ import annotations

import json
from typing import Any


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings with dotted keys and values as text, however they were nested."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found |= flat(value, f"{name}.")
        elif isinstance(value, list):
            found[name] = [_text(item) for item in value]
        else:
            found[name] = _text(value)
    return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def canonical(body: dict[str, Any]) -> str:
    """One text for two template bodies that mean the same: what the server adds is left out, settings are flat."""
    kept = {key: value for key, value in body.items() if not key.endswith(("_date_millis", "_date"))}
    template = dict(kept.get("template") or {})
    if "settings" in template:
        template["settings"] = flat(template["settings"])
    if "lifecycle" in template:
        lifecycle = template["lifecycle"]
        template["lifecycle"] = {key: value for key, value in lifecycle.items() if (key, value) != ("enabled", True)}
    kept["template"] = {key: value for key, value in template.items() if value}
    if "data_stream" in kept:
        kept["data_stream"] = {key: value for key, value in kept["data_stream"].items() if value}
    return json.dumps(kept, sort_keys=True, ensure_ascii=False)
