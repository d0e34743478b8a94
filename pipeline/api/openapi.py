"""What can be asked, as OpenAPI 3.1: what ``/openapi.json`` answers. The tests try the server against it.

Of a process's fields only those are described here that every process has; docs/fields.md has them all.
"""

from __future__ import annotations

from typing import Any

from pipeline import __version__, moments
from pipeline.api.parameters import PID_MAX
from pipeline.api.problems import STATUS
from pipeline.tree import DEPTH_MAX, KINDS, TOLD_OF

Schema = dict[str, Any]

TIME: Schema = {"type": "string", "format": "date-time", "examples": ["2026-03-02T12:00:00.123456789Z"]}
MAYBE_TIME: Schema = {"oneOf": [TIME, {"type": "null"}]}
TEXT: Schema = {"type": "string"}
YES_NO: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
ENTITY_ID: Schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$", "description": "process.entity_id"}
HOST: Schema = {"type": "object", "description": "host.*, as in documents"}


def _object(required: Schema, optional: Schema | None = None) -> Schema:
    return {"type": "object", "required": list(required), "properties": required | (optional or {})}


def _list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _named(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


NUMBERED = _object({"id": TEXT}, {"name": TEXT})
RELATIVE = _object({"entity_id": ENTITY_ID, "pid": COUNT, "start": TIME}, {"name": TEXT, "executable": TEXT})
FILE = _object(
    {},
    {"path": TEXT, "inode": TEXT, "device": TEXT, "mode": TEXT, "links": COUNT}
    | {"modified": TIME, "changed": TIME, "traits": _list_of(TEXT)},
)
NAMED_FILE = FILE | {"required": ["path"]}
VERSION_MEMBERS: Schema = {
    "process": _object(
        {
            "entity_id": ENTITY_ID,
            "pid": COUNT,
            "start": TIME,
            "lineage": TEXT,
            "args": _list_of(TEXT),
            "thread": _object({"id": COUNT, "name": TEXT}),
        },
        {"name": TEXT, "executable": TEXT, "end": TIME, "exit_code": COUNT, "parent": RELATIVE},
    ),
    "lineage": _object(
        {"chain": TEXT, "depth": COUNT, "complete": YES_NO},
        {
            "doubt": _list_of(TEXT),
            "ancestors": {"type": "object"},
            "executable": FILE | {"description": "what its executable is, beside its path"},
            "script": _object({"interpreter": TEXT}, FILE["properties"]) | {"description": "of a script its own file"},
            "loader": NAMED_FILE | {"description": "what loads it (PT_INTERP); absent: a static program"},
        },
    ),
    "since": TIME,
    "until": MAYBE_TIME,
    "how": {"enum": ["kernel", "snapshot", "repair"], "description": "how the beginning of this version was learnt"},
    "told": _list_of(TEXT) | {"description": "what was told then; all else it has from the version before"},
    "cut": _list_of(TEXT) | {"description": "what was longer than a record carries, or was not found"},
    "versions_dropped": COUNT | {"description": "versions just before this one that are not known any more"},
    "versions_dropped_after": COUNT | {"description": "versions between this one and the next, likewise"},
    "unsure": _list_of(TEXT) | {"description": "properties of which nobody knows whether they were so at that moment"},
    "end_how": {"enum": ["kernel", "repair", None], "description": "how its end was learnt; null: it had not ended"},
    "alive": YES_NO,
    "filesystem": _object({"user": NUMBERED, "group": NUMBERED}) | {"description": "ids that files are opened with"},
    "namespaces": {
        "type": "object",
        "additionalProperties": TEXT,
        "description": "inodes of its namespaces, as far as they were told",
    },
}
VERSION_MAY_HAVE: Schema = {
    "user": NUMBERED | {"description": "as in documents, and so are related and container"},
    "related": {"type": "object"},
    "container": {"type": "object"},
    "cgroup": _object({"id": TEXT}),
    "filtered": {"const": True, "description": "a filter of the configuration keeps it out of documents"},
}
ASKED: Schema = {"host": HOST, "at": TIME | {"description": "the moment of the answer"}}
FORGOTTEN: Schema = {
    "forgotten": COUNT | {"description": "how many are not known any more that belong, or may belong, to the answer"}
}
THREAD_MEMBERS: Schema = {
    "process": _object(
        {
            "entity_id": ENTITY_ID,
            "pid": COUNT,
            "thread": _object(
                {
                    "entity_id": ENTITY_ID,
                    "id": COUNT,
                    "vid": COUNT,
                    "name": TEXT,
                    "start": TIME,
                    "end": MAYBE_TIME,
                    "birth_id": {"oneOf": [COUNT, {"type": "null"}]},
                    "capabilities": _object({"permitted": _list_of(TEXT), "effective": _list_of(TEXT)}),
                }
            ),
        },
        {"name": TEXT},
    ),
    "since": TIME,
    "until": MAYBE_TIME,
    "how": {"enum": ["kernel", "snapshot", "repair"], "description": "how the beginning of this version was learnt"},
    "told": _list_of(TEXT) | {"description": "what was told then; all else it has from before, or from who made it"},
    "versions_dropped": COUNT | {"description": "versions just before this one that are not known any more"},
    "versions_dropped_after": COUNT | {"description": "and between this one and the next"},
    "unsure": _list_of(TEXT) | {"description": "properties of which nobody knows whether they were so at that moment"},
    "end_how": {"enum": ["kernel", "repair", None], "description": "repair: inferred; null: it had not ended then"},
    "alive": YES_NO,
}
EARLIER: Schema = {
    "earlier_with_pid": _object({"entity_id": ENTITY_ID, "start": TIME, "end": MAYBE_TIME, "name": TEXT})
    | {"description": "asked by pid alone: who had it before, where that is known"}
}
COUNTED: Schema = {
    "count": COUNT,
    "truncated": YES_NO | {"description": "whether there are more than an answer may have"},
    "missing": COUNT | {"description": "how many more there are"},
}


def _history(name: str, optional: Schema | None = None) -> Schema:
    return _object(
        ASKED
        | {"entity_id": ENTITY_ID, "versions_known": COUNT | {"description": "until then"}}
        | {"versions": _list_of(_named(name))}
        | COUNTED,
        optional,
    )


def _with_bound(**counts: Schema) -> Schema:
    return _object(counts | {"max": COUNT, "over_bound": YES_NO})


SCHEMAS: Schema = {
    "Version": _object(VERSION_MEMBERS, VERSION_MAY_HAVE),
    "Process": {
        "oneOf": [
            _object(ASKED | VERSION_MEMBERS, VERSION_MAY_HAVE | EARLIER),
            _history("Version", EARLIER),
        ]
    },
    "Lineage": _object(
        ASKED
        | VERSION_MEMBERS
        | {
            "ancestors": _list_of(
                _object(
                    {"process": RELATIVE, "since": TIME, "cut": _list_of(TEXT)},
                    {"until": MAYBE_TIME, "how": VERSION_MEMBERS["how"], "unsure": VERSION_MEMBERS["unsure"]},
                )
            )
        },
        VERSION_MAY_HAVE,
    ),
    "Processes": _object(ASKED | FORGOTTEN | {"processes": _list_of(_named("Version"))} | COUNTED),
    "Parents": _object(
        ASKED
        | {
            "parents": _list_of(
                _object(
                    {
                        "edge": {"enum": ["birth", "reaper"]},
                        "process": RELATIVE,
                        "since": TIME,
                        "until": MAYBE_TIME,
                        "how": VERSION_MEMBERS["how"] | {"description": "how the beginning of the edge was learnt"},
                        "unsure": YES_NO | {"description": "whether there may have been another"},
                    }
                )
            )
        }
        | COUNTED
    ),
    "Tree": _object(
        ASKED | FORGOTTEN | {"processes": _list_of(_named("Version"))} | COUNTED,
        {"kernel_threads": COUNT | {"description": "with kernel_threads=false: how many were left out"}},
    ),
    "ThreadVersion": _object(THREAD_MEMBERS),
    "Thread": {"oneOf": [_object(ASKED | THREAD_MEMBERS), _history("ThreadVersion")]},
    "Threads": _object(ASKED | FORGOTTEN | {"threads": _list_of(_named("ThreadVersion"))} | COUNTED),
    "Artifacts": _object(
        ASKED
        | {
            "kind": {"enum": list(TOLD_OF)},
            "artifacts": _list_of(
                _object(
                    {"time": TIME, "action": TEXT, "process": _object({"thread": _object({"id": COUNT})})},
                    {"file": NAMED_FILE},
                )
            ),
            "dropped": COUNT,
        }
    ),
    "Health": _object(
        {
            "ok": YES_NO,
            "host": HOST,
            "began": TIME,
            "last_event": TIME,
            "processes": _with_bound(alive=COUNT, ended=COUNT, pinned=COUNT),
            "threads": _with_bound(alive=COUNT, ended=COUNT),
            "records": COUNT,
            "lost_records": {"type": "object", "additionalProperties": COUNT},
            "repairs": COUNT,
        }
    ),
    "Problem": _object(
        {"status": COUNT, "reason": {"enum": list(STATUS)}, "message": TEXT},
        {"candidates": _list_of({"anyOf": [_named("Version"), _named("ThreadVersion")]})},
    ),
}


def _parameter(name: str, schema: Schema, description: str, *, required: bool = False) -> Schema:
    where = "path" if name == "id" else "query"
    return {
        "name": name,
        "in": where,
        "required": required or where == "path",
        "schema": schema,
        "description": description,
    }


ID = _parameter("id", ENTITY_ID, "Which process.")
THREAD_ID = _parameter("id", ENTITY_ID, "Entity id of the thread; a group's leader has that of its process.")
AT = _parameter(
    "at",
    {
        "type": "string",
        "pattern": moments.PATTERN,
        "examples": ["-90s", "2026-03-02T12:00:00Z"],
    },
    "When: RFC 3339, a time of day with its zone, or how long ago. Without a fraction: the end of that second. "
    "Default: now.",
)
PID = _parameter("pid", {"type": "integer", "minimum": 1, "maximum": PID_MAX}, "Which process: by its pid.")
NEEDED_PID = PID | {"required": True}
TID = _parameter(
    "tid", PID["schema"], "Which thread: by its tid. A group's leader has its process's pid.", required=True
)
ENTITY = _parameter("entity_id", ENTITY_ID, "Which process, in place of its pid.")
DEPTH = _parameter(
    "depth", {"type": "integer", "minimum": 1, "maximum": DEPTH_MAX, "default": 5}, "So many ancestors at most."
)
LEVELS = _parameter("depth", {"type": "integer", "minimum": 1, "maximum": DEPTH_MAX}, "So many levels below the first.")
AS_OF = _parameter(
    "as_of", {"enum": ["birth", "time"]}, "Each ancestor as it was when its child was born (default), or at that time."
)
HISTORY = _parameter("history", {"enum": ["true", "false"]}, "All versions that had begun by then, oldest first.")
KIND = _parameter(
    "kind", {"enum": list(KINDS)}, "What it did: of which kind. Default: credentials. Of some kinds nothing tells yet."
)
ENDED = _parameter("ended", {"enum": ["true", "false"]}, "With a process: those too that had ended by then.")
KERNEL_THREADS = _parameter(
    "kernel_threads",
    {"enum": ["true", "false"]},
    "Those too (default), or, of what is below a process or of all, kthreadd alone and the number of the others.",
)
EDGE = _parameter("edge", {"enum": ["birth", "reaper"]}, "To whom it gave birth (default), or whom it would reap.")

REFUSALS = {
    "300": "several had that pid or tid in that second: `candidates` has them",
    "400": "a time, depth or parameter that is none",
    "401": "over TCP: no token, or not that one",
    "404": "not known: `reason` says whether it never was, is not any more, or was not yet",
    "405": "neither GET nor HEAD",
    "500": "a bug",
    "503": "busy, not ready yet, or too slow",
}


def _question(summary: str, answer: str, *parameters: Schema) -> Schema:
    refusals = {
        status: {"description": text, "content": {"application/problem+json": {"schema": _named("Problem")}}}
        for status, text in REFUSALS.items()
        if status != "300" or any(parameter["name"] in ("pid", "tid") for parameter in parameters)
    }
    answered = {"description": summary, "content": {"application/json": {"schema": _named(answer)}}}
    responses = {"200": answered, **refusals}
    return {
        "get": {"summary": summary, "parameters": list(parameters), "responses": responses},
        "head": {
            "summary": f"{summary}: whether there is an answer",
            "parameters": list(parameters),
            "responses": {status: {"description": response["description"]} for status, response in responses.items()},
        },
    }


def _text(summary: str, content_type: str, schema: Schema) -> Schema:
    question = _question(summary, "Problem")
    question["get"]["responses"]["200"]["content"] = {content_type: {"schema": schema}}
    return question


PATHS: Schema = {
    "/processes": _question("A process by pid, as it is or was", "Process", NEEDED_PID, AT, HISTORY),
    "/processes/{id}": _question("A process, as it is or was", "Process", ID, AT, HISTORY),
    "/processes/{id}/children": _question("Born by then, ended ones too, oldest first", "Processes", ID, AT, EDGE),
    "/processes/{id}/parents": _question("Who bore it, and whoever would have reaped it", "Parents", ID, AT),
    "/processes/{id}/descendants": _question("Born by then of it and of those born of it", "Processes", ID, AT),
    "/processes/{id}/siblings": _question("Other children of its birth parent", "Processes", ID, AT),
    "/processes/{id}/session": _question("Alive then, and in the same session", "Processes", ID, AT),
    "/processes/{id}/threads": _question("Its threads, ended ones too, its leader first", "Threads", ID, AT),
    "/processes/{id}/artifacts": _question("What it did by then, oldest first", "Artifacts", ID, AT, KIND),
    "/lineage": _question("A process by pid, and its ancestors", "Lineage", NEEDED_PID, AT, DEPTH, AS_OF),
    "/lineage/{id}": _question("A process and its ancestors, nearest first", "Lineage", ID, AT, DEPTH, AS_OF),
    "/threads": _question("A thread by tid, as it is or was", "Thread", TID, AT, HISTORY),
    "/threads/{id}": _question("A thread, as it is or was", "Thread", THREAD_ID, AT, HISTORY),
    "/tree": _question(
        "All that lived then, or what did below a process", "Tree", AT, PID, ENTITY, LEVELS, ENDED, KERNEL_THREADS
    ),
    "/health": _question("How far the agent has come", "Health"),
    "/metrics": _text("Counters and sizes, for Prometheus", "text/plain", {"type": "string"}),
    "/openapi.json": _text("This description", "application/json", {"type": "object"}),
}

DESCRIPTION: Schema = {
    "openapi": "3.1.0",
    "info": {
        "title": "lineage",
        "version": __version__,
        "summary": "The process tree of a running agent, at any moment since it began to look.",
    },
    "security": [{}, {"token": []}],
    "paths": PATHS,
    "components": {
        "schemas": SCHEMAS,
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "Over TCP: api_token."}},
    },
}
