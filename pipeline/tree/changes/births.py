"""What a parent gives to its children, as far as none of their own records says otherwise. See ``folding``.

Most children of one parent were born of few of its versions, and each such version gives the same to all of them: that
is made once. Whoever has of it what he should have is found out by comparing; nothing of him is made anew.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from pipeline.events import Namespaces, Session
from pipeline.process import Ancestor, Image
from pipeline.tree.known.history import (
    BIRTH,
    CONTAINER,
    DIRECTORY,
    GROUPS,
    IDS,
    IMAGE,
    MORE_SPACES,
    NAME,
    PARENT,
    SESSION,
    SPACES,
    TASK,
    Version,
    gone,
    in_a_hole,
    moment_of,
    unknown_to,
    versions,
)
from pipeline.tree.known.state import Key, Process, State

PROPERTIES: dict[int, tuple[str, ...]] = {
    IMAGE: ("image", "exec_id", "image_from_snapshot", "sockets"),
    DIRECTORY: ("working_directory",),
    NAME: ("thread_name",),
    SESSION: ("session",),
    CONTAINER: ("contained",),
    PARENT: ("reaper_key",),
}
"""Fields that go together. Credentials and namespaces are told in two parts each; see ``folding``."""

_OF_AN_ANCESTOR: dict[int, tuple[str, ...]] = {
    IMAGE: ("image",),
    DIRECTORY: ("working_directory", "cut"),
    IDS: ("credentials",),
    GROUPS: ("credentials", "cut"),
    SESSION: ("session",),
}


class Births:
    """Of one parent: what was born of each of its versions."""

    __slots__ = ("_given", "_known", "_moments", "_since", "_unknown", "parent", "revision")

    def __init__(self, parent: Process) -> None:
        self.parent = parent
        self.revision = parent.revision  # another one, and this is of no use any more
        self._known = versions(parent)
        self._since = [version.since_ns for version in self._known]
        self._given: dict[int, Version] = {}
        self._moments: dict[int, Ancestor] = {}
        self._unknown: dict[int, int] = {}

    def index_at(self, time_ns: int) -> int:
        return max(bisect_right(self._since, time_ns) - 1, 0)

    def held(self, index: int) -> Version:
        return self._known[index]

    def moment(self, index: int) -> Ancestor:
        made = self._moments.get(index)
        if made is None:
            made = self._moments[index] = moment_of(self.parent, self._known[index])
        return made

    def unknown_to(self, index: int) -> int:
        unknown = self._unknown.get(index)
        if unknown is None:
            unknown = self._unknown[index] = unknown_to(self.parent, index)
        return unknown

    def unsure_at(self, index: int, time_ns: int) -> int:
        """``history.unsure_of``."""
        unsure = self.unknown_to(index)
        if index + 1 < len(self._known) and time_ns > self._since[index]:
            unsure |= gone(self._known[index + 1].told)
        return unsure

    def given(self, index: int) -> Version:
        """To a child that is told of in order, and in its parent's namespaces."""
        made = self._given.get(index)
        if made is None:
            base = self._known[index]
            spaces = base.namespaces._replace(children_pid=0)
            made = self._given[index] = base._replace(image_from_snapshot=False, namespaces=spaces)
        return made

    def may_judge(self, child: Process, index: int) -> bool:
        """Whether the child's entry leader may hang on more than what it was born with: on its parent's name, if the
        child leads a session, which is for ever; else on its parent as a leader, if it was born with none."""
        first = child.past[0] if child.past else child
        if child.session.id == child.pid or child.kernel_thread or not (child.birth_told and first.told & BIRTH):
            return True  # of one that was found running the parent's own may stand for what it was born with
        if child.entry is not None and self._known[index].entry is not None:
            return False
        key = self.parent.key
        return any(key in ((on.id, on.start_ns), (on.group_id, on.group_start_ns)) for on in _sessions(child))

    def has_what_it_was_given(self, child: Process, index: int) -> bool:
        """Whether its first version would come out of ``folding`` as it is. No, also where that is not simple."""
        first, parent = child.past[0] if child.past else child, self.parent
        told, given = first.told, self.given(index)
        return (
            told & ~GROUPS == TASK | BIRTH
            and first.image == given.image
            and first.exec_id == given.exec_id <= child.birth_exec_id
            and not first.image_from_snapshot
            and first.sockets == given.sockets
            and first.working_directory == given.working_directory
            and first.contained == given.contained
            and first.cgroup_told is None
            and (first.cgroup_id == given.cgroup_id or first.cgroup_id != 0)
            and (told & GROUPS != 0 or first.credentials.groups == given.credentials.groups)
            and first.namespaces == given.namespaces
            and (first.session is given.session or first.session == first.session.filled_from(given.session))
            and not (first.cut ^ given.cut) & ~told
            and given.entry is not None
            and (first.entry is given.entry or first.entry == given.entry)
            and first.reaper_key == parent.key
            and (parent.heir is None or parent.end_ns is None or parent.end_ns > first.since_ns)
            and not child.kernel_thread
        )


def _sessions(process: Process) -> Iterator[Session]:
    yield process.session
    for version in process.past or ():
        yield version.session


def doubt_birth(child: Process, unknown: int) -> bool:
    """What its parent did not know at the birth, it does not know, but for what its own record told. Whether that is
    news."""
    past = child.past
    told = child.told if past is None else past[0].told
    unknown &= ~(told | gone(told) | BIRTH)
    if not unknown:
        return False
    told |= in_a_hole(unknown)
    child.has_hole = True
    if past is None:
        child.told = told
    else:
        past[0] = past[0]._replace(told=told)
    return True


def inherited(state: State, process: Process, first: Version, known: dict[Key, Births]) -> Version | None:
    """What it was born with, before its own record said more; None where nobody knows.

    ``known``: of parents, for whoever comes next.
    """
    parent = state.processes.find(process.parent_key) if process.birth_told and not process.waits else None
    if parent is None:
        return None
    births = known.get(parent.key)
    if births is None or births.revision != parent.revision:
        births = known[parent.key] = Births(parent)
    index = births.index_at(process.birth_ns)
    base, unsure = births.held(index), births.unsure_at(index, process.birth_ns)
    if base.exec_id == process.birth_exec_id:
        unsure &= ~IMAGE  # it was counted
    same = base.namespaces[:3] == first.namespaces[:3]
    if same and not unsure and not process.kernel_thread and base.exec_id <= process.birth_exec_id:
        return births.given(index)  # nearly always
    if unsure:  # then what it has is what was known at its birth
        base = _as_known(base, first, unsure)
    base = base._replace(image_from_snapshot=False)
    if process.kernel_thread:
        base = base._replace(image=first.image, exec_id=first.exec_id, image_from_snapshot=first.image_from_snapshot)
    elif base.exec_id > process.birth_exec_id:  # all that is known of the parent is what it executed later
        unknown = Image(first.thread_name, "", ())
        base = base._replace(
            image=unknown,
            exec_id=process.birth_exec_id,
            working_directory="",
            cut=base.cut & ~DIRECTORY,
        )
    same = base.namespaces[:3] == first.namespaces[:3]
    spaces = base.namespaces._replace(children_pid=0) if same else Namespaces(*first.namespaces[:3])
    return base._replace(namespaces=spaces)


def _as_known(base: Version, first: Version, unsure: int) -> Version:
    """``base`` with those properties of ``first`` that are not sure."""
    values = {name: getattr(first, name) for bit, names in PROPERTIES.items() if unsure & bit for name in names}
    if unsure & GROUPS:
        values["credentials"] = base.credentials._replace(groups=first.credentials.groups)
    if unsure & (SPACES | MORE_SPACES):
        spaces = first.namespaces if unsure & SPACES else base.namespaces
        more = first.namespaces if unsure & MORE_SPACES else base.namespaces
        values["namespaces"] = Namespaces(*spaces[:3], *more[3:])
    if unsure & (IMAGE | SESSION):
        values["entry"] = first.entry
    return base._replace(**values, cut=(base.cut & ~unsure) | (first.cut & unsure))


def but_for(born_of: Ancestor, known: Ancestor, unsure: int) -> Ancestor:
    """``born_of`` with those properties of ``known`` that are not sure."""
    names = [name for bit, names in _OF_AN_ANCESTOR.items() if unsure & bit for name in names]
    return born_of._replace(**{name: getattr(known, name) for name in names})
