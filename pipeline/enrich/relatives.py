"""What a process's parent, leaders and ancestors put into its documents, kept for all that have the same ones.

A process's fork, exec and end share it, and so do the commands of one shell. For each parent the last is kept, and is
compared by value before it is used again, so that nothing stale gets out: 2 us when the next child is like the last, 45
when the parent is new. When only leaders differ (each job of an interactive shell leads its own group), the upward part
is used again. A parent of many children pays once; a storm in which every process is a parent pays each time.
Leaders are kept by their moments (entity_id, since_ns).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cachetools import LRUCache

from pipeline.enrich.ecs import Parts, inner, members, parent_of
from pipeline.enrich.lineage import ARROW, UNKNOWN, beginning, escape
from pipeline.process import ANCESTORS_MAX, Ancestor, ProcessVersion

KEPT_MAX = 512

SAME = b',"same_as_process":true}'
OTHER = b',"same_as_process":false}'

# All of a version that its relatives are made of lies between these two fields: one slice is cheaper than eleven names.
_FIRST = ProcessVersion._fields.index("group_id")
_BEHIND = ProcessVersion._fields.index("entry_type") + 1


class RelativesPart(NamedTuple):
    blocks: bytes  # parent and leaders in the process object, each with the comma before it
    lineage: bytes  # ancestors, depth, complete: members of the lineage object
    beginning: bytes  # of lineage.chain, as far as the arrow behind the parent; JSON without quotes
    parent: bytes  # of process.lineage, likewise
    child_of: bytes  # ", child of bash (pid 5678)," for the message; empty when the parent is not known
    cut: bool  # a string in it is not whole


class _Kept(NamedTuple):
    state: tuple[object, ...]
    above: tuple[object, ...]  # what the upward part is made of
    upward: RelativesPart  # without leaders
    leader_ids: frozenset[str]
    own_id: str  # of the process that is its own leader; empty when it is none
    part: RelativesPart


class Relatives:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._kept: LRUCache[str, _Kept] = LRUCache(KEPT_MAX)
        self._leaders: LRUCache[tuple[object, ...], tuple[bytes, bool]] = LRUCache(KEPT_MAX)

    def clear(self) -> None:
        self._kept.clear()
        self._leaders.clear()

    def of(self, process: ProcessVersion) -> RelativesPart:
        own_id = process.entity_id
        state = process[_FIRST:_BEHIND]
        above = (process.ancestors, process.depth, process.complete)
        key = process.ancestors[0].entity_id if process.ancestors else own_id
        upward = None
        try:
            kept = self._kept[key]
        except KeyError:
            pass
        else:
            if kept.state == state and kept.own_id == (own_id if own_id in kept.leader_ids else ""):
                return kept.part
            if kept.above == above:
                upward = kept.upward
        if upward is None:
            upward = self._make_upward(process)
        leaders, leaders_cut = self._leaders_of(process)
        part = upward._replace(blocks=upward.blocks + leaders, cut=upward.cut or leaders_cut)
        three = (process.group_leader, process.session_leader, process.entry_leader)
        ids = frozenset(leader.entity_id for leader in three if leader is not None)
        self._kept[key] = _Kept(state, above, upward, ids, own_id if own_id in ids else "", part)
        return part

    def _make_upward(self, process: ProcessVersion) -> RelativesPart:
        described, is_cut = self._ancestors(process)
        described |= {"depth": process.depth, "complete": process.complete}
        parent = process.parent
        if parent is None:
            return RelativesPart(
                b"", members(described), inner(beginning(process)), inner(UNKNOWN + ARROW), b"", is_cut
            )
        block = self._parts.parent(parent)
        return RelativesPart(
            b',"parent":' + block.json,
            members(described),
            inner(beginning(process)),
            inner(escape(parent.image.name) + ARROW),
            b", child of %b (pid %d)," % (self._parts.name(parent.image.name).shown, parent.pid),
            is_cut or block.cut,
        )

    def _ancestors(self, process: ProcessVersion) -> tuple[dict[str, Any], bool]:
        """Parallel arrays, nearest first; the one behind the last known, of whom nobody has told, is UNKNOWN."""
        known = process.ancestors
        names, names_cut = self._parts.cut_all([ancestor.image.name or UNKNOWN for ancestor in known])
        executables, executables_cut = self._parts.cut_all([one.image.executable or UNKNOWN for one in known])
        arrays: dict[str, list[Any]] = {
            "name": names,
            "executable": executables,
            "entity_id": [ancestor.entity_id for ancestor in known],
            "pid": [ancestor.pid for ancestor in known],
        }
        if not process.complete and len(known) < ANCESTORS_MAX:
            for array, unknown in zip(arrays.values(), (UNKNOWN, UNKNOWN, UNKNOWN, 0), strict=True):
                array.append(unknown)
        return {"ancestors": arrays} if arrays["pid"] else {}, names_cut or executables_cut

    def _leaders_of(self, process: ProcessVersion) -> tuple[bytes, bool]:
        key = _leaders_key(process)
        try:
            return self._leaders[key]
        except KeyError:
            made = self._leaders[key] = self._make_leaders(process)
            return made

    def _make_leaders(self, process: ProcessVersion) -> tuple[bytes, bool]:
        parts = self._parts
        blocks = b""
        is_cut = False
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


def _leaders_key(process: ProcessVersion) -> tuple[object, ...]:
    """The leaders' moments, whether each is the process itself, and the parents that two of them are shown with."""
    own = process.entity_id
    group, session, entry = process.group_leader, process.session_leader, process.entry_leader
    session_parent = parent_of(session, process) if session else None
    entry_parent = parent_of(entry, process) if entry else None
    return (
        (group.entity_id, group.since_ns, group.entity_id == own)
        if group
        else (process.group_id, process.group_start_ns),
        (session.entity_id, session.since_ns, session.entity_id == own)
        if session
        else (process.session_id, process.session_start_ns),
        (entry.entity_id, entry.since_ns, entry.entity_id == own, process.entry_type) if entry else None,
        (session_parent.entity_id, session_parent.since_ns) if session_parent else None,
        (entry_parent.entity_id, entry_parent.since_ns) if entry_parent else None,
    )


def _same(process: ProcessVersion, leader: Ancestor) -> bytes:
    return SAME if leader.entity_id == process.entity_id else OTHER
