"""What a living process changes about itself. Called from the table in ``transitions`` alone.

Users, groups, capabilities and names are a thread's own in the kernel, and so may namespaces be; a process has those
of its leader, or what the others say of their rights and namespaces once that has ended. Session and group are of the
whole process, whoever asks.
"""

from __future__ import annotations

from sys import intern
from typing import Any

from pipeline.events import (
    Cgroup,
    CredentialChange,
    DirectoryChange,
    NamespaceChange,
    Namespaces,
    Rename,
    SessionChange,
)
from pipeline.tree.changes import thread_groups
from pipeline.tree.changes.entries import judge_entry
from pipeline.tree.changes.facts import credentials, is_counted_by_thread, refresh, take_session
from pipeline.tree.changes.folding import told_container
from pipeline.tree.changes.texts import keep_directory
from pipeline.tree.known.history import (
    CONTAINER,
    DIRECTORY,
    GROUPS,
    HOW,
    IDS,
    MORE_SPACES,
    NAME,
    SESSION,
    SPACES,
    TASK,
    change,
    is_kernel_thread,
)
from pipeline.tree.known.state import NOT_CONTAINED, Key, Process, State
from pipeline.tree.known.threads import ThreadChange

_CREDENTIALS = TASK | GROUPS  # kept once


def renamed(state: State, event: Rename, _: Key, process: Process) -> Process | None:
    comm = intern(event.comm)
    if event.tid != process.pid:
        return renamed_thread(state, event, process)
    change(state, process, event.stamp.time_ns, NAME)
    process.thread_name = comm
    if is_kernel_thread(process, process.image):
        process.image = process.image._replace(name=comm)
    return process


def renamed_thread(state: State, event: Rename, process: Process) -> Process | None:
    name = ThreadChange(event.stamp.time_ns, NAME, intern(event.comm))
    known = thread_groups.changed(state, process, (event.tid, event.thread_start_ns), event.ns_tid, name)
    return process if known else None


def new_credentials(state: State, event: CredentialChange, _: Key, process: Process) -> Process | None:
    task = event.task
    if task.tid != process.pid:
        return new_credentials_of_thread(state, event, process)
    if process.threads is not None and event.groups != process.credentials.groups:
        process.groups_differ = True
    change(state, process, event.stamp.time_ns, _CREDENTIALS)
    if refresh(state, process, task, event.groups, event.stamp.time_ns):
        judge_entry(state, process)
    _say_whether_cut(process, GROUPS, event.cut)
    return process


def new_credentials_of_thread(state: State, event: CredentialChange, process: Process) -> Process | None:
    """Its process's as well, where the leader had ended by then."""
    task, time_ns = event.task, event.stamp.time_ns
    told, spaces = NAME | IDS | GROUPS | SPACES, task.namespaces
    is_counted_by_thread(state, process, task, time_ns)
    rights = credentials(task, event.groups)
    who = ThreadChange(time_ns, told, intern(task.comm), rights, event.cut, namespaces=spaces)
    known = thread_groups.changed(state, process, (task.tid, task.thread_start_ns), task.ns_tid, who)
    return process if known else None


def new_session(state: State, event: SessionChange, _: Key, process: Process) -> Process:
    task, time_ns = event.task, event.stamp.time_ns
    is_leader = task.tid == process.pid
    change(state, process, time_ns, TASK if is_leader else SESSION)
    if is_leader:
        leads = refresh(state, process, task, process.credentials.groups, time_ns)
    else:  # the rest of the record is that thread's own
        is_counted_by_thread(state, process, task, time_ns)
        leads = take_session(process, task)
    if leads:
        judge_entry(state, process)
    return process


def new_namespaces(state: State, event: NamespaceChange, _: Key, process: Process) -> Process | None:
    task = event.task
    if task.tid != process.pid:
        return new_namespaces_of_thread(state, event, process)
    change(state, process, event.stamp.time_ns, TASK | MORE_SPACES)
    if refresh(state, process, task, process.credentials.groups, event.stamp.time_ns):
        judge_entry(state, process)
    process.namespaces = namespaces_of(event)
    return process


def new_namespaces_of_thread(state: State, event: NamespaceChange, process: Process) -> Process | None:
    """A thread that goes its own way, as runtimes for containers do; its process's as well, where the leader had ended
    by then."""
    task, time_ns = event.task, event.stamp.time_ns
    is_counted_by_thread(state, process, task, time_ns)
    told = ThreadChange(time_ns, NAME | SPACES | MORE_SPACES, intern(task.comm), namespaces=namespaces_of(event))
    known = thread_groups.changed(state, process, (task.tid, task.thread_start_ns), task.ns_tid, told)
    return process if known else None


def namespaces_of(event: NamespaceChange) -> Namespaces:
    """A thread's, after the change."""
    task = event.task
    children_pid = 0 if event.children_pid_ns == task.pid_ns else event.children_pid_ns
    mnt, net, cgroup = task.namespaces[:3]
    return Namespaces(mnt, net, cgroup, event.uts_ns, event.ipc_ns, event.time_ns_inode, children_pid)


def new_directory(state: State, event: DirectoryChange, _: Key, process: Process) -> Process:
    change(state, process, event.stamp.time_ns, DIRECTORY)
    process.working_directory, is_cut = keep_directory(state, process, event.path, is_cut=event.cut)
    _say_whether_cut(process, DIRECTORY, is_cut)
    return process


def _say_whether_cut(process: Process, what: int, is_cut: bool) -> None:
    process.cut = process.cut | what if is_cut else process.cut & ~what


def new_cgroup(state: State, event: Cgroup, _: Key, process: Process) -> Process:
    """With several hierarchies each tells: a process is in a container for as long as one of them says so.

    Where two name different ones, the last that told is right, and takes the place of all before.

    A path too deep for a record lacks its beginning, where the outermost container stands: it says nothing of one.
    Whoever may make cgroups inside a container would leave it that way, or be in one that he made up.
    """
    if event.every_hierarchy and process.contained == NOT_CONTAINED:
        return process  # a walk finds it where it was
    if not state.snapshot_done and process.told & HOW and process.since_ns >= state.snapshot_begin_ns:
        process.told |= CONTAINER  # the walk tells it beside what it found
    else:
        change(state, process, event.stamp.time_ns, CONTAINER)
        process.cgroup_told = event
    process.contained = told_container(process.contained, event)
    if event.hierarchy == 0 and event.cgroup_id:
        process.cgroup_id = event.cgroup_id
    return process


def after_end(state: State, event: Any, key: Key, process: Any) -> None:
    """Later than its end, so it cannot be: what was before has gone to ``late``."""
    state.bad("change_after_exit")
