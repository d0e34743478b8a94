"""What a record says of one process, put into its ``Process``. Who gave birth to it is told by ``edges``."""

from __future__ import annotations

from sys import intern
from typing import Any

from pipeline.events import Credentials, Exec, Task
from pipeline.process import Image, entity_id
from pipeline.tree.changes.names import name_at_exec
from pipeline.tree.changes.reapers import adopt
from pipeline.tree.known.history import DIRECTORY, GROUPS, PREVIOUS_MAX, is_kernel_thread, is_told
from pipeline.tree.known.state import Key, Process, State
from pipeline.tree.known.texts import count, weight

_new = tuple.__new__  # see ``process_version``


def new_process(
    state: State,
    key: Key,
    phase: int,
    task: Task,
    credentials: Credentials,
    image: Image,
    working_directory: str,
    time_ns: int,
    told: int,
) -> Process:
    boot = state.boot
    assert boot is not None  # nothing comes this far before HostFacts
    identity = entity_id(boot.id, boot.pid_ns, key[0], key[1])
    process = Process(key, identity, phase, task, credentials, image, working_directory, time_ns, told)
    process.sure_of = state.sure_at(time_ns)
    return process


def image_by_comm(comm: str) -> Image:
    """All that is known of an image nobody told of."""
    return Image(intern(comm), "", ())


def image_of(event: Exec) -> Image:
    """What an exec makes of a process."""
    script, executable = event.script, event.executable
    name = name_at_exec(event.filename, script.path if script else executable, event.args, event.task.comm)
    cut = event.cut and cut_of_image(event.cut)
    words = (intern(name), intern(executable), event.args, cut, event.file, script, event.environment, event.loader)
    return tuple.__new__(Image, words)


_CUT_BITS = {"working_directory": DIRECTORY, "groups": GROUPS}


def cut_of_image(cut: tuple[str, ...]) -> tuple[str, ...]:
    """Of what a record says was cut, what is the image's."""
    return tuple(name for name in cut if name not in _CUT_BITS)


def cut_beside_image(cut: tuple[str, ...]) -> int:
    """And what is not: as bits of history."""
    return sum(_CUT_BITS.get(name, 0) for name in cut)


def learn_namespace(process: Process, ns_pid: int, pid_ns: int) -> None:
    """A process is born in its namespace of pids and never leaves it; a record from its very end may not know it."""
    if ns_pid and ns_pid != process.ns_pid:
        process.ns_pid = ns_pid
    if pid_ns and pid_ns != process.pid_ns:
        process.pid_ns = pid_ns


def set_image(state: State, process: Process, image: Image, *, replaces: Image | None) -> None:
    """``replaces``: the image that is an earlier one from now on, if there is one to remember."""
    process.image = image
    process.moment = process.for_children = None  # either may have been made since the change began
    if replaces is not None:
        if len(process.previous) == PREVIOUS_MAX:
            _forget_earlier(state, process, process.previous[-1])
        process.previous = (replaces, *process.previous[: PREVIOUS_MAX - 1])


def _forget_earlier(state: State, process: Process, image: Image) -> None:
    """It is no earlier image any more: where no version has it either, nobody does."""
    if not any(version.image is image for version in process.past or ()):
        count(state.processes, process, -weight(image))


def refresh(state: State, process: Process, task: Task, groups: tuple[int, ...], time_ns: int) -> bool:
    """What every record of a task says anew. Namespaces may be given up before the last record of a process.

    Not the parent, where the record is older than the snapshot's look at the process: nobody tells of an adoption, so
    nothing that follows would lead from there to the present again.
    Returns whether it leads a session from now on.
    """
    # One unpacking: a third of the time of naming the fields of a tuple one by one.
    (
        _, tid, _, _, parent_pid, ns_pid, parent_start_ns, _, pid_ns, spaces, session, cgroup_id, exec_id, _, comm,
    ) = task  # fmt: skip
    is_counted(state, process, exec_id, time_ns)
    known = process.session
    leads = known[1] != session[1] == process.pid
    # What is as it was stays the same object: the versions share it, and a number of a record takes 32 bytes.
    if tid != process.tid:
        process.tid = tid
    learn_namespace(process, ns_pid, pid_ns)
    if cgroup_id and cgroup_id != process.cgroup_id:
        process.cgroup_id = cgroup_id
    if session is not known and session != known:
        process.session = session.filled_from(known)
    if spaces is not process.namespaces and spaces[0] and spaces[:3] != process.namespaces[:3]:
        process.namespaces = process.namespaces._replace(mnt=spaces.mnt, net=spaces.net, cgroup=spaces.cgroup)
    reaper_key = (parent_pid, parent_start_ns)
    if reaper_key != process.reaper_key and time_ns >= process.told_ns:
        adopt(state, process, reaper_key)
    who = process.credentials
    if groups != who[-1] or not same_but_groups(task.credentials, who):
        process.credentials = credentials(task, groups)
    if process.thread_name != comm:
        process.thread_name = comm
        if is_kernel_thread(process, process.image):
            process.image = process.image._replace(name=intern(comm))
    return leads


def is_as_told(process: Process, task: Task) -> bool:
    """Whether a record of its task says nothing new of it. An end rarely does."""
    (
        _, tid, _, _, parent_pid, ns_pid, parent_start_ns, _, pid_ns, spaces, session, cgroup_id, exec_id, who, comm,
    ) = task  # fmt: skip
    known, known_spaces = process.session, process.namespaces
    return (
        comm == process.thread_name
        and tid == process.tid
        and exec_id == process.exec_id
        and (session is known or session == known or session.filled_from(known) == known)
        and (parent_pid, parent_start_ns) == process.reaper_key
        and (spaces is known_spaces or not spaces[0] or spaces[:3] == known_spaces[:3])
        and (not ns_pid or ns_pid == process.ns_pid)
        and (not pid_ns or pid_ns == process.pid_ns)
        and (not cgroup_id or cgroup_id == process.cgroup_id)
        and same_but_groups(who, process.credentials)
    )


def is_counted(state: State, process: Process, exec_id: int, time_ns: int) -> None:
    """A record of its task was made: so many execs led to it, and no loss before it matters any more."""
    if exec_id > process.counted:
        process.counted = exec_id
    if process.sure_of != state.interruptions and time_ns >= state.interrupted_ns:
        process.sure_of = state.interruptions


def is_counted_by_thread(state: State, process: Process, task: Task, time_ns: int) -> None:
    """Likewise, by one beside the leader. Its process's parent is not taken from that, so it has to be as known."""
    if (task.parent_pid, task.parent_start_ns) == process.reaper_key:
        is_counted(state, process, task.exec_id, time_ns)
    elif task.exec_id > process.counted:
        process.counted = task.exec_id


def image_to_remember(process: Process) -> Image | None:
    """Its image, once that is replaced: not where it was never its own, but its parent's from before a missed exec."""
    return process.image if is_told(process.image) and process.exec_id >= process.birth_exec_id else None


def take_session(process: Process, task: Task) -> bool:
    """Session, group and terminal alone. Returns whether it leads a session from now on."""
    leads = process.session.id != task.session.id == process.pid
    process.session = task.session.filled_from(process.session)
    return leads


def credentials(task: Task, groups: tuple[int, ...]) -> Credentials:
    """As a record tells them, with the groups that it has beside them, or that are known."""
    told = task.credentials
    return told if told.groups == groups else _new(Credentials, (*told[:-1], groups))


def same_but_groups(told: Credentials, known: Credentials) -> bool:
    return told is known or told[:-1] == known[:-1]


def task_values(task: Task, groups: tuple[int, ...]) -> dict[str, Any]:
    """Of a version, what a record of a task tells."""
    return {
        "credentials": credentials(task, groups),
        "thread_name": intern(task.comm),
        "tid": task.tid,
        "session": task.session,
        "namespaces": task.namespaces,
        "cgroup_id": task.cgroup_id,
        "reaper_key": (task.parent_pid, task.parent_start_ns),
    }
