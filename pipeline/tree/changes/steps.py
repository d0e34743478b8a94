"""What the kernel tells: births, images, ends, threads. Called from the table in ``transitions`` alone.

A step returns the process that it has changed; None where it changed nothing but a thread, and where it finds that the
event does not fit after all: then it counts why, and changes nothing.
"""

from __future__ import annotations

from typing import Any

from pipeline.events import Credentials, Exec, Exit, Fork, Task, ThreadEnd, ThreadRunning, ThreadStart
from pipeline.tree.changes import thread_groups
from pipeline.tree.changes.edges import (
    compare_birth,
    correct_births,
    go_without_parent,
    keep,
    take_present_parent,
    would_close_circle,
)
from pipeline.tree.changes.entries import inherit_entry, judge_entry
from pipeline.tree.changes.facts import (
    credentials,
    cut_beside_image,
    image_by_comm,
    image_of,
    image_to_remember,
    is_as_told,
    is_counted,
    learn_namespace,
    new_process,
    refresh,
    same_but_groups,
    set_image,
    take_session,
    task_values,
)
from pipeline.tree.changes.folding import end_at, insert
from pipeline.tree.changes.reapers import hand_over, join, leave
from pipeline.tree.changes.texts import keep_directory, keep_image
from pipeline.tree.changes.thread_groups import end_threads
from pipeline.tree.known import doubts
from pipeline.tree.known.group_leader import remember_takeovers
from pipeline.tree.known.history import (
    BIRTH,
    BY_CHILD,
    DIRECTORY,
    END,
    GONE,
    GROUPS,
    IDS,
    IMAGE,
    SESSION,
    TASK,
    Version,
    as_at,
    change,
    in_a_hole,
    moment_at,
    replace_image,
    unsure_at,
)
from pipeline.tree.known.process_version import ROOTS, moment
from pipeline.tree.known.state import BORN, CLOSED, ENDED, SEEN, SEEN_ENDED, Key, Process, State
from pipeline.tree.known.thread_rights import Rights

# What records tell, kept once: a number made anew for each version takes 32 bytes and 50 ns.
_BIRTH = TASK | BIRTH
_BIRTH_AND_GROUPS = TASK | BIRTH | GROUPS
_EXEC = TASK | GROUPS | IMAGE | DIRECTORY
_END = TASK | END


def born(state: State, event: Fork, key: Key, _: None) -> Process | None:
    """A child begins as its parent is: name, image, arguments, working directory, open sockets, groups."""
    task, time_ns = event.task, event.stamp.time_ns
    birth_key = (event.birth_pid, event.birth_start_ns)
    processes = state.processes
    parent = processes.find(birth_key)
    if parent is not None:
        birth_key = parent.key  # kept once
    if birth_key == key or (key in processes.waiting and would_close_circle(state, parent, key)):
        state.bad("fork_of_itself")
        return None
    if parent is None:
        who = credentials(task, ())
        process = new_process(state, key, BORN, task, who, image_by_comm(task.comm), "", time_ns, _BIRTH)
        process.birth_exec_id = task.exec_id
        process.birth_ns = time_ns
        if process.reaper_key != birth_key:
            state.handed_over.append(process)  # born as a sibling
    else:
        is_late = time_ns < parent.latest_ns  # a later record of its parent has overtaken this one
        of, unsure = (as_at(parent, time_ns), unsure_at(parent, time_ns)) if is_late else (parent, 0)
        if parent.has_hole:
            unsure = unsure_at(parent, time_ns)
        who, told = of.credentials, _BIRTH  # nearly always, and kept once
        groups = who.groups
        if event.birth_tid != parent.pid:
            groups, told, unsure = _born_of_thread(parent, of, event, unsure)
        if groups != who.groups or not same_but_groups(task.credentials, who):
            who = credentials(task, groups)
        if unsure:
            told |= in_a_hole(unsure) & ~(_BIRTH << GONE)
        _tell_parent(state, parent, event, who)
        process = new_process(state, key, BORN, task, who, of.image, of.working_directory, time_ns, told)
        process.birth_ns = time_ns
        if unsure:
            process.has_hole = True
        process.sockets = of.sockets
        _inherit_surroundings(state, process, parent, of)
        if not event.kernel_thread:
            process.exec_id = of.exec_id  # what it has is its parent's image, as that is known
        compare_birth(state, process, parent, task.exec_id)
    process.filtered = event.filtered
    if event.kernel_thread:
        process.kernel_thread = True
        process.image = image_by_comm(task.comm)
    keep(state, process)
    join(state, process)
    process.parent_key = birth_key
    if parent is None:
        go_without_parent(state, process)
    else:
        if is_late:
            process.birth = moment_at(parent, time_ns)
            state.stirred.append((process, 0))
        else:
            process.birth = moment(parent)
        processes.adopt(process, parent)
    if parent is not None and is_late:
        process.entry = of.entry  # as of then; the rest follows when it is folded
    else:
        inherit_entry(state, process, parent)
    return process


def told_birth(state: State, event: Fork, key: Key, process: Process) -> Process | None:
    """The birth of a process that was seen before: by the snapshot, or by a record that overtook this one."""
    birth_key = (event.birth_pid, event.birth_start_ns)
    parent = state.processes.find(birth_key)
    if birth_key == key or would_close_circle(state, parent, key):
        state.bad("fork_of_itself")
        return None
    time_ns = event.stamp.time_ns
    process.birth_told = True
    process.birth_ns = time_ns
    if process.phase != CLOSED:
        process.phase = BORN if process.alive else ENDED
    process.kernel_thread = event.kernel_thread
    process.own_doubt &= ~(doubts.SNAPSHOT | doubts.UNKNOWN_PARENT | doubts.LOSS)
    state.processes.abandon(process)
    process.parent_key = birth_key
    process.birth = None
    process.birth_exec_id = event.task.exec_id
    if parent is None:
        go_without_parent(state, process)
    else:
        compare_birth(state, process, parent, event.task.exec_id)
        _tell_parent(state, parent, event, credentials(event.task, process.credentials.groups))
        process.birth = moment_at(parent, time_ns)
        state.processes.adopt(process, parent)
    learn_namespace(process, event.task.ns_pid, event.task.pid_ns)
    groups, told, missing = process.credentials.groups, _BIRTH, 0 if parent is None else unsure_at(parent, time_ns)
    if parent is not None and event.birth_tid != parent.pid:
        groups, told, missing = _born_of_thread(parent, as_at(parent, time_ns), event, missing)
    values = task_values(event.task, groups)
    values["image"] = image_by_comm(event.task.comm)  # as long as nobody knows its parent's
    insert(state, process, time_ns, told | in_a_hole(missing) & ~(_BIRTH << GONE), values)
    state.told_late = True
    state.handed_over.append(process)
    state.epoch += 1
    return process


def told_birth_after_all(state: State, event: Fork, key: Key, process: Process) -> Process | None:
    """Born, and ended, while the first walk went on: what the probes told meanwhile comes after it."""
    if process.birth_told:
        state.bad("fork_twice")
        return None
    return told_birth(state, event, key, process)


def executed_after_all(state: State, event: Exec, key: Key, process: Process) -> Process | None:
    """Likewise. Not after it was found to have ended."""
    if process.end_ns is None or event.stamp.time_ns > process.end_ns:
        state.bad("exec_after_exit")
        return None
    return executed(state, event, key, process)


def executed(state: State, event: Exec, key: Key, process: Process | None) -> Process | None:
    """A new image. Whoever called exec is the leader now, with the leader's tid; all other threads have ended."""
    task, time_ns = event.task, event.stamp.time_ns
    replaces = None
    if process is None:
        process = _learnt(state, key, task, time_ns, _EXEC)
    else:
        if not (process.image_from_snapshot and task.exec_id <= process.exec_id):  # else the snapshot saw this one
            replaces = image_to_remember(process)
            if process.args_ns > time_ns and replaces is not None and process.image_from_snapshot:
                replaces = replaces._replace(args=())  # read after the exec, so they may be of the new image
                replace_image(process, process.image, replaces)
        change(state, process, time_ns, _EXEC)
    process.image_from_snapshot = False
    process.exec_id = task.exec_id
    refresh(state, process, task, event.groups, time_ns)
    process.filtered = event.filtered
    set_image(state, process, keep_image(state, process, image_of(event)), replaces=replaces)
    process.cut = cut_beside_image(event.cut) if event.cut else 0
    is_cut = process.cut & DIRECTORY != 0
    process.working_directory, is_cut = keep_directory(state, process, event.working_directory, is_cut=is_cut)
    if is_cut:
        process.cut |= DIRECTORY
    process.sockets = event.sockets
    if key in state.unsure_births:
        correct_births(state, process)
    process.groups_differ = False
    if process.leader_ends:
        remember_takeovers(process, time_ns)
    end_threads(state, process)
    judge_entry(state, process)
    return process


def ended(state: State, event: Exit, key: Key, process: Process | None) -> Process | None:
    """A process stays known after its end, for children that are told of late."""
    task, time_ns = event.task, event.stamp.time_ns
    if time_ns < task.start_ns:
        state.bad("exit_before_start")
        return None
    if process is None:
        process = _learnt(state, key, task, time_ns, _END)
    was_alive, was_closed = process.alive, process.phase == CLOSED
    if time_ns < process.since_ns:
        end_at(state, process, time_ns)
    if is_as_told(process, task):
        is_counted(state, process, task.exec_id, time_ns)
        process.latest_ns = time_ns
    else:
        change(state, process, time_ns, _END)
        if refresh(state, process, task, process.credentials.groups, time_ns):
            judge_entry(state, process)
    process.filtered = event.filtered
    if was_alive or was_closed:
        process.ended_unsure = process.sure_of != state.interruptions
    process.exit_status = event.status
    process.end_ns = time_ns
    process.phase = ENDED if process.birth_told else SEEN_ENDED
    end_threads(state, process)
    if was_alive or was_closed:  # closed: the snapshot saw it end, and its children before they were handed over
        hand_over(state, process, (event.reaper_pid, event.reaper_start_ns) if event.reaper_pid else None)
    if was_alive:
        leave(state, process)
        state.processes.release(process)
    return process


def hold(state: State, event: Any, key: Key, _: None) -> None:
    """A change of a process that nobody has told of yet: it is made when somebody does."""
    state.early.setdefault(key, []).append(event)
    state.early_events += 1
    if state.early_events > state.processes.processes_max:
        _key, dropped = state.early.popitem(last=False)
        state.early_events -= len(dropped)
        for one in dropped:
            about_thread = isinstance(one, ThreadStart | ThreadEnd | ThreadRunning)
            state.bad("thread_of_unknown_process" if about_thread else "change_of_unknown_process")


def thread_began(state: State, event: ThreadStart, key: Key, process: Process) -> None:
    thread_groups.began(state, event, process)


def thread_ended(state: State, event: ThreadEnd, key: Key, process: Process) -> None:
    if event.tid == process.pid:
        thread_groups.leader_ended(state, process, event.stamp.time_ns)
    else:
        thread_groups.ended(state, event, process)


def thread_after_end(state: State, event: Any, key: Key, process: Process | None) -> None:
    """Its end ended its threads; but they had been there. Two that die together may be told of in any order."""
    if process is None:
        state.bad("thread_of_forgotten_process")
    elif isinstance(event, ThreadEnd):
        thread_ended(state, event, key, process)
    elif process.end_ns is None or event.stamp.time_ns > process.end_ns:
        state.bad("thread_after_exit")
    elif isinstance(event, ThreadStart):
        thread_began(state, event, key, process)
    elif event.tid != process.pid:
        thread_groups.found_running(state, event, process)


def _learnt(state: State, key: Key, task: Task, time_ns: int, told: int) -> Process:
    """A process that is first told of by something other than its birth."""
    process = new_process(state, key, SEEN, task, credentials(task, ()), image_by_comm(task.comm), "", time_ns, told)
    if process.pid not in ROOTS:
        process.own_doubt = doubts.UNKNOWN_PARENT | (doubts.LOSS if state.loss_seen else 0)
    named = process.reaper_key
    keep(state, process)
    join(state, process)
    take_present_parent(state, process, named)
    inherit_entry(state, process, state.processes.find(process.parent_key))
    return process


def _born_of_thread(
    parent: Process, of: Version | Process, event: Fork, unsure: int
) -> tuple[tuple[int, ...], int, int]:
    """Of a birth by a thread beside the leader: its groups, what it tells, and bits of history that nobody knows.

    Groups are a thread's own, and no part of the record of a birth. All that a thread has told before it gave birth is
    told before that; what its leader has, may come later. ``of``, ``unsure``: what the parent was then, or may not have
    been.
    """
    groups, unknown = of.credentials.groups, 0
    if parent.groups_differ:
        held = Rights(parent).of(event.birth_tid, event.stamp.time_ns)
        if held is None:  # its beginning was lost, or it was forgotten
            unknown = GROUPS
        else:
            groups, unknown = held.credentials.groups, held.unsure & GROUPS
    return groups, _BIRTH if unknown else _BIRTH_AND_GROUPS, unsure & ~GROUPS | unknown


def _inherit_surroundings(state: State, process: Process, parent: Process, of: Version | Process) -> None:
    """Container and namespaces, as far as its own records do not say otherwise: where others than these differ, the
    record behind its birth says so. The next child of its parent may be born in another pid namespace, and that is it.

    ``of``: the version of its parent that it was born of.
    """
    process.contained, process.cut = of.contained, of.cut
    # What is equal is kept once: 32 bytes each.
    if process.reaper_key == parent.key:
        process.reaper_key = parent.key
    else:
        state.handed_over.append(process)  # born as a sibling
    if process.session is not of.session:
        process.session = process.session.filled_from(of.session)
        if process.session == of.session:
            process.session = of.session
    if process.pid_ns == parent.pid_ns:
        process.pid_ns = parent.pid_ns
    if process.cgroup_id == of.cgroup_id:
        process.cgroup_id = of.cgroup_id
    spaces = of.namespaces
    if process.namespaces is not spaces and process.namespaces[:3] == spaces[:3]:
        process.namespaces = spaces._replace(children_pid=0) if spaces.children_pid else spaces  # kept once


def _tell_parent(state: State, parent: Process, event: Fork, who: Credentials) -> None:
    """What a child has from its parent tells of the parent, should the record of its change be missing.

    Session, group and terminal are always copied at fork, user and group ids too (kernel/fork.c, copy_process);
    capabilities not, since a new user namespace comes with all of them. Ids are those of the thread that called fork:
    they are its process's where that is the leader, and else tell nothing, so that it is of no matter when the leader's
    end becomes known.
    """
    child, time_ns = event.task, event.stamp.time_ns
    is_late = time_ns < parent.latest_ns
    held = as_at(parent, time_ns) if is_late else parent
    known = held.session
    same_session = child.session is known or child.session[:3] == known[:3]  # whose leaders may have gone since
    same_ids = event.birth_tid != parent.pid or who is held.credentials or who[:8] == held.credentials[:8]
    if same_session and same_ids:
        return
    if not parent.alive and (parent.end_ns is None or time_ns > parent.end_ns):
        return  # it is said to have ended by then: how it was before that, this does not tell
    told = (SESSION if same_ids else SESSION | IDS) | BY_CHILD
    if is_late:
        values: dict[str, Any] = {"session": child.session.filled_from(known)}
        if not same_ids:
            values["credentials"] = credentials(child, held.credentials.groups)
        insert(state, parent, time_ns, told, values)
        return
    change(state, parent, time_ns, told)
    leads = take_session(parent, child)
    if not same_ids:
        parent.credentials = credentials(child, held.credentials.groups)
    if leads:
        judge_entry(state, parent)
