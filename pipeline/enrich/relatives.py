"""What a process's parent, leaders and ancestors put into its documents, kept for all that have the same ones.

A process's fork and exec share it, and so do the commands of one shell. For each parent the last is kept, and is
compared by value before it is used again, so that nothing stale gets out. Where a parent is new, its own relatives are
still there, since it was described itself: one name is put before those, and its leaders are its children's.
Leaders are kept by their moments (entity_id, since_ns).
"""

from __future__ import annotations

from operator import itemgetter
from typing import NamedTuple

from pipeline.enrich.ecs import Parts, inner, parent_of
from pipeline.enrich.lineage import ARROW, UNKNOWN, beginning
from pipeline.enrich.text import SURELY_FITS
from pipeline.events import Session
from pipeline.process import ANCESTORS_MAX, Ancestor, ProcessVersion

KEPT_MAX = 1024
LEADERS_MAX = 512

SAME = b',"same_as_process":true}'
OTHER = b',"same_as_process":false}'
ANCESTORS = b'"ancestors":{"name":[%b],"executable":[%b],"entity_id":[%b],"pid":[%b]},'

_ARROW = ARROW.encode()
_UNKNOWN_PARENT = (UNKNOWN + ARROW).encode()
_new = tuple.__new__  # a third of the time of calling the NamedTuple

_at = ProcessVersion._fields.index
# Slices of a version: a quarter of the time of naming the fields.
_above = itemgetter(slice(_at("ancestors"), _at("doubt")))
_leaders = itemgetter(slice(_at("group_leader"), _at("boot_pid_ns")))


class RelativesPart(NamedTuple):
    blocks: bytes  # parent and leaders in the process object, each with the comma before it
    lineage: bytes  # ancestors, depth, complete: members of the lineage object
    beginning: bytes  # of lineage.chain, as far as the arrow behind the parent; JSON without quotes
    parent: bytes  # of process.lineage, likewise
    child_of: bytes  # ", child of bash (pid 5678)," for the message; empty when the parent is not known
    cut: bool  # a string in it is not whole


class _Upward(NamedTuple):
    """What hangs on the ancestors alone."""

    arrays: tuple[bytes, bytes, bytes, bytes]  # name, executable, entity_id, pid of the ancestors, nearest first
    arrays_cut: bool
    block: bytes  # of the parent, with the comma before it
    lineage: bytes
    beginning: bytes
    parent: bytes
    child_of: bytes
    cut: bool


class _Kept(NamedTuple):
    above: tuple[object, ...]  # what the upward part is made of
    session: Session  # with these, what the leaders' blocks are made of
    leaders: tuple[object, ...]
    leader_ids: frozenset[str]
    upward: _Upward
    blocks: tuple[bytes, bool]  # of the leaders, none of which is the process itself; and whether a string was cut
    part: RelativesPart


class Relatives:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._kept: dict[str, _Kept] = {}  # by the parent's entity id; the oldest goes
        self._leaders: dict[tuple[object, ...], tuple[bytes, bool]] = {}

    def clear(self) -> None:
        self._kept.clear()
        self._leaders.clear()

    def of(self, process: ProcessVersion) -> RelativesPart:
        own_id = process[0]
        above = _above(process)
        session = process.session
        leaders = _leaders(process)
        ancestors = process.ancestors
        key = ancestors[0][0] if ancestors else own_id
        kept = self._kept.get(key)
        if kept is None or kept.above != above:
            grand = self._known_above(process)
            upward = self._one_below(grand.upward, process) if grand else self._make_upward(process)
        else:
            if kept.session == session and kept.leaders == leaders and own_id not in kept.leader_ids:
                return kept.part
            grand, upward = None, kept.upward
        if (
            grand is not None
            and grand.session == session
            and grand.leaders == leaders
            and own_id not in grand.leader_ids
            and key not in grand.leader_ids
        ):
            blocks, ids = grand.blocks, grand.leader_ids
        else:
            blocks = self._leaders_of(process)
            three = (process.group_leader, process.session_leader, process.entry_leader)
            ids = frozenset([leader.entity_id for leader in three if leader is not None])
        part = _new(
            RelativesPart,
            (
                upward.block + blocks[0],
                upward.lineage,
                upward.beginning,
                upward.parent,
                upward.child_of,
                upward.cut or blocks[1],
            ),
        )
        if own_id not in ids:  # a leader's own is of no use to its siblings
            if kept is None and len(self._kept) >= KEPT_MAX:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = _new(_Kept, (above, session, leaders, ids, upward, blocks, part))
        return part

    def _known_above(self, process: ProcessVersion) -> _Kept | None:
        """What is kept of the parent's own relatives, where the process has those and its parent, and all are told."""
        ancestors = process.ancestors
        if not 2 <= len(ancestors) < ANCESTORS_MAX:
            return None
        kept = self._kept.get(ancestors[1][0])
        above = (ancestors[1:], process.depth - 1, process.complete, None)
        if kept is None or kept.above != above or kept.upward.arrays_cut:
            return None
        image = ancestors[0].image
        return kept if len(image.name) <= SURELY_FITS and len(image.executable) <= SURELY_FITS else None

    def _one_below(self, upward: _Upward, process: ProcessVersion) -> _Upward:
        """That of the parent's children, from the parent's own."""
        parent = process.ancestors[0]
        image = self._parts.image(parent.image)
        names, executables, ids, pids = upward.arrays
        arrays = (
            b'"%b",%b' % (image.name, names),
            b'"%b",%b' % (image.executable, executables),
            b'"%b",%b' % (parent.entity_id.encode(), ids),
            b"%d,%b" % (parent.pid, pids),
        )
        return self._upward(process, arrays, upward.beginning + image.link + _ARROW, False)

    def _make_upward(self, process: ProcessVersion) -> _Upward:
        arrays, is_cut = self._ancestors(process)
        return self._upward(process, arrays, inner(beginning(process)), is_cut)

    def _upward(
        self, process: ProcessVersion, arrays: tuple[bytes, bytes, bytes, bytes], chain: bytes, arrays_cut: bool
    ) -> _Upward:
        described = b'"depth":%d,"complete":%b' % (process.depth, b"true" if process.complete else b"false")
        if arrays[0]:
            described = ANCESTORS % arrays + described
        parent = process.parent or process.named_parent
        if parent is None:
            return _Upward(arrays, arrays_cut, b"", described, chain, _UNKNOWN_PARENT, b"", arrays_cut)
        block = self._parts.parent(parent)
        image = self._parts.image(parent.image)
        return _new(
            _Upward,
            (
                arrays,
                arrays_cut,
                b',"parent":' + block.json,
                described,
                chain,
                image.link + _ARROW,
                b", child of %b (pid %d)," % (image.name, parent.pid),
                arrays_cut or block.cut,
            ),
        )

    def _ancestors(self, process: ProcessVersion) -> tuple[tuple[bytes, bytes, bytes, bytes], bool]:
        """Parallel arrays, nearest first; the one behind the last known, of whom nobody has told, is UNKNOWN.

        Where a record names that one, its id and its pid are told all the same.
        """
        known = process.ancestors
        names, names_cut = self._parts.cut_all([ancestor.image.name or UNKNOWN for ancestor in known])
        executables, executables_cut = self._parts.cut_all([one.image.executable or UNKNOWN for one in known])
        ids = [ancestor.entity_id for ancestor in known]
        pids = [ancestor.pid for ancestor in known]
        if not process.complete and len(known) < ANCESTORS_MAX:
            named = process.named_parent
            names.append(UNKNOWN)
            executables.append(UNKNOWN)
            ids.append(named.entity_id if named else UNKNOWN)
            pids.append(named.pid if named else 0)
        return (inner(names), inner(executables), inner(ids), inner(pids)), names_cut or executables_cut

    def _leaders_of(self, process: ProcessVersion) -> tuple[bytes, bool]:
        key = _leaders_key(process)
        made = self._leaders.get(key)
        if made is None:
            made = self._make_leaders(process)
            if len(self._leaders) >= LEADERS_MAX:
                del self._leaders[next(iter(self._leaders))]
            self._leaders[key] = made
        return made

    def _make_leaders(self, process: ProcessVersion) -> tuple[bytes, bool]:
        parts = self._parts
        blocks = b""
        is_cut = False
        if process.group_leader is not None:
            leader = parts.group_leader(process.group_leader)
            blocks += b',"group_leader":' + leader.json[:-1] + _same(process, process.group_leader)
            is_cut |= leader.cut
        elif process.session.group_id:
            gone = parts.gone_leader(process.session.group_id, process.session.group_start_ns)
            blocks += b',"group_leader":' + gone[:-1] + OTHER
        if process.session_leader is not None:
            leader = parts.session_leader(process.session_leader, process)
            blocks += b',"session_leader":' + leader.json[:-1] + _same(process, process.session_leader)
            is_cut |= leader.cut
        elif process.session.id:
            gone = parts.gone_leader(process.session.id, process.session.start_ns)
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
        else (process.session.group_id, process.session.group_start_ns),
        (session.entity_id, session.since_ns, session.entity_id == own)
        if session
        else (process.session.id, process.session.start_ns),
        (entry.entity_id, entry.since_ns, entry.entity_id == own, process.entry_type) if entry else None,
        (session_parent.entity_id, session_parent.since_ns) if session_parent else None,
        (entry_parent.entity_id, entry_parent.since_ns) if entry_parent else None,
    )


def _same(process: ProcessVersion, leader: Ancestor) -> bytes:
    return SAME if leader.entity_id == process.entity_id else OTHER
