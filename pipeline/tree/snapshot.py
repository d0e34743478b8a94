"""What was running already: told in any order, made one tree at the end. Called by ``transitions`` alone.

After a loss the same is told again, and repairs: who is not found has ended, who is new was born, and whose image is
another has executed something.

A process that the snapshot found has the parent it has then; a doubt only if that is an init or a subreaper, which may
have adopted it. It gets its lineage when all have been told, and with it its name: command lines come between.
"""

from __future__ import annotations

from sys import intern

from pipeline.events import CommandLine, Running, SnapshotBegin, ThreadRunning
from pipeline.process import Image
from pipeline.tree import doubts
from pipeline.tree.edges import add_thread, close, doubt_parent, keep, take_present_parent
from pipeline.tree.entries import judge_entries
from pipeline.tree.facts import change, credentials, is_told, new_process, refresh, set_image
from pipeline.tree.names import name_when_running
from pipeline.tree.reapers import join
from pipeline.tree.state import SEEN, Key, Process, State, Thread
from pipeline.tree.versions import ROOTS, moment

ZOMBIE = -1  # the number of no walk


def begin(state: State, event: SnapshotBegin) -> None:
    """A walk over all that lives begins: the first, or one that repairs after a loss."""
    state.walks += 1
    state.snapshot_begin_ns = event.stamp.time_ns
    state.snapshot_done = False
    state.snapshot_keys = []
    state.closed_keys = []


def found_running(state: State, event: Running, key: Key, _: None) -> None:
    task = event.task
    who = credentials(task, event.groups)
    where = intern(event.working_directory)
    process = new_process(state, key, SEEN, task, who, _image(event), where, event.stamp.time_ns)
    process.found_running = process.image_from_snapshot = True
    process.kernel_thread = event.kernel_thread
    process.sockets = event.sockets
    process.filtered = event.filtered
    process.sure_of = state.interruptions
    process.seen_in = ZOMBIE if event.zombie else state.walks
    if event.parent_is_reaper and task.pid not in ROOTS and not event.kernel_thread:
        process.own_doubt = doubts.SNAPSHOT | (doubts.LOSS if state.loss_seen else 0)
    keep(state, process)
    join(state, process)
    take_present_parent(state, process, process.reaper_key)
    state.unsettled.append(process)
    early = state.early_args.pop(key, None)
    if early is not None:
        _set_args(process, *early)


def looked_again(state: State, event: Running, key: Key, process: Process) -> None:
    """A process that is known. What was lost may have changed it: its image is looked at, and all else taken anew."""
    process.seen_in = ZOMBIE if event.zombie else state.walks
    if event.zombie:
        return
    time_ns = event.stamp.time_ns
    same_comm = process.thread_name == event.task.comm
    change(process, time_ns)
    refresh(state, process, event.task, event.groups, time_ns)
    process.sockets = event.sockets
    process.filtered = event.filtered
    if not process.kernel_thread and not event.filtered:
        process.working_directory = intern(event.working_directory)
    if process.own_doubt & doubts.UNKNOWN_PARENT and not event.parent_is_reaper and process.holds_parent:
        process.own_doubt &= ~(doubts.UNKNOWN_PARENT | doubts.LOSS)  # nobody but a reaper adopts
        state.epoch += 1
    if process.sure_of == state.interruptions:
        return
    process.sure_of = state.interruptions
    image, file = process.image, event.file
    if process.kernel_thread or (
        same_comm and event.executable == image.executable and (file.inode, file.device) == image.file[:2]
    ):
        _confirm(state, process)
        return
    # It has executed something, and nobody said so.
    set_image(process, _image(event), replaces=image if is_told(image) else None)
    process.image_from_snapshot = True
    process.told_ns = time_ns
    state.epoch += 1


def _confirm(state: State, process: Process) -> None:
    """It has executed nothing: neither it nor the children that were born of it meanwhile are in doubt any more."""
    for child in (process.children or {}).values():
        if child.birth_unsure and child.parent_key == process.key:
            child.birth_unsure = False
            state.epoch += 1


def found_thread(state: State, event: ThreadRunning, key: Key, process: Process) -> Process:
    if event.tid != process.pid and state.threads.get((event.tid, event.thread_start_ns)) is None:
        add_thread(state, process, Thread(key, event.tid, event.thread_start_ns, event.ns_tid, 0, intern(event.comm)))
    return process


def held_args(state: State, event: CommandLine, key: Key, _: None) -> None:
    """A command line that came before its process."""
    if state.snapshot_done or len(state.early_args) >= state.processes.processes_max:
        state.bad("command_line_of_unknown")
    else:
        state.early_args[key] = (event.args, event.cut)


def told_args(state: State, event: CommandLine, _: Key, process: Process) -> Process | None:
    if not process.image_from_snapshot:
        if state.walks < 2:
            state.bad("command_line_too_late")  # a fork or an exec has told better
        return None  # a repair asks for every command line, since only here is known whose is wanted
    change(process, event.stamp.time_ns)
    _set_args(process, event.args, event.cut)
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
    """No more will be told. Who was known to live before and was not found, has ended."""
    state.snapshot_done = True
    begin_ns, this_walk = state.snapshot_begin_ns, state.walks
    for process in list(state.processes.pinned.values()):
        missing = process.seen_in != this_walk and process.since_ns < begin_ns
        if process.alive and (missing or process.seen_in == ZOMBIE):
            process.end_ns = begin_ns
            close(state, process)
            if not process.found_running or process.told_ns < begin_ns:
                state.closed_keys.append(process.key)
    state.counters.closed_unseen += len(state.closed_keys)
    for _ in state.early_args:
        state.bad("command_line_of_unknown")
    state.early_args = {}


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
    return Image(intern(name), intern(event.executable), (), event.cut, event.file)


def _set_args(process: Process, args: tuple[str, ...], cut: bool) -> None:
    image = process.image
    name = image.name if process.kernel_thread else name_when_running(args, image.executable, process.thread_name)
    words = (*image.cut, "args") if cut and "args" not in image.cut else image.cut
    process.image = image._replace(name=intern(name), args=args, cut=words)
