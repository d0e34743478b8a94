"""What `lineage setup` installs, as the requests it would send: read from ``mappings/``, nothing asked of a server.

Rules: the files hold everything that does not depend on an option or on the server. Here come the retention, the
version, and the absence of the pipeline for a server that cannot run it.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from pipeline import __version__
from pipeline.errors import UsageError
from pipeline.resources import folder

NAME = "logs-lineage"
SETTINGS = "logs-lineage@settings"
FIELDS = "logs-lineage@fields"
CUSTOM = "logs-lineage@custom"
DATA_STREAMS = "logs-lineage.*-*"
ALIAS = "security-events-lineage"
RUNTIME_FIELD = "process.lineage"

RETENTION_DAYS = 90
RETENTION_DAYS_MIN = 30
"""An intrusion found today is traced back for weeks: fewer days only when somebody insists."""

PROCESSORS = frozenset({"set", "pipeline"})
"""Processor types that the ingest pipeline is made of; a server without them gets no pipeline."""


class Installable(NamedTuple):
    kind: str  # as a person calls it: "index template"
    path: str  # PUT this
    body: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def version() -> int:
    """Of the templates: grows with the release, so that an older agent leaves a newer one's templates alone."""
    major, minor, patch = (int(part) for part in re.findall(r"\d+", __version__)[:3])
    return (major * 1000 + minor) * 1000 + patch


def check_retention(days: int, force: bool) -> None:
    """Raise UsageError for a retention that loses what an investigation needs."""
    if days < 1:
        raise UsageError(f"a retention of {days} days keeps nothing", f"choose at least {RETENTION_DAYS_MIN} days")
    if days < RETENTION_DAYS_MIN and not force:
        raise UsageError(
            f"a retention of {days} days is too short to trace an intrusion back",
            f"choose at least {RETENTION_DAYS_MIN} days, or add --force",
        )


def installables(retention: str, *, with_pipeline: bool = True) -> list[Installable]:
    """In the order in which they must be sent. ``retention`` as Elasticsearch writes it: ``90d``."""
    settings = load("component-lineage-settings.json")
    settings["template"]["lifecycle"]["data_retention"] = retention
    fields = load("component-lineage-fields.json")
    # A component template is checked by itself: the normalizer that its fields name must be in it.
    fields["template"]["settings"] = load("analysis.json")
    template = load("index-template.json")
    found = []
    if with_pipeline:
        found.append(Installable("ingest pipeline", f"/_ingest/pipeline/{NAME}", load("pipeline.json")))
    else:
        del settings["template"]["settings"]["index"]["default_pipeline"]
    found.append(Installable("component template", f"/_component_template/{SETTINGS}", settings))
    found.append(Installable("component template", f"/_component_template/{FIELDS}", fields))
    found.append(Installable("index template", f"/_index_template/{NAME}", template))
    for each in found:
        each.body["version"] = version()
    return found


def runtime_mapping() -> dict[str, Any]:
    """``process.lineage`` computed from anybody's ECS data: the value of a mapping's ``runtime``."""
    return load("runtime-lineage.json")


def runtime_component_template() -> dict[str, Any]:
    """The same for indices that do not exist yet: a body for ``PUT _component_template/...``."""
    return {"template": {"mappings": {"runtime": runtime_mapping()}}, "_meta": {"managed_by": "lineage"}}


def data_view() -> dict[str, Any]:
    """Body for Kibana's ``POST /api/data_views/data_view``."""
    return load("kibana-data-view.json")


def load(name: str) -> dict[str, Any]:
    """One file of ``mappings/``, a new object each time."""
    content: dict[str, Any] = json.loads(_FILES[name])
    return content


_FILES = {path.name: path.read_text(encoding="utf-8") for path in folder("mappings").glob("*.json")}
"""Read when this is imported: `run` installs after it has given up its privileges, and may not be able to by then."""
