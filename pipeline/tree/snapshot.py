"""What was running already: told in any order, made one tree at the end. Called by ``transitions`` alone.

A process that the snapshot found has the parent it has then; a doubt only if that is an init or a subreaper, which may
have adopted it. It gets its lineage when all have been told, and with it its name: command lines come between.
"""

from __future__ import annotations

from sys import intern

from pipeline.events import CommandLine, Running
from pipeline.process import Image
from pipeline.tree import doubts
from pipeline.tree.edges import doubt_parent, keep, take_present_parent
from pipeline.tree.entries import judge_entries
from pipeline.tree.facts import change, credentials, new_process, refresh, set_image
from pipeline.tree.names import name_when_running
from pipeline.tree.state import SEEN, Key, Process, State
from pipeline.tree.versions import ROOTS, moment


def found_running(state: State, event: Running, key: Key, _: None) -> None:
    task = event.task
    _begin(state)
    who = credentials(task, event.groups)
    where = intern(event.working_directory)
    process = new_process(state, key, SEEN, task, who, _image(event), where, event.stamp.time_ns)
    process.found_running = process.image_from_snapshot = True
    process.kernel_thread = event.kernel_thread
    process.sockets = event.sockets
    if event.parent_is_reaper and task.pid not in ROOTS and not event.kernel_thread:
        process.own_doubt = doubts.SNAPSHOT
    keep(state, process)
    take_present_parent(state, process, process.reaper_key)
    state.unsettled.append(process)
    early = state.early_args.pop(key, None)
    if early is not None:
        _set_args(process, *early)


def looked_again(state: State, event: Running, key: Key, process: Process) -> None:
    """A later snapshot, after loss, found a process that is known."""
    _begin(state)
    change(process, event.stamp.time_ns)
    refresh(process, event.task, event.groups)
    process.working_directory = intern(event.working_directory)
    process.sockets = event.sockets
    if event.executable != process.image.executable:
        # It has executed something, and nobody said so.
        set_image(process, _image(event), replaces=process.image)
        process.image_from_snapshot = True
        process.told_ns = event.stamp.time_ns
        process.own_doubt |= doubts.LOSS
        state.epoch += 1


def _begin(state: State) -> None:
    if state.snapshot_done:
        state.snapshot_done = False
        state.snapshot_keys = []


def held_args(state: State, event: CommandLine, key: Key, _: None) -> None:
    """A command line that came before its process."""
    if state.snapshot_done or len(state.early_args) >= state.processes.processes_max:
        state.bad("command_line_of_unknown")
    else:
        state.early_args[key] = (event.args, event.cut)


def told_args(state: State, event: CommandLine, _: Key, process: Process) -> Process | None:
    if not process.image_from_snapshot:
        state.bad("command_line_too_late")  # a fork or an exec has told better
        return None
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
    """No more will be told."""
    state.snapshot_done = True
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
    return Image(intern(name), intern(event.executable), (), event.cut, event.inode, event.device, event.mode)


def _set_args(process: Process, args: tuple[str, ...], cut: bool) -> None:
    image = process.image
    name = image.name if process.kernel_thread else name_when_running(args, image.executable, process.thread_name)
    words = (*image.cut, "args") if cut and "args" not in image.cut else image.cut
    process.image = image._replace(name=intern(name), args=args, cut=words)
