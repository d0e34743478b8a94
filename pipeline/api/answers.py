"""The tree's answers under the documents' own field names, as dictionaries. What a field says is ``enrich``'s alone.

Rules of this file:
- A version of a process is what a document of that moment would say of it, secrets masked, and beside it since when
  and until when it held, how its beginning was learnt, and what was told then.
- Times are RFC 3339 in UTC with nanoseconds; one that has not come yet is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from pipeline.enrich import Describer
from pipeline.enrich.executables import described as file_described
from pipeline.enrich.kernel_names import capabilities
from pipeline.events import Credentials
from pipeline.process import Ancestor, ProcessVersion
from pipeline.tree import Artifact, LineageAnswer, ParentAnswer, ProcessAnswer, ThreadAnswer

Fields = dict[str, Any]


class Answers:
    def __init__(self, describer: Describer) -> None:
        self._describer = describer
        self._date = describer.tables.date

    def host(self) -> Fields:
        """``host.*`` of all documents of this host."""
        return self._describer.host()

    def date(self, time_ns: int | None) -> str | None:
        return None if time_ns is None else self._date(time_ns)

    def version(self, answer: ProcessAnswer) -> Fields:
        """One version. Raises RecordingError when the stream has not told of its host."""
        described: Fields = orjson.loads(self._describer.describe_version(answer.process))
        described |= {
            "since": self._date(answer.since_ns),
            "until": self.date(answer.until_ns),
            "how": answer.how,
            "told": answer.told,
            "cut": [*answer.process.image.cut, *answer.process.cut],
            "versions_dropped": answer.dropped,
            "versions_dropped_after": answer.dropped_after,
            "unsure": answer.unsure,
            "end_how": answer.end_how,
            "alive": answer.alive,
        }
        described |= self._describer.beside(answer.process)
        if answer.process.filtered:
            described["filtered"] = True
        return described

    def lineage(self, answer: LineageAnswer, seen: Mapping[str, ProcessAnswer]) -> Fields:
        """The version, and its ancestors with all that a document tells of a parent, nearest first.

        ``seen``: by entity id, the versions of them that their children were born of, as far as those are known.
        """
        described = self.version(answer.process)
        described["lineage"] |= {"depth": answer.depth, "complete": answer.complete}
        described["ancestors"] = [self.ancestor(one, seen.get(one.entity_id)) for one in answer.ancestors]
        return described

    def ancestor(self, ancestor: Ancestor, seen: ProcessAnswer | None) -> Fields:
        """``until`` and ``how`` are there where that version is still known."""
        described = {
            "process": orjson.loads(self._describer.describe_relative(ancestor)),
            "since": self._date(ancestor.began_ns),
            "cut": [*ancestor.image.cut, *ancestor.cut],
        }
        if seen is not None:
            described |= {"until": self.date(seen.until_ns), "how": seen.how}
            if seen.unsure:
                described["unsure"] = seen.unsure
        return described

    def earlier(self, answer: ProcessAnswer) -> Fields:
        """So much of a process as says whether it is the one that was meant."""
        process = answer.process
        return {
            "entity_id": process.entity_id,
            "start": self._date(process.start_ns),
            "end": self.date(process.end_ns),
            "name": self._describer.shown(process.image.name),
        }

    def parent(self, answer: ParentAnswer) -> Fields:
        """The parent with all that a document tells of one."""
        return {
            "edge": answer.edge,
            "process": orjson.loads(self._describer.describe_relative(answer.parent)),
            "since": self._date(answer.since_ns),
            "until": self.date(answer.until_ns),
            "how": answer.how,
            "unsure": answer.unsure,
        }

    def artifact(self, artifact: Artifact, *, of_host: bool) -> Fields:
        """When, which thread, and what it did by the fields' own names. ``of_host`` as in ``thread``."""
        about = artifact.about
        process: Fields = {"thread": {"id": artifact.tid}}
        told: Fields = {"time": self._date(artifact.time_ns), "action": artifact.action, "process": process}
        if isinstance(about, Credentials):
            process |= orjson.loads(self._describer.describe_credentials(about, of_host=of_host))
            process["thread"]["capabilities"] = orjson.loads(self._describer.describe_capabilities(about))
        else:
            told["file"] = {"path": self._describer.shown(about.executable), **file_described(about.file)}
        return told

    def thread(self, answer: ThreadAnswer, of: ProcessVersion | None, *, of_host: bool) -> Fields:
        """``of``: its process then, where that is known. ``of_host``: names of this host's accounts fit its ids."""
        process: Fields = orjson.loads(self._describer.describe_credentials(answer.credentials, of_host=of_host))
        process["entity_id"] = answer.process_id
        process["pid"] = answer.pid
        if of is not None and of.image.name:
            process["name"] = self._describer.shown(of.image.name)
        process["thread"] = {
            "entity_id": answer.entity_id,
            "id": answer.tid,
            "vid": answer.ns_tid,
            "name": self._describer.shown(answer.name),
            "start": self._date(answer.start_ns),
            "end": self.date(answer.end_ns),
            "birth_id": answer.birth_tid,
            "capabilities": {
                "permitted": capabilities(answer.credentials.cap_permitted),
                "effective": capabilities(answer.credentials.cap_effective),
            },
        }
        return {
            "process": process,
            "since": self._date(answer.since_ns),
            "until": self.date(answer.until_ns),
            "how": answer.how,
            "told": answer.told,
            "versions_dropped": answer.dropped,
            "versions_dropped_after": answer.dropped_after,
            "unsure": answer.unsure,
            "end_how": answer.end_how,
            "alive": answer.alive,
        }
