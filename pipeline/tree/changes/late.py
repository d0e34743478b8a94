"""Facts that are older than what is known of their process already. Called by ``transitions`` alone.

They go among its versions, where their time says, and change of the present what nothing later has told. Births come
late in a way of their own: see ``steps.told_birth``.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import intern
from typing import Any

from pipeline.events import (
    Cgroup,
    CredentialChange,
    DirectoryChange,
    Exec,
    NamespaceChange,
    Rename,
    SessionChange,
)
from pipeline.tree.changes.births import PROPERTIES
from pipeline.tree.changes.edges import correct_births
from pipeline.tree.changes.facts import cut_beside_image, image_of, learn_namespace, task_values
from pipeline.tree.changes.folding import insert
from pipeline.tree.changes.properties import (
    namespaces_of,
    new_credentials_of_thread,
    new_namespaces_of_thread,
    renamed_thread,
)
from pipeline.tree.changes.texts import keep_directory, keep_image
from pipeline.tree.changes.thread_groups import end_threads, tell_again
from pipeline.tree.known.group_leader import remember_takeovers
from pipeline.tree.known.history import CONTAINER, DIRECTORY, GROUPS, IMAGE, MORE_SPACES, NAME, SESSION, TASK
from pipeline.tree.known.state import Key, Process, State


def executed(state: State, event: Exec, key: Key, process: Process) -> Process:
    task = event.task
    where, is_cut = keep_directory(state, process, event.working_directory, is_cut="working_directory" in event.cut)
    values = task_values(task, event.groups) | {
        "image": keep_image(state, process, image_of(event)),
        "exec_id": task.exec_id,
        "image_from_snapshot": False,
        "sockets": event.sockets,
        "working_directory": where,
        "cut": cut_beside_image(event.cut) | (DIRECTORY if is_cut else 0),
    }
    _insert(state, process, event, TASK | GROUPS | IMAGE | DIRECTORY, values)
    if key in state.unsure_births:
        correct_births(state, process)
    if process.leader_ends:
        remember_takeovers(process, event.stamp.time_ns)
    end_threads(state, process)
    tell_again(state, process, event.stamp.time_ns)
    return process


def renamed(state: State, event: Rename, _: Key, process: Process) -> Process | None:
    if event.tid != process.pid:
        return renamed_thread(state, event, process)
    return _insert(state, process, event, NAME, {"thread_name": intern(event.comm)})


def new_credentials(state: State, event: CredentialChange, _: Key, process: Process) -> Process | None:
    if event.task.tid != process.pid:
        return new_credentials_of_thread(state, event, process)
    process.groups_differ = process.groups_differ or process.threads is not None
    values = task_values(event.task, event.groups) | {"cut": GROUPS if event.cut else 0}
    return _insert(state, process, event, TASK | GROUPS, values)


def new_session(state: State, event: SessionChange, _: Key, process: Process) -> Process:
    values = task_values(event.task, ())
    if event.task.tid == process.pid:
        return _insert(state, process, event, TASK, values)
    return _insert(state, process, event, SESSION, {name: values[name] for name in PROPERTIES[SESSION]})


def new_namespaces(state: State, event: NamespaceChange, _: Key, process: Process) -> Process | None:
    if event.task.tid != process.pid:
        return new_namespaces_of_thread(state, event, process)
    values = task_values(event.task, ())
    values["namespaces"] = namespaces_of(event)
    return _insert(state, process, event, TASK | MORE_SPACES, values)


def new_directory(state: State, event: DirectoryChange, _: Key, process: Process) -> Process:
    where, is_cut = keep_directory(state, process, event.path, is_cut=event.cut)
    values = {"working_directory": where, "cut": DIRECTORY if is_cut else 0}
    return _insert(state, process, event, DIRECTORY, values)


def new_cgroup(state: State, event: Cgroup, _: Key, process: Process) -> Process:
    return _insert(state, process, event, CONTAINER, {"cgroup_told": event})


LATE: dict[type, Callable[[State, Any, Key, Any], Process | None]] = {
    Exec: executed,
    Rename: renamed,
    CredentialChange: new_credentials,
    SessionChange: new_session,
    NamespaceChange: new_namespaces,
    DirectoryChange: new_directory,
    Cgroup: new_cgroup,
}


def _insert(state: State, process: Process, event: Any, told: int, values: dict[str, Any]) -> Process:
    insert(state, process, event.stamp.time_ns, told, values)
    state.told_late = True
    if told & SESSION:  # by a record of a task
        process.counted = max(process.counted, event.task.exec_id)
    if told & TASK == TASK:
        learn_namespace(process, event.task.ns_pid, event.task.pid_ns)
        state.handed_over.append(process)
    return process
