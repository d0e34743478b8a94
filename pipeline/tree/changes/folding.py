"""Puts a late fact among the versions of its process, and carries it forward. See ``history`` for what a version is.

Rules of this file:
- A fact holds from its time up to the next record that told the same property, and in the children born meanwhile, as
  far as none of their own records says otherwise. The result is the same for every order in which facts come.
- An image that a walk saw is the image of the exec that the kernel told, where both count the same execs: that one
  knows more of it.
- A parent that a record names and that had ended by then stands for whoever adopted its children.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from pipeline.containers import container_of
from pipeline.events import Cgroup, Namespaces
from pipeline.process import Image
from pipeline.tree.changes.births import PROPERTIES, Births, but_for, doubt_birth, inherited
from pipeline.tree.changes.entries import asked, entry_of
from pipeline.tree.known.history import (
    BY_CHILD,
    BY_REPAIR,
    CONTAINER,
    DIRECTORY,
    GROUPS,
    IDS,
    IMAGE,
    IN_A_HOLE,
    LOOK,
    MORE_SPACES,
    NAME,
    PARENT,
    SESSION,
    SPACES,
    Version,
    amend,
    are_alike,
    drop_one,
    earlier_images,
    gone,
    in_a_hole,
    is_kernel_thread,
    is_told,
    most,
    since_of,
    versions,
)
from pipeline.tree.known.state import NOT_CONTAINED, Contained, Key, Process, State

HEIRS_MAX = 64
"""Ends, one after the other, that are followed to a process that lives."""

LOOKS_MAX = 8
"""Times that one late fact is followed to whom the same process was asked for: leaders in a circle have no end."""

HIERARCHIES_MAX = 64
"""Hierarchies of cgroups that are remembered to name a process's container. The kernel has some fifteen controllers."""


def insert(state: State, process: Process, time_ns: int, told: int, values: Mapping[str, Any]) -> None:
    """A fact that came late. ``values``: fields of Version, of the properties that are told."""
    known = versions(process)
    had = len(known)
    if process.looked_ns > time_ns and had < most(state) and not state.processes.is_over_bound:
        _write_down_look(process, known)
    index = bisect_right(known, time_ns, key=since_of)
    before = known[index - 1] if index else _unknown_before(known[0])
    hole = gone(known[index].told) if index < len(known) and known[index].dropped else 0
    if hole or told & IN_A_HOLE:
        process.has_hole = True
        if hole & told:  # which of the two was later nobody knows
            known[index] = known[index]._replace(told=known[index].told | IN_A_HOLE)
        told |= in_a_hole(hole)
    known.insert(index, before._replace(since_ns=time_ns, told=told, dropped=0, **{"cgroup_told": None, **values}))
    _put_back(state, process, known)
    process.latest_ns = max(process.latest_ns, time_ns)  # not late after all, but others were born of it since
    is_judged_by = not index or told & IMAGE != 0
    refold(state, process, time_ns if index else 0, is_judged_by=is_judged_by)
    past = process.past or []
    if len(past) >= most(state) or (state.processes.is_over_bound and len(past) >= max(had, 2)):
        drop_one(state, process, past)  # after it has told those who were born meanwhile


def _write_down_look(process: Process, known: list[Version]) -> None:
    """A walk found it as it was, and that is more than the past will show without a version."""
    time_ns, process.looked_ns = process.looked_ns, 0
    index = bisect_right(known, time_ns, key=since_of)
    if index and known[index - 1].since_ns < time_ns:
        same = known[index - 1]._replace(since_ns=time_ns, told=LOOK | BY_REPAIR, dropped=0, cgroup_told=None)
        known.insert(index, same)


def withdraw(state: State, process: Process, time_ns: int, tid: int) -> None:
    """What that thread told then was its own, and not its process's."""
    known = [one for one in versions(process) if one.since_ns != time_ns or one.tid != tid]
    if known:
        _put_back(state, process, known)
        refold(state, process, 0)


def end_at(state: State, process: Process, time_ns: int) -> None:
    """Its end comes late: nothing that was made known of later than that was about it."""
    known = versions(process)
    until = [version for version in known if version.since_ns <= time_ns] or known[:1]
    if len(until) < len(known):
        _put_back(state, process, until)
        process.latest_ns = time_ns


def _unknown_before(first: Version) -> Version:
    """Nobody has told what it was; where a birth tells it after all, ``refold`` puts that here."""
    return first._replace(
        image=Image(first.thread_name, "", ()),
        exec_id=first.exec_id - 1 if first.told & IMAGE and first.exec_id else first.exec_id,
        image_from_snapshot=False,
        working_directory="",
        cut=first.cut & ~DIRECTORY,
        contained=NOT_CONTAINED,
    )


def refold(state: State, process: Process, from_ns: int, *, is_judged_by: bool = True) -> None:
    """Carry forward what each version was told, and into the children born of a version that is another one now.

    ``from_ns``: since when the process is another one already. ``is_judged_by``: so is its name, or its entry leader.
    """
    # Whom to fold; since when it is another one already; whether all that it is may have to be another.
    left: list[tuple[Process, int | None, bool]] = [(process, from_ns, True)]
    looks: Counter[Key] = Counter()
    births: dict[Key, Births] = {}
    while left:
        process, since_ns, wholly = left.pop()
        known = versions(process)
        changed_ns, renamed = _fold(state, process, known, births, wholly)
        if since_ns is None or changed_ns is None:
            since_ns = changed_ns if since_ns is None else since_ns
        else:
            since_ns = min(since_ns, changed_ns)
        if since_ns is None:
            continue
        renamed = renamed or is_judged_by
        is_judged_by = False  # the first alone
        images = earlier_images(process)
        if len(images) >= len(process.previous) or not any(version.dropped for version in versions(process)):
            process.previous = images  # else it remembers some of which the versions were dropped
        if renamed and process.was_asked and looks[process.key] < LOOKS_MAX:
            looks[process.key] += 1
            left.extend((other, None, True) for other in asked(state, process, since_ns))
        if process.offspring is not None:
            births[process.key] = of_this = Births(process)
            _into_children(state, of_this, since_ns, renamed, left)


def _fold(
    state: State, process: Process, known: list[Version], births: dict[Key, Births], wholly: bool
) -> tuple[int | None, bool]:
    """Since when it is another one, and whether its name or its entry leader is.

    ``wholly``: else nothing but what it was born with, and what follows from that, and no more follows from a version
    that comes out as it was.
    """
    before = inherited(state, process, known[0], births)
    since_ns: int | None = None
    renamed = changed = False
    for place, version in enumerate(known):
        carried = version if before is None else _carried(before, version)
        if (version.told | gone(version.told)) & PARENT and (
            reaper_key := present(state, version.reaper_key, version.since_ns)
        ):
            carried = carried._replace(reaper_key=reaper_key)
        if process.kernel_thread:
            carried = _as_kernel_thread(process, carried)
        entry = entry_of(state, process, known[0], before, carried)
        if entry is not carried.entry:
            carried = carried._replace(entry=entry)
        if carried != version:
            renamed = renamed or carried.entry != version.entry or carried.image.name != version.image.name
            wholly = wholly or (renamed and carried.session.id == process.pid)
            known[place] = carried
            changed = True
            began_ns = version.since_ns if place else 0  # the first stands for all that was before it
            since_ns = began_ns if since_ns is None else min(since_ns, began_ns)
        elif not wholly:
            break
        before = carried
    if not (changed or wholly):
        return None, False
    own = [
        after
        for one, after in pairwise(known)
        if not after.told & BY_CHILD or after.dropped or not are_alike(one, after)
    ]
    if len(own) + 1 < len(known):  # its own record has come
        known, changed = [known[0], *own], True
    if changed:
        _put_back(state, process, known)
    return since_ns, renamed


def _into_children(
    state: State, births: Births, since_ns: int, renamed: bool, left: list[tuple[Process, int | None, bool]]
) -> None:
    """Which of its children have to be folded, since their parent is another one. What they refer to it as is put right
    here."""
    parent = births.parent
    for child in (parent.offspring or {}).values():
        if child.birth_ns < since_ns or not child.birth_told:
            # It was born before, or refers to its parent as that was when it was found. Its entry may have been judged
            # by it since.
            if renamed and child.latest_ns >= since_ns and births.may_judge(child, births.index_at(child.birth_ns)):
                left.append((child, None, True))
            continue
        index = births.index_at(child.birth_ns)
        held, unsure = births.held(index), births.unsure_at(index, child.birth_ns)
        unknown = births.unknown_to(index) if parent.has_hole else 0
        if child.birth_unsure:
            unknown |= unsure & ~IMAGE  # it was never known what it was born of
        doubted = doubt_birth(child, unknown) if unknown else False
        if held.exec_id == child.birth_exec_id:
            unsure &= ~IMAGE
        born_of = births.moment(index)
        if unsure and child.birth is not None:
            born_of = but_for(born_of, child.birth, unsure)
        known_as = child.birth
        if known_as is None or known_as[2:] != born_of[2:] or known_as.began_ns != born_of.began_ns:
            child.birth = born_of
            state.epoch += 1
        if child.birth_unsure and held.exec_id >= child.birth_exec_id and not unsure & IMAGE:
            child.birth_unsure = False
            state.epoch += 1
        if doubted:
            left.append((child, 0, True))
        elif (renamed or child.birth is not known_as) and births.may_judge(child, index):
            left.append((child, None, True))
        elif unsure or not births.has_what_it_was_given(child, index):
            left.append((child, None, False))


def _carried(before: Version, version: Version) -> Version:
    own = version.told
    if own & IMAGE and version.image_from_snapshot and before.exec_id >= version.exec_id and is_told(before.image):
        own &= ~IMAGE  # a walk saw what is known already
    values: dict[str, Any] = {"told": own}
    told = own | gone(own)
    for bit, names in PROPERTIES.items():
        if not told & bit:
            for name in names:
                values[name] = getattr(before, name)
    told_cgroup_id = 0
    if version.cgroup_told is not None:
        told_by = version.cgroup_told
        values["contained"] = told_container(before.contained, told_by)
        if told_by.hierarchy == 0 and told_by.cgroup_id:
            told_cgroup_id = told_by.cgroup_id
    if told & SESSION:
        values["session"] = version.session.filled_from(before.session)
    ids, groups = version.credentials, before.credentials.groups
    if not told & IDS:
        values["credentials"] = before.credentials
    elif not told & GROUPS and ids.groups != groups:
        ids = ids._replace(groups=groups)
        values["credentials"] = before.credentials if ids == before.credentials else ids  # kept once
    spaces = version.namespaces if told & SPACES and version.namespaces.mnt else before.namespaces
    more = version.namespaces if told & MORE_SPACES else before.namespaces
    values["namespaces"] = Namespaces(*spaces[:3], *more[3:]) if spaces[3:] != more[3:] else spaces
    is_of_task = told & PARENT and told & SPACES  # and of no thread beside the leader
    if told_cgroup_id or not (is_of_task or gone(own) & CONTAINER) or not version.cgroup_id:
        values["cgroup_id"] = told_cgroup_id or before.cgroup_id
    if not told & NAME or not told & (IDS | SPACES):  # no record of a thread
        values["tid"] = before.tid
    values["cut"] = (before.cut & ~told) | (version.cut & told)
    return version._replace(**values)


def _as_kernel_thread(process: Process, version: Version) -> Version:
    """It has no other name than its comm."""
    image, name = version.image, version.thread_name
    if image.name == name or not is_kernel_thread(process, image):
        return version
    return version._replace(image=image._replace(name=name))


def _put_back(state: State, process: Process, known: list[Version]) -> None:
    last = known.pop()
    state.processes.past_versions += len(known) - len(process.past or ())
    if last.reaper_key != process.reaper_key:
        state.handed_over.append(process)  # it has to be among that one's children
    for name, value in zip(Version._fields, last, strict=True):
        setattr(process, name, value)
    process.past = known or None
    amend(process)


def present(state: State, key: Key, time_ns: int | None = None) -> Key:
    """Whom a record means that names a parent: it may be older than that one's end, which was told already.

    ``time_ns``: when it was made; ends after that do not count.
    """
    for _ in range(HEIRS_MAX):
        process = state.processes.find(key)
        if process is None or process.heir is None:
            break
        if time_ns is not None and (process.end_ns is None or process.end_ns > time_ns):
            break
        key = process.heir
    return key


def told_container(before: Contained, event: Cgroup) -> Contained:
    container, told_by = before
    if not event.path.startswith("/"):
        return before
    if event.every_hierarchy:
        container, told_by = NOT_CONTAINED
    named, hierarchy = container_of(event.path), event.hierarchy
    if named is None:
        others = tuple(other for other in told_by if other != hierarchy)
        return Contained(container if others or hierarchy not in told_by else None, others)
    if container is None or container.id != named.id:
        return Contained(named, (hierarchy,))
    if hierarchy not in told_by and len(told_by) < HIERARCHIES_MAX:
        told_by = (*told_by, hierarchy)
    return Contained(named, told_by)
