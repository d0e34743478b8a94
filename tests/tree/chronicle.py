"""A naive oracle of histories: it keeps every event for ever and answers by scanning. It shares no code with the tree.

The rule it scans by: of each property by itself, what holds is what the last record until then has told of it; before
any, what the parent had at the birth; without a birth, nobody knows. The parent now is the one that the last record
named or, if that has ended by then, whoever adopted its children.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from pipeline import events

Key = tuple[int, int]
Image = tuple[str, str, tuple[str, ...]]
"""Name, executable, arguments."""

NOBODY: Key = (0, 0)
IDS = ("uid", "gid", "suid", "sgid", "euid", "egid", "fsuid", "fsgid")
POWERS = ("securebits", "cap_inheritable", "cap_permitted", "cap_effective", "cap_bounding", "cap_ambient")
PREVIOUS_MAX = 16


class Fact(NamedTuple):
    time_ns: int
    place: int  # in the order in which it was told
    kind: str
    told: dict[str, Any]


class Seen(NamedTuple):
    """A process at one moment."""

    image: Image
    previous: tuple[str, ...]  # names of earlier images, newest first
    ids: tuple[int, ...]
    powers: tuple[int, ...]
    groups: tuple[int, ...]
    comm: str
    directory: str
    session: tuple[int, ...]  # terminal, session, group
    spaces: tuple[int, ...]
    container: str
    parent: Key | None  # who gave birth to it
    parent_now: Key | None
    lineage: tuple[tuple[Key, str], ...]  # nearest first, each by the name it had when its child was born
    alive: bool
    end_ns: int | None
    status: int | None


class Chronicle:
    """Times are the events' own; what is told twice holds as it was told last."""

    def __init__(self) -> None:
        self.facts: dict[Key, list[Fact]] = {}
        self.listening_ns = 0  # the snapshot's end: whom it found refers to parents as they were then
        self.place = 0

    # Telling.

    def tell(self, event: Any) -> None:
        self.place += 1
        match event:
            case events.Fork():
                birth = event.birth_pid, event.birth_start_ns
                self._add(event, "birth", _task(event.task), birth=birth, exec_id=event.task.exec_id)
            case events.Exec():
                image = (event.filename.rpartition("/")[2], event.executable, event.args)
                more = {"image": image, "directory": event.working_directory, "groups": event.groups}
                self._add(event, "exec", _task(event.task), **more, exec_id=event.task.exec_id)
            case events.Exit():
                heir = (event.reaper_pid, event.reaper_start_ns)
                self._add(event, "end", _task(event.task), status=event.status, heir=heir)
            case events.Running():
                image = (event.executable.rpartition("/")[2], event.executable, ())
                more = {"image": image, "directory": event.working_directory, "groups": event.groups}
                self._add(event, "found", _task(event.task), **more, exec_id=event.task.exec_id)
            case events.CommandLine():
                self._arguments(event)
            case events.Rename():
                if event.tid == event.pid:
                    self._add(event, "rename", {}, comm=event.comm)
            case events.CredentialChange():
                if event.task.tid == event.task.pid:
                    self._add(event, "credentials", _task(event.task), groups=event.groups)
            case events.SessionChange():
                task = _task(event.task)
                whole = event.task.tid == event.task.pid
                self._add(event, "session", task if whole else {"session": task["session"]})
            case events.NamespaceChange():
                if event.task.tid == event.task.pid:
                    children = event.children_pid_ns if event.children_pid_ns != event.task.pid_ns else 0
                    more_spaces = (event.uts_ns, event.ipc_ns, event.time_ns_inode, children)
                    self._add(event, "namespaces", _task(event.task), more_spaces=more_spaces)
            case events.DirectoryChange():
                self._add(event, "directory", {}, directory=event.path)
            case events.Cgroup():
                self._add(event, "cgroup", {}, cgroup=event)
            case events.ThreadStart() | events.ThreadRunning():
                self._add(event, "thread", {}, thread=(event.tid, event.thread_start_ns))
            case events.ThreadEnd():
                self._add(event, "thread_end", {}, thread=(event.tid, event.thread_start_ns))
            case events.SnapshotEnd():
                self.listening_ns = event.stamp.time_ns

    def _add(self, event: Any, kind: str, told: dict[str, Any], **more: Any) -> None:
        about = getattr(event, "task", event)
        fact = Fact(event.stamp.time_ns, self.place, kind, told | more)
        self.facts.setdefault((about.pid, about.start_ns), []).append(fact)

    def _arguments(self, event: events.CommandLine) -> None:
        """A command line belongs to what the snapshot found."""
        facts = self.facts.get((event.pid, event.start_ns), [])
        for at, fact in enumerate(facts):
            if fact.kind == "found":
                name, executable, _ = fact.told["image"]
                facts[at] = fact._replace(told=fact.told | {"image": (name, executable, event.args)})

    # Asking. ``time_ns`` None: now.

    def __iter__(self) -> Iterator[Key]:
        yield from self.facts

    def at(self, key: Key, time_ns: int | None = None) -> Seen:
        end = self._end(key)
        ended = end is not None and (time_ns is None or time_ns >= end.time_ns)
        now_ns = time_ns if time_ns is not None else end.time_ns if end is not None else _FOR_EVER
        return Seen(
            self.image(key, now_ns),
            self.previous(key, now_ns),
            self._last(key, "ids", now_ns, ()),
            self._last(key, "powers", now_ns, ()),
            self._last(key, "groups", now_ns, ()),
            self._last(key, "comm", now_ns, ""),
            self._last(key, "directory", now_ns, ""),
            self._last(key, "session", now_ns, ()),
            self._last(key, "spaces", now_ns, ()) + self._more_spaces(key, now_ns),
            self.container(key, now_ns),
            self.parent(key),
            self.parent_now(key, now_ns),
            self.lineage(key),
            not ended,
            end.time_ns if end is not None and ended else None,
            end.told["status"] if end is not None and ended else None,
        )

    def image(self, key: Key, time_ns: int) -> Image:
        comm = min(self.facts[key], key=lambda fact: fact.place).told.get("comm", "")
        return self._last(key, "image", time_ns, (comm, "", ()))  # type: ignore[no-any-return]

    def previous(self, key: Key, time_ns: int) -> tuple[str, ...]:
        own = [fact for fact in self._until(key, time_ns) if "image" in fact.told]
        names = [fact.told["image"][0] for fact in own]
        birth = self._birth(key)
        if birth is not None and birth.told["birth"] in self.facts:
            names.insert(0, self.image(birth.told["birth"], birth.time_ns)[0])
        return tuple(names[-2::-1][:PREVIOUS_MAX])

    def images(self, key: Key) -> list[tuple[str, int, int | None]]:
        """Name, since when, until when: also the one it was born with."""
        found = [(fact.told["image"][0], fact.time_ns) for fact in self._until(key, _FOR_EVER) if "image" in fact.told]
        birth = self._birth(key)
        if birth is not None:
            found.insert(0, (self.image(key, birth.time_ns)[0], birth.time_ns))
        end = self._end(key)
        untils = [*(since for _, since in found[1:]), None if end is None else end.time_ns]
        return [(name, since, until) for (name, since), until in zip(found, untils, strict=True)]

    def container(self, key: Key, time_ns: int) -> str:
        """It is in one for as long as the path in one hierarchy says so; the last that names one is right."""
        return self._containers(key, time_ns)[0]

    def _containers(self, key: Key, time_ns: int) -> tuple[str, set[int]]:
        birth = self._birth(key)
        named, told_by = "", set[int]()
        if birth is not None and birth.told["birth"] in self.facts:
            named, told_by = self._containers(birth.told["birth"], birth.time_ns)
        for event in [fact.told["cgroup"] for fact in self._until(key, time_ns) if "cgroup" in fact.told]:
            if event.every_hierarchy:
                named, told_by = "", set()
            found = _CONTAINER.search(event.path)
            if found is None:
                told_by = told_by - {event.hierarchy}
            else:
                told_by = told_by | {event.hierarchy} if found[1] == named else {event.hierarchy}
                named = found[1]
            named = named if told_by else ""
        return named, told_by

    def threads(self, key: Key) -> set[Key]:
        """Beside the leader, now."""
        facts = self.facts[key]
        if self._end(key) is not None:
            return set()
        last_exec_ns = max((fact.time_ns for fact in facts if fact.kind == "exec"), default=0)
        begun = {fact.told["thread"] for fact in facts if fact.kind == "thread" and fact.time_ns > last_exec_ns}
        return begun - {fact.told["thread"] for fact in facts if fact.kind == "thread_end"}

    def parent(self, key: Key) -> Key | None:
        birth = self._birth(key)
        named: Key
        if birth is not None:
            named = birth.told["birth"]
        else:
            named = min(self.facts[key], key=lambda fact: fact.place).told.get("parent", NOBODY)
        return named if named in self.facts else None

    def parent_now(self, key: Key, time_ns: int) -> Key | None:
        named: Key = self._last(key, "parent", time_ns, NOBODY)
        while named in self.facts:
            end = self._end(named)
            if end is None or end.time_ns > time_ns or end.told["heir"] == NOBODY:
                return named
            named = end.told["heir"]
        return None

    def lineage(self, key: Key) -> tuple[tuple[Key, str], ...]:
        found = []
        while (parent := self.parent(key)) is not None:
            birth = self._birth(key)
            born_ns = self.listening_ns if birth is None else birth.time_ns
            found.append((parent, self.image(parent, born_ns)[0]))
            key = parent
        return tuple(found)

    def children(self, key: Key, time_ns: int) -> list[Key]:
        """Born by then."""
        return sorted((k for k in self.facts if self.parent(k) == key and k[1] <= time_ns), key=lambda k: k[1])

    def alive(self, time_ns: int) -> list[Key]:
        found = [key for key in self.facts if key[1] <= time_ns and self._lives(key, time_ns)]
        return sorted(found, key=lambda key: key[1])

    def known_since(self, key: Key) -> int:
        return min(fact.time_ns for fact in self.facts[key])

    def moments(self) -> list[int]:
        return sorted({fact.time_ns for facts in self.facts.values() for fact in facts})

    # Scanning.

    def _until(self, key: Key, time_ns: int) -> list[Fact]:
        return sorted(fact for fact in self.facts.get(key, ()) if fact.time_ns <= time_ns)

    def _last(self, key: Key, name: str, time_ns: int, unknown: Any) -> Any:
        for fact in reversed(self._until(key, time_ns)):
            if name in fact.told:
                return fact.told[name]
        birth = self._birth(key)
        if birth is None or birth.told["birth"] not in self.facts:
            return unknown
        return self._last(birth.told["birth"], name, birth.time_ns, unknown)

    def _more_spaces(self, key: Key, time_ns: int) -> tuple[int, ...]:
        """Those that no record of a task tells. The namespace for the children of a process is not theirs."""
        own = [fact for fact in self._until(key, time_ns) if "more_spaces" in fact.told]
        birth = self._birth(key)
        if own or birth is None or birth.told["birth"] not in self.facts:
            return own[-1].told["more_spaces"] if own else (0, 0, 0, 0)
        return (*self._more_spaces(birth.told["birth"], birth.time_ns)[:3], 0)

    def _birth(self, key: Key) -> Fact | None:
        return next((fact for fact in self.facts.get(key, ()) if fact.kind == "birth"), None)

    def _end(self, key: Key) -> Fact | None:
        return next((fact for fact in self.facts.get(key, ()) if fact.kind == "end"), None)

    def _lives(self, key: Key, time_ns: int) -> bool:
        end = self._end(key)
        return end is None or end.time_ns > time_ns


_FOR_EVER = 1 << 63
_CONTAINER = re.compile(r"/docker/([0-9a-f]{64})")


def _task(task: events.Task) -> dict[str, Any]:
    """What every record of a task tells."""
    return {
        "ids": tuple(getattr(task, name) for name in IDS),
        "powers": tuple(getattr(task, name) for name in POWERS),
        "comm": task.comm,
        "session": (task.tty, task.session_id, task.session_start_ns, task.group_id, task.group_start_ns),
        "spaces": (task.mnt_ns, task.net_ns, task.cgroup_ns),
        "parent": (task.parent_pid, task.parent_start_ns),
    }
