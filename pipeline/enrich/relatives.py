"""What a process's parent, leaders and ancestors put into its documents, kept for all that have the same ones.

A process's fork, exec and end share it, and so do all the commands of one shell: a hit costs 1.2 us, making one 12 to
20 us. Kept by the moments (entity_id, since_ns) of the parent and of the leaders; further up, where something may be
learnt later (the snapshot completes a chain), the ancestors are compared.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cachetools import LRUCache

from pipeline.enrich.ecs import Parts, inner, members
from pipeline.enrich.lineage import ARROW, UNKNOWN, beginning, escape
from pipeline.process import ANCESTORS_MAX, Ancestor, ProcessVersion

KEPT_MAX = 512

SAME = b',"same_as_process":true}'
OTHER = b',"same_as_process":false}'

Key = tuple[object, ...]


class RelativesPart(NamedTuple):
    blocks: bytes  # parent and leaders in the process object, each with the comma before it
    lineage: bytes  # ancestors, depth, complete: members of the lineage object
    beginning: bytes  # of lineage.chain, as far as the arrow behind the parent; JSON without quotes
    parent: bytes  # of process.lineage, likewise
    child_of: bytes  # ", child of bash (pid 5678)," for the message; empty when the parent is not known
    cut: bool  # a string in it is not whole


class Relatives:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._kept: LRUCache[Key, tuple[tuple[Ancestor, ...], RelativesPart]] = LRUCache(KEPT_MAX)

    def clear(self) -> None:
        self._kept.clear()

    def of(self, process: ProcessVersion) -> RelativesPart:
        key = _key(process)
        try:
            ancestors, made = self._kept[key]
        except KeyError:
            pass
        else:
            if ancestors == process.ancestors:  # as a rule the same values, so that this compares addresses
                return made
        made = self._make(process)
        self._kept[key] = process.ancestors, made
        return made

    def _make(self, process: ProcessVersion) -> RelativesPart:
        blocks, blocks_cut = self._blocks(process)
        described, ancestors_cut = self._ancestors(process)
        parent = process.parent
        return RelativesPart(
            blocks,
            members(described | {"depth": process.depth, "complete": process.complete}),
            inner(beginning(process)),
            inner((escape(parent.image.name) if parent else UNKNOWN) + ARROW),
            b", child of %b (pid %d)," % (self._parts.image(parent.image).name, parent.pid) if parent else b"",
            blocks_cut or ancestors_cut,
        )

    def _ancestors(self, process: ProcessVersion) -> tuple[dict[str, Any], bool]:
        """Parallel arrays, nearest first; the one behind the last known, of whom nobody has told, is UNKNOWN."""
        known = process.ancestors
        names = [self._parts.text(ancestor.image.name) for ancestor in known]
        executables = [self._parts.text(ancestor.image.executable) for ancestor in known]
        arrays: dict[str, list[Any]] = {
            "name": [part.text or UNKNOWN for part in names],
            "executable": [part.text or UNKNOWN for part in executables],
            "entity_id": [ancestor.entity_id for ancestor in known],
            "pid": [ancestor.pid for ancestor in known],
        }
        if not process.complete and len(known) < ANCESTORS_MAX:
            for array, unknown in zip(arrays.values(), (UNKNOWN, UNKNOWN, UNKNOWN, 0), strict=True):
                array.append(unknown)
        if not arrays["pid"]:
            return {}, False
        return {"ancestors": arrays}, any(part.cut for part in (*names, *executables))

    def _blocks(self, process: ProcessVersion) -> tuple[bytes, bool]:
        parts = self._parts
        blocks = b""
        is_cut = False
        if process.parent is not None:
            parent = parts.parent(process.parent)
            blocks += b',"parent":' + parent.json
            is_cut |= parent.cut
        if process.group_leader is not None:
            leader = parts.group_leader(process.group_leader)
            blocks += b',"group_leader":' + leader.json[:-1] + _same(process, process.group_leader)
            is_cut |= leader.cut
        elif process.group_id:
            blocks += b',"group_leader":' + parts.gone_leader(process.group_id, process.group_start_ns)[:-1] + OTHER
        if process.session_leader is not None:
            leader = parts.session_leader(process.session_leader, process)
            blocks += b',"session_leader":' + leader.json[:-1] + _same(process, process.session_leader)
            is_cut |= leader.cut
        elif process.session_id:
            gone = parts.gone_leader(process.session_id, process.session_start_ns)
            blocks += b',"session_leader":' + gone[:-1] + OTHER
        if process.entry_leader is not None:
            leader = parts.session_leader(process.entry_leader, process, process.entry_type or UNKNOWN)
            blocks += b',"entry_leader":' + leader.json[:-1] + _same(process, process.entry_leader)
            is_cut |= leader.cut
        return blocks, is_cut


def _key(process: ProcessVersion) -> Key:
    own = process.entity_id
    parent = process.ancestors[0] if process.ancestors else None
    group, session, entry = process.group_leader, process.session_leader, process.entry_leader
    return (
        (parent.entity_id, parent.since_ns) if parent else None,
        (group.entity_id, group.since_ns, group.entity_id == own)
        if group
        else (process.group_id, process.group_start_ns),
        (session.entity_id, session.since_ns, session.entity_id == own)
        if session
        else (process.session_id, process.session_start_ns),
        (entry.entity_id, entry.since_ns, entry.entity_id == own, process.entry_type) if entry else None,
        process.depth,
        process.complete,
    )


def _same(process: ProcessVersion, leader: Ancestor) -> bytes:
    return SAME if leader.entity_id == process.entity_id else OTHER
