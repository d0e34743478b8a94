"""A naive oracle beside the tree: it keeps every event for ever, in a list for each process, and answers by scanning.

It shows what the tree's structure buys, and shares no code with it. Straightforward, not slow on purpose: what it lacks
is a bound, facts that come late, loss, threads, containers, and entry leaders.
"""

from __future__ import annotations

import os.path
from typing import NamedTuple

from pipeline import events
from pipeline.events import Exec, Fork, ProcessEvent

Key = tuple[int, int]
"""(pid, start in ns)"""

OF_A_TASK = (Fork, Exec, events.Exit, events.Running, events.CredentialChange, events.SessionChange)


class Was(NamedTuple):
    """A process at one moment."""

    key: Key
    name: str
    args: tuple[str, ...]
    uid: int
    birth: Key  # its parent
    birth_ns: int  # when that bore it, or when it was found below that one
    group: Key
    session: Key


class Naive:
    def __init__(self) -> None:
        self.events: dict[Key, list[ProcessEvent]] = {}

    def add(self, event: ProcessEvent) -> Key | None:
        """Whom it is about; None: nobody."""
        if isinstance(event, OF_A_TASK):
            key = (event.task.pid, event.task.start_ns)
        elif isinstance(event, (events.Rename, events.CommandLine)):
            key = (event.pid, event.start_ns)
        else:
            return None
        self.events.setdefault(key, []).append(event)
        return key

    def process(self, key: Key, time_ns: int) -> Was | None:
        """As it was then; None where nobody had told of it by then."""
        was: Was | None = None
        for event in self.events.get(key, ()):
            if event.stamp.time_ns > time_ns:
                break
            if isinstance(event, OF_A_TASK):
                task = event.task
                _, session_id, group_id, session_start_ns, group_start_ns = task.session
                group, session = (group_id, group_start_ns), (session_id, session_start_ns)
                if was is None:
                    birth = (task.parent_pid, task.parent_start_ns)
                    was = Was(key, task.comm, (), task.credentials.uid, birth, event.stamp.time_ns, group, session)
                was = was._replace(uid=task.credentials.uid, group=group, session=session)
            if was is None:
                continue
            if isinstance(event, Fork):
                was = was._replace(birth=(event.birth_pid, event.birth_start_ns))
                parent = self.process(was.birth, was.birth_ns)
                if parent is not None:
                    was = was._replace(name=parent.name, args=parent.args)
            elif isinstance(event, Exec):
                was = was._replace(name=os.path.basename(event.filename), args=event.args)
            elif isinstance(event, events.Running) and event.executable:
                was = was._replace(name=os.path.basename(event.executable))
            elif isinstance(event, events.CommandLine):
                was = was._replace(args=event.args)
        return was

    def lineage(self, key: Key, time_ns: int, depth: int) -> list[Was]:
        """The process then and its ancestors, nearest first, each as it was when its child was born."""
        chain: list[Was] = []
        while len(chain) <= depth and (was := self.process(key, time_ns)) is not None:
            chain.append(was)
            key, time_ns = was.birth, was.birth_ns
        return chain
