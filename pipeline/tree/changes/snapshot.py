"""What was running already: told in any order, made one tree at the end. Called by ``transitions`` alone.

After a loss the same is told again, and repairs: who is not found has ended, who is new was born, and who has executed
more than was told has another image. Then events stand between, in their place: what one of them says of a process
holds until the walk comes to that process. Told twice, since a walk that lost its place begins again, a process is as
it was told last.

A process that the snapshot found has the parent it has then; a doubt only if that is an init or a subreaper, which may
have adopted it. It gets its lineage when all have been told, and with it its name: command lines come between.
"""

from __future__ import annotations

from sys import intern

from pipeline.events import CommandLine, Running, SnapshotBegin, ThreadRunning
from pipeline.process import Image
from pipeline.tree.changes import thread_groups
from pipeline.tree.changes.edges import (
    close,
    correct_births,
    doubt_parent,
    forget_missed_births,
    keep,
    parent_is_certain,
    take_present_parent,
    tell_closed,
)
from pipeline.tree.changes.entries import judge_entries, judge_entry
from pipeline.tree.changes.facts import (
    credentials,
    cut_beside_image,
    cut_of_image,
    image_to_remember,
    is_as_told,
    is_counted,
    new_process,
    refresh,
    set_image,
    task_values,
)
from pipeline.tree.changes.folding import insert, present, refold
from pipeline.tree.changes.names import name_when_running
from pipeline.tree.changes.reapers import join
from pipeline.tree.changes.texts import is_kept_short, keep_directory, keep_image
from pipeline.tree.known import doubts
from pipeline.tree.known.history import (
    DIRECTORY,
    GROUPS,
    IMAGE,
    LOOK,
    TASK,
    change,
    how,
    is_kernel_thread,
    is_told,
    replace_image,
)
from pipeline.tree.known.process_version import ROOTS, moment
from pipeline.tree.known.state import SEEN, Key, Process, State
from pipeline.tree.known.texts import count, weight, weight_of_words

ZOMBIE = -1  # the number of no walk


def begin(state: State, event: SnapshotBegin) -> None:
    """A walk over all that lives begins: the first, or one that repairs after a loss."""
    state.walks += 1
    if state.began_ns is None:
        state.began_ns = event.stamp.time_ns
    state.snapshot_begin_ns = event.stamp.time_ns
    if state.snapshot_done:  # else the walk before was given up, and what it found has still to be told
        state.snapshot_keys = []
        state.corrected = {}
    state.snapshot_done = False
    state.unseen_threads = set()


def found_running(state: State, event: Running, key: Key, _: None) -> None:
    task = event.task
    who = credentials(task, event.groups)
    told = TASK | GROUPS | IMAGE | DIRECTORY | how(state)
    process = new_process(state, key, SEEN, task, who, _image(event), "", event.stamp.time_ns, told)
    process.image = keep_image(state, process, process.image)
    process.found_running = process.image_from_snapshot = True
    process.kernel_thread = event.kernel_thread
    process.sockets = event.sockets
    process.cut = cut_beside_image(event.cut)
    _set_directory(state, process, event)
    process.filtered = event.filtered
    process.seen_in = ZOMBIE if event.zombie or event.ending else state.walks
    if event.parent_is_reaper and task.pid not in ROOTS and not event.kernel_thread:
        process.own_doubt = doubts.SNAPSHOT | (doubts.LOSS if state.loss_seen else 0)
    named = process.reaper_key
    process.reaper_key = present(state, named)
    keep(state, process)
    join(state, process)
    take_present_parent(state, process, named)
    state.unsettled.append(process)
    early = state.early_args.pop(key, None)
    if early is not None:
        state.early_args_bytes -= weight_of_words(early.args)
        _set_args(state, process, early)


def looked_again(state: State, event: Running, key: Key, process: Process) -> None:
    """A process that is known. What was lost may have changed it: its image is looked at, and all else taken anew."""
    time_ns = event.stamp.time_ns
    process.seen_in = ZOMBIE if event.zombie else state.walks
    if event.zombie or event.ending:  # ending: its end is under way, and if that is lost, the next walk will show it
        process.latest_ns = max(process.latest_ns, time_ns)
        return
    if time_ns < process.latest_ns:
        _looked_before(state, event, process)
        return
    if _is_as_it_was(process, event):
        is_counted(state, process, event.task.exec_id, time_ns)
        process.latest_ns = process.looked_ns = time_ns
    else:
        process.groups_differ |= process.threads is not None and event.groups != process.credentials.groups
        change(state, process, time_ns, LOOK | how(state))
        if refresh(state, process, event.task, event.groups, event.stamp.time_ns):
            judge_entry(state, process)
    state.unseen_threads.update(thread_groups.unseen(process, time_ns))
    process.sockets = event.sockets
    process.filtered = event.filtered
    told_cut = cut_beside_image(event.cut)
    process.cut = process.cut & ~GROUPS | told_cut & GROUPS
    if not is_kernel_thread(process, process.image) and not event.filtered:
        process.cut = process.cut & ~DIRECTORY | told_cut & DIRECTORY
        _set_directory(state, process, event)
    if process.own_doubt & doubts.UNKNOWN_PARENT and not event.parent_is_reaper:
        process.found_running = True  # nobody but a reaper adopts: its parent is sure, as soon as that is known
        if process.holds_parent:
            parent_is_certain(process)
            state.epoch += 1
    exec_id = event.task.exec_id
    if exec_id < process.exec_id or (exec_id == process.exec_id and is_told(process.image)):
        return
    if is_kernel_thread(process, process.image):
        return
    if not event.executable:
        return  # it is about to end, and its image is gone already
    # It has executed something, and nobody said so; or nothing but its comm was known.
    replaces = image_to_remember(process)
    set_image(state, process, keep_image(state, process, _image(event)), replaces=replaces)
    process.exec_id = exec_id
    process.image_from_snapshot = True
    process.told |= IMAGE
    correct_births(state, process)
    process.told_ns = time_ns
    state.corrected[process.key] = None
    state.epoch += 1


def _looked_before(state: State, event: Running, process: Process) -> None:
    """What has been told since is newer: the look goes where its time says."""
    time_ns, told = event.stamp.time_ns, TASK | GROUPS | how(state)
    values = task_values(event.task, event.groups) | {"cut": cut_beside_image(event.cut)}
    if not event.kernel_thread and not event.filtered:
        told |= DIRECTORY
        where, is_cut = keep_directory(state, process, event.working_directory, is_cut="working_directory" in event.cut)
        values["working_directory"] = where
        values["cut"] |= DIRECTORY if is_cut else 0
        if event.executable:
            told |= IMAGE  # where it is known, it stays as it was told: see folding
            values |= {"image": keep_image(state, process, _image(event)), "exec_id": event.task.exec_id}
            values |= {"image_from_snapshot": True, "sockets": event.sockets}
    insert(state, process, time_ns, told, values)
    is_counted(state, process, event.task.exec_id, time_ns)
    state.unseen_threads.update(thread_groups.unseen(process, time_ns))
    state.handed_over.append(process)
    if process.key in state.unsure_births:
        correct_births(state, process)


def _is_as_it_was(process: Process, event: Running) -> bool:
    """Whether a look tells nothing new: then no version begins, however often a walk comes by."""
    inherits = process.birth_told and process.birth is not None  # what no record of its own has told
    if not inherits and process.told & LOOK != LOOK and all(one.told & LOOK != LOOK for one in process.past or ()):
        return False
    cut = cut_beside_image(event.cut)
    if is_kept_short(event.working_directory, process.working_directory):
        cut |= DIRECTORY
    elif not (event.kernel_thread or event.filtered or event.working_directory == process.working_directory):
        return False
    return is_as_told(process, event.task) and event.groups == process.credentials.groups and cut == process.cut


def _set_directory(state: State, process: Process, event: Running) -> None:
    where = event.working_directory
    if where == process.working_directory or is_kept_short(where, process.working_directory):
        process.cut |= DIRECTORY if where != process.working_directory else 0
        return
    is_cut = "working_directory" in event.cut
    process.working_directory, is_cut = keep_directory(state, process, where, is_cut=is_cut)
    process.cut |= DIRECTORY if is_cut else 0


def found_ended(state: State, event: Running, key: Key, process: Process | None) -> None:
    """Not reaped yet; or it was looked at just before its end, which was told first. Else it cannot be."""
    end_ns = None if process is None else process.end_ns
    if not (event.zombie or event.ending) and (end_ns is None or event.stamp.time_ns > end_ns):
        state.bad("running_after_exit")


def found_thread(state: State, event: ThreadRunning, key: Key, process: Process) -> None:
    state.unseen_threads.discard((event.tid, event.thread_start_ns))
    if event.tid != process.pid:
        thread_groups.found_running(state, event, process)


def held_args(state: State, event: CommandLine, key: Key, _: None) -> None:
    """A command line that came before its process."""
    processes = state.processes
    weighs = weight_of_words(event.args)
    has_room = processes.text_bytes + state.early_args_bytes + weighs <= processes.texts_max_bytes
    if state.snapshot_done or len(state.early_args) >= processes.processes_max or not has_room:
        state.bad("command_line_of_unknown")
    else:
        state.early_args[key] = event
        state.early_args_bytes += weighs


def told_args(state: State, event: CommandLine, _: Key, process: Process) -> Process | None:
    told = not process.image_from_snapshot  # a fork or an exec has told better
    if told and state.walks < 2:
        state.bad("command_line_too_late")
        return None
    if told or (state.walks > 1 and process.image.args):
        return None  # a repair asks for every command line, since only here is known whose is wanted
    _set_args(state, process, event)
    if process.offspring is not None:
        refold(state, process, 0)
    return process if state.snapshot_done else None


def settle(state: State) -> None:
    """Give each that was found its parent as it is now, and its entry leader."""
    found, state.unsettled = _parents_first(state.unsettled), []
    for process in found:
        parent = None if process.waits else state.processes.find(process.parent_key)
        if parent is None:
            doubt_parent(state, process)
        elif process.birth is None:
            process.birth = moment(parent)
    judge_entries(state, found)
    state.snapshot_keys.extend(process.key for process in found)
    state.epoch += 1


def finish(state: State) -> None:
    """No more will be told. Who was known to live before and was not found, has ended.

    Nobody is evicted for it before the next event: their ends are still to be described.
    """
    state.snapshot_done = True
    begin_ns, this_walk = state.snapshot_begin_ns, state.walks
    new = set(state.snapshot_keys)
    for process in list(state.processes.pinned.values()):
        missing = process.seen_in != this_walk and process.since_ns < begin_ns
        zombie = process.seen_in == ZOMBIE
        if process.alive and (missing or zombie):
            process.end_ns = process.latest_ns if zombie else max(begin_ns, thread_groups.last_told(process))
            close(state, process)
            if process.key not in new:
                tell_closed(state, process)
        else:
            join(state, process)  # whose parent was not known yet when it was told
    for thread_key in state.unseen_threads:
        thread = state.threads.get(thread_key)
        process_of_it = None if thread is None else state.processes.find(thread.process)
        if thread is not None and process_of_it is not None:
            thread_groups.missed(state, process_of_it, thread, begin_ns)
    state.unseen_threads = set()
    forget_missed_births(state)
    for _ in state.early_args:
        state.bad("command_line_of_unknown")
    state.early_args = {}
    state.early_args_bytes = 0


def _parents_first(found: list[Process]) -> list[Process]:
    left = {process.key: process for process in found}
    in_order: list[Process] = []
    for process in found:
        climb: list[Process] = []
        climber = left.pop(process.key, None)
        while climber is not None:
            climb.append(climber)
            climber = left.pop(climber.parent_key, None)
        in_order.extend(reversed(climb))
    return in_order


def _image(event: Running) -> Image:
    comm = event.task.comm
    name = comm if event.kernel_thread else name_when_running((), event.executable, comm)
    cut = cut_of_image(event.cut)
    return Image(intern(name), intern(event.executable), (), cut, event.file, loader=event.loader)


def _set_args(state: State, process: Process, event: CommandLine) -> None:
    args, cut = event.args, event.cut
    process.args_ns = event.stamp.time_ns
    image = process.image
    name = image.name
    if not is_kernel_thread(process, image):
        name = name_when_running(args, image.executable, process.thread_name)
    words = (*image.cut, "args") if cut and "args" not in image.cut else image.cut
    count(state.processes, process, -weight(image))  # it is the same one
    told = keep_image(state, process, image._replace(name=intern(name), args=args, cut=words))
    replace_image(process, image, told)
