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
from tests.tree import entrances

Key = tuple[int, int]
Image = tuple[str, str, tuple[str, ...]]
"""Name, executable, arguments."""
Lineage = tuple[tuple[Key, str], ...]
Binary = tuple[events.File, events.Script | None, tuple[str, ...], events.Loader | None]
"""And script, environment, loader."""

NOBODY: Key = (0, 0)
FOR_EVER = 1 << 63
IDS = ("uid", "gid", "suid", "sgid", "euid", "egid", "fsuid", "fsgid")
POWERS = ("securebits", "cap_inheritable", "cap_permitted", "cap_effective", "cap_bounding", "cap_ambient")
PREVIOUS_MAX = 16
TELLS_OF_A_PROCESS = ("birth", "exec", "end", "found")
"""Kinds of fact; all others are about one that is known, or wait until it is."""

_CONTAINER = re.compile(r"/docker/([0-9a-f]{64})")
_UNKNOWN: dict[str, Any] = {
    "images": (),  # and how many execs led to each
    "born_after": 0,  # so many execs of the parent: an image that fewer led to was never this process's own
    "named": "",  # where nobody told of an image
    "ids": (),
    "powers": (),
    "groups": (),
    "comm": "",
    "directory": "",
    "session": (),
    "spaces": (),
    "more_spaces": (0, 0, 0, 0),
    "container": ("", frozenset()),
    "cgroup_id": 0,
    "tid": 0,
    "binary": (events.NO_FILE, None, (), None),
    "sockets": 0,
    "parent": NOBODY,
}


class Fact(NamedTuple):
    time_ns: int
    place: int  # in the order in which it was told
    kind: str
    told: dict[str, Any]


THREADS_OWN = ("ids", "powers", "comm", "spaces")
"""Of the record of a task what is a thread's alone."""


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
    lineage: Lineage  # nearest first, each by the name it had when its child was born
    alive: bool
    end_ns: int | None
    status: int | None
    tid: int
    ns_pid: int
    pid_ns: int
    cgroup_id: int
    binary: Binary
    sockets: int
    kernel_thread: bool
    entry: tuple[Key, str] | None  # who let it in, and how


class Chronicle:
    """Times are the events' own. What is forgotten leaves to its children what was known of it then."""

    def __init__(self) -> None:
        self.facts: dict[Key, list[Fact]] = {}
        self.left: dict[Key, tuple[dict[str, Any], Lineage]] = {}  # by parents that are forgotten, to these children
        self.waiting: dict[Key, list[Fact]] = {}  # changes of whom nobody has told of yet
        self.gone: dict[Key, int] = {}  # when they had ended
        self.listening_ns = 0  # the snapshot's end: whom it found refers to parents as they were then
        self.place = 0

    def __iter__(self) -> Iterator[Key]:
        yield from self.facts

    # Telling.

    def tell(self, event: Any) -> None:
        self.place += 1
        match event:
            case events.Fork():
                birth = event.birth_pid, event.birth_start_ns
                told = {"birth": birth, "born_after": event.task.exec_id, "kernel": event.kernel_thread}
                self._add(event, "birth", event.task, **told)
                self._tell_parent(event, birth)
            case events.Exec():
                image = (event.filename.rpartition("/")[2], event.executable, event.args)
                where = _where(event) | {"binary": (event.file, event.script, event.environment, event.loader)}
                self._add(event, "exec", event.task, image=image, execs=event.task.exec_id, **where)
            case events.Exit():
                heir = (event.reaper_pid, event.reaper_start_ns)
                self._add(event, "end", event.task, status=event.status, heir=heir)
            case events.Running():
                image = (event.executable.rpartition("/")[2], event.executable, ())
                where = _where(event) | {"binary": (event.file, None, (), event.loader)}
                kernel = event.kernel_thread
                self._add(event, "found", event.task, image=image, execs=event.task.exec_id, kernel=kernel, **where)
            case events.CommandLine():
                self._arguments(event)
            case events.Rename() if event.tid == event.pid:
                self._add(event, "rename", comm=event.comm)
            case events.CredentialChange() if event.task.tid == event.task.pid:
                self._add(event, "credentials", event.task, groups=event.groups)
            case events.SessionChange() if event.task.tid == event.task.pid:
                self._add(event, "session", event.task)
            case events.SessionChange():  # the rest of the record is that thread's own
                self._add(event, "session", session=_task(event.task)["session"])
            case events.NamespaceChange() if event.task.tid == event.task.pid:
                self._add(event, "namespaces", event.task, more_spaces=_more_spaces(event))
            case events.NamespaceChange():
                thread, told = (event.task.tid, event.task.thread_start_ns), _task(event.task)
                own = {"comm": told["comm"], "spaces": told["spaces"], "more_spaces": _more_spaces(event)}
                self._add(event, "thread_namespaces", thread=thread, own=own)
            case events.DirectoryChange():
                self._add(event, "directory", directory=event.path)
            case events.Cgroup():
                told_id: dict[str, Any] = (
                    {"cgroup_id": event.cgroup_id} if event.hierarchy == 0 and event.cgroup_id else {}
                )
                self._add(event, "cgroup", cgroup=event, **told_id)
            case events.Rename():
                self._add(event, "thread_rename", thread=(event.tid, event.thread_start_ns), own={"comm": event.comm})
            case events.CredentialChange():
                told = {name: value for name, value in _task(event.task).items() if name in THREADS_OWN}
                thread = (event.task.tid, event.task.thread_start_ns)
                self._add(event, "thread_credentials", thread=thread, own=told | {"groups": event.groups})
            case events.ThreadStart():
                self._add(event, "thread", **_thread(event), maker=event.birth_tid)
            case events.ThreadRunning():
                self._add(event, "thread_found", **_thread(event))
            case events.ThreadEnd():
                self._add(event, "thread_end", **_thread(event))
            case events.SnapshotEnd():
                self.listening_ns = event.stamp.time_ns

    def _add(self, event: Any, kind: str, task: events.Task | None = None, **more: Any) -> None:
        about = task or getattr(event, "task", event)
        told = (_task(task) if task else {}) | more
        key = about.pid, about.start_ns
        if kind in TELLS_OF_A_PROCESS and key not in self.facts:
            self.facts[key] = self.waiting.pop(key, [])
        facts = self.facts if key in self.facts else self.waiting
        facts.setdefault(key, []).append(Fact(event.stamp.time_ns, self.place, kind, told))

    def _arguments(self, event: events.CommandLine) -> None:
        """A command line belongs to what the snapshot found."""
        facts = self.facts.get((event.pid, event.start_ns), [])
        for at, fact in enumerate(facts):
            if fact.kind == "found":
                name, executable, _ = fact.told["image"]
                facts[at] = fact._replace(told=fact.told | {"image": (name, executable, event.args)})

    def _tell_parent(self, event: events.Fork, birth: Key) -> None:
        """A child has session, terminal and users of its parent: should the record of their change be missing."""
        if birth in self.facts and event.birth_tid == event.birth_pid:
            told = {name: value for name, value in _task(event.task).items() if name in ("session", "ids")}
            self.facts[birth].append(Fact(event.stamp.time_ns, self.place, "child", told))

    def forget(self, key: Key) -> None:
        for child in self.facts:
            if child not in self.left and self.parent(child) == key:
                self.left[child] = self._told(key, self.born_ns(child)), self.lineage(key)
        end_ns = self.end(key)[0]
        assert end_ns is not None
        self.gone[key] = end_ns
        del self.facts[key]

    # Asking. ``time_ns`` None: now.

    def at(self, key: Key, time_ns: int | None = None, *, by_children: bool = True) -> Seen:
        """``by_children`` False: without what the births of its children have told of it."""
        end_ns, status = self.end(key)
        ended = end_ns is not None and (time_ns is None or time_ns >= end_ns)
        now_ns = min(FOR_EVER if time_ns is None else time_ns, FOR_EVER if end_ns is None else end_ns)
        values = self._told(key, now_ns, by_children=by_children)
        return Seen(
            _image(values),
            tuple(name for (name, _, _), execs in values["images"][-2::-1] if execs >= values["born_after"])[
                :PREVIOUS_MAX
            ],
            values["ids"],
            values["powers"],
            values["groups"],
            values["comm"],
            values["directory"],
            values["session"],
            values["spaces"] + values["more_spaces"],
            values["container"][0],
            self.parent(key),
            self._heir(values["parent"], now_ns),
            self.lineage(key),
            not ended,
            end_ns if ended else None,
            status if ended else None,
            values["tid"],
            values["ns_pid"],
            values["pid_ns"],
            values["cgroup_id"],
            values["binary"],
            values["sockets"],
            self.is_kernel_thread(key, now_ns),
            entrances.entry(self, key, now_ns),
        )

    def is_kernel_thread(self, key: Key, time_ns: int) -> bool:
        """Until it executes something."""
        facts = self.facts[key]
        if not any(fact.told.get("kernel") for fact in facts):
            return False
        return not any(fact.kind == "exec" and fact.time_ns <= time_ns for fact in facts)

    def image(self, key: Key, time_ns: int) -> Image:
        return _image(self._told(key, time_ns))

    def parents_then(self, key: Key) -> set[Key]:
        """All who ever would reap it, as records name them."""
        return {fact.told["parent"] for fact in self.facts[key] if "parent" in fact.told}

    def parent_then(self, key: Key, time_ns: int) -> Key:
        """Who would reap it, known or not."""
        return self._living(self._told(key, time_ns)["parent"], time_ns)

    def images(self, key: Key) -> list[tuple[str, int, int | None]]:
        """Name, since when, until when: also the one it was born with."""
        found = [(fact.told["image"][0], fact.time_ns) for fact in self.until(key, FOR_EVER) if "image" in fact.told]
        birth = self.birth(key)
        if birth is not None:
            found.insert(0, (_image(self._told(key, birth.time_ns))[0], birth.time_ns))
        untils = [*(since_ns for _, since_ns in found[1:]), self.end(key)[0]]
        return [(name, since_ns, until_ns) for (name, since_ns), until_ns in zip(found, untils, strict=True)]

    def leader_gone(self, key: Key, time_ns: int) -> int | None:
        """When it ended, if others went on without it then. Whoever calls exec is the leader."""
        gone_ns = None
        for fact in self.until(key, time_ns):
            if fact.kind == "thread_end" and fact.told["thread"] == key:
                gone_ns = fact.time_ns
            elif fact.kind == "exec":
                gone_ns = None
        return gone_ns

    def parent(self, key: Key) -> Key | None:
        birth = self.birth(key)
        named: Key = self._first(key).told["parent"] if birth is None else birth.told["birth"]
        return named if named in self.facts or key in self.left else None

    def lineage(self, key: Key) -> Lineage:
        parent = self.parent(key)
        if parent is None:
            return ()
        values, above = self.left[key] if key in self.left else (self._told(parent, self.born_ns(key)), None)
        return ((parent, _image(values)[0]), *(self.lineage(parent) if above is None else above))

    def children(self, key: Key, time_ns: int) -> list[Key]:
        """Born by then."""
        found = [child for child in self.facts if child[1] <= time_ns and self.parent(child) == key]
        return sorted(found, key=lambda child: child[1])

    def alive(self, time_ns: int) -> list[Key]:
        found = [key for key in self.facts if key[1] <= time_ns and self.lives(key, time_ns)]
        return sorted(found, key=lambda key: key[1])

    def lives(self, key: Key, time_ns: int = FOR_EVER) -> bool:
        end_ns = self.end(key)[0]
        return end_ns is None or end_ns > time_ns

    def end(self, key: Key) -> tuple[int | None, int | None]:
        """When, and with which status; who has lost its pid has ended, and nobody said with which."""
        told = next((fact for fact in self.facts[key] if fact.kind == "end"), None)
        if told is not None:
            return told.time_ns, told.told["status"]
        others = [other[1] for other in self.facts.keys() | self.gone.keys() if other[0] == key[0] and other > key]
        return min(others, default=None), None

    def known_since(self, key: Key) -> int:
        """Changes that are older than the first record of all of it say nothing of the rest."""
        return min(fact.time_ns for fact in self.facts[key] if fact.kind in TELLS_OF_A_PROCESS)

    # Scanning.

    def until(self, key: Key, time_ns: int) -> list[Fact]:
        """What was told of it, by time."""
        return sorted(fact for fact in self.facts.get(key, ()) if fact.time_ns <= time_ns)

    def _told(self, key: Key, time_ns: int, *, by_children: bool = True) -> dict[str, Any]:
        """Of each property what was told last."""
        values = dict(_UNKNOWN)
        parent = self.parent(key)
        if self.birth(key) is not None and parent is not None:
            values |= self.left[key][0] if key in self.left else self._told(parent, self.born_ns(key))
            values["images"] = values["images"][-1:]
            if self.is_kernel_thread(key, self.born_ns(key)):
                values |= {"images": (), "binary": _UNKNOWN["binary"]}
            values["more_spaces"] = (*values["more_spaces"][:3], 0)  # that for the parent's children is its own
        else:
            values["named"] = self._first(key).told["comm"]
        for fact in self.until(key, time_ns):
            told = fact.told if by_children or fact.kind != "child" else {}
            before = dict(values)
            if "image" in told:
                values["images"] = (*values["images"], (told["image"], told["execs"]))
            elif not values["images"] and "comm" in told and self.is_kernel_thread(key, fact.time_ns):
                values["named"] = told["comm"]
            if "cgroup" in told:
                named, told_by = values["container"]
                values["container"] = _contained(named, told_by, told["cgroup"])
            if "thread" not in told:
                values |= told
            elif fact.kind in ("thread_credentials", "thread_namespaces") and self.leader_gone(key, fact.time_ns):
                values |= told["own"] | {"tid": told["thread"][0]}  # else it is that thread's own
            if "session" in told:
                values["session"] = _with_starts(told["session"], before["session"])
        return values

    def _first(self, key: Key) -> Fact:
        return min((f for f in self.facts[key] if f.kind in TELLS_OF_A_PROCESS), key=lambda fact: fact.place)

    def _heir(self, named: Key, time_ns: int) -> Key | None:
        named = self._living(named, time_ns)
        return named if named in self.facts or named in self.gone else None

    def _living(self, named: Key, time_ns: int) -> Key:
        while named in self.facts:
            end = next((fact for fact in self.facts[named] if fact.kind == "end"), None)
            if end is None or end.time_ns > time_ns or end.told["heir"] == NOBODY:
                break
            named = end.told["heir"]
        return named

    def birth(self, key: Key) -> Fact | None:
        return next((fact for fact in self.facts.get(key, ()) if fact.kind == "birth"), None)

    def born_ns(self, key: Key) -> int:
        """Whose birth nobody told of refers to its parent as that was when it was first told of."""
        birth = self.birth(key)
        if birth is not None:
            return birth.time_ns
        first = self._first(key)
        return self.listening_ns if first.kind == "found" else first.time_ns


def _with_starts(now: tuple[int, ...], before: tuple[int, ...]) -> tuple[int, ...]:
    """A record does not tell the start of a leader that is gone; it is still the same session or group."""
    tty, session, session_start_ns, group, group_start_ns = now
    if before and before[1] == session:
        session_start_ns = session_start_ns or before[2]
    if before and before[3] == group:
        group_start_ns = group_start_ns or before[4]
    return tty, session, session_start_ns, group, group_start_ns


def _image(values: dict[str, Any]) -> Image:
    image: Image = values["images"][-1][0] if values["images"] else (values["named"], "", ())
    return image


def _contained(named: str, told_by: frozenset[int], event: events.Cgroup) -> tuple[str, frozenset[int]]:
    """In one for as long as the path in some hierarchy says so; the last that names one is right."""
    if event.every_hierarchy:
        named, told_by = "", frozenset()
    found = _CONTAINER.search(event.path)
    if found is None:
        told_by -= {event.hierarchy}
        return (named if told_by else ""), told_by
    return found[1], (told_by if found[1] == named else frozenset()) | {event.hierarchy}


def _thread(event: events.ThreadStart | events.ThreadRunning | events.ThreadEnd) -> dict[str, Any]:
    return {"thread": (event.tid, event.thread_start_ns), "own": {"comm": event.comm}}


def _more_spaces(event: events.NamespaceChange) -> tuple[int, ...]:
    children = event.children_pid_ns if event.children_pid_ns != event.task.pid_ns else 0
    return event.uts_ns, event.ipc_ns, event.time_ns_inode, children


def _where(event: events.Exec | events.Running) -> dict[str, Any]:
    return {"directory": event.working_directory, "groups": event.groups, "sockets": event.sockets}


def _task(task: events.Task) -> dict[str, Any]:
    """What every record of a task tells."""
    who, session = task.credentials, task.session
    return {
        "ids": tuple(getattr(who, name) for name in IDS),
        "powers": tuple(getattr(who, name) for name in POWERS),
        "comm": task.comm,
        "session": (session.tty, session.id, session.start_ns, session.group_id, session.group_start_ns),
        "spaces": (task.namespaces.mnt, task.namespaces.net, task.namespaces.cgroup),
        "tid": task.tid,
        "ns_pid": task.ns_pid,
        "pid_ns": task.pid_ns,
        "cgroup_id": task.cgroup_id,
        "parent": (task.parent_pid, task.parent_start_ns),
    }
