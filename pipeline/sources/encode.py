"""Values (pipeline/events.py) to records (bpf/events.h): the other direction of ``decode``.

Rules of this file:
- ``decode(encode(event)) == event`` for every value whose text is UTF-8 (tested);
- the source makes its own records with it (host, accounts, command lines, clock, loss, mark), and tests and
  benchmarks the kernel's; nothing is cut here, a value that says ``cut`` is written as it is.
"""

from __future__ import annotations

from struct import Struct, pack
from typing import NamedTuple

import orjson

from pipeline import wire
from pipeline.events import (
    NO_FILE,
    Account,
    Cgroup,
    Clock,
    CommandLine,
    Container,
    CredentialChange,
    DirectoryChange,
    Event,
    Exec,
    Exit,
    File,
    Fork,
    HostFacts,
    Loader,
    Loss,
    NamespaceChange,
    Rename,
    Running,
    Script,
    SessionChange,
    SnapshotBegin,
    SnapshotEnd,
    Stamp,
    Task,
    ThreadEnd,
    ThreadRunning,
    ThreadStart,
)

_CUT_FLAGS = {
    "args": wire.ARGS_CUT,
    "filename": wire.FILENAME_CUT,
    "executable": wire.EXECUTABLE_CUT,
    "working_directory": wire.DIRECTORY_CUT,
    "groups": wire.GROUPS_CUT,
    "environment": wire.ENVIRONMENT_CUT,
    "script": wire.SCRIPT_CUT,
    "interpreter": wire.INTERPRETER_CUT,
}
_TRAIT_FLAGS = {
    "deleted": wire.EXECUTABLE_DELETED,
    "detached": wire.EXECUTABLE_DETACHED,
    "memfd": wire.EXECUTABLE_MEMFD,
    "upper_layer": wire.EXECUTABLE_UPPER,
    "capabilities": wire.FILE_CAPABILITIES,
    "script": wire.SCRIPT,
}


class Asked(NamedTuple):
    """What an exec was asked for, and a process that was found running does not tell."""

    filename: bytes = b""
    args: bytes = b""
    script: Script | None = None
    environment: bytes = b""


NOTHING_ASKED = Asked()


def _record(
    layout: Struct, stamp: Stamp, flags: int, values: tuple[object, ...], tails: tuple[bytes, ...] = ()
) -> bytes:
    """``values`` is the fixed part behind the header without its spans, which stand last in every struct."""
    spans: list[int] = []
    offset = layout.size
    for tail in tails:
        spans += (offset, len(tail)) if tail else (0, 0)
        offset += len(tail)
    header = (offset, stamp.kind, wire.WIRE_VERSION, flags, stamp.cpu, stamp.time_ns, stamp.sequence)
    return layout.pack(*header, *values, *spans) + b"".join(tails)


_AROUND = Task._fields.index("namespaces")


def _task(task: Task) -> tuple[object, ...]:
    spaces, session, who = task.namespaces, task.session, task.credentials
    around = wire.STRUCT_SURROUNDINGS.pack(*spaces[:3], *session, task.cgroup_id)
    credentials = wire.STRUCT_CREDENTIALS.pack(*who[:-1])  # groups are told beside them
    return (*task[:_AROUND], around, task.exec_id, credentials, task.comm.encode()[: wire.COMM_MAX - 1])


def _path(path: str) -> tuple[bytes, int]:
    """The span of a path, and 1 where it is a bare name without a file system."""
    if not path:
        return b"", 0
    if path == "/":
        return b"\0", 0
    head, slash, _ = path.partition("/")
    if not slash or head not in ("", "…"):
        return path.encode() + b"\0", 1
    return "".join(f"{component}\0" for component in reversed(path.split("/")[1:])).encode(), 0


def _args(args: tuple[str, ...], cut: bool) -> bytes:
    raw = "".join(f"{argument}\0" for argument in args).encode()
    return raw[:-1] if cut and args and args[-1] else raw


def _traits(file: File) -> int:
    return sum(_TRAIT_FLAGS.get(name, 0) for name in file.traits)  # the others are in its mode


def _file(file: File, flags: int = 0) -> bytes:
    return wire.STRUCT_FILE.pack(*file[:4], flags | _traits(file), *file[4:6])


def _named_file(file: File, path: str, *, cut: bool) -> tuple[bytes, bytes]:
    """Of a script or a loader: struct lineage_file, and its path."""
    raw, pseudo = _path(path)
    return _file(file, (wire.EXECUTABLE_PSEUDO if pseudo else 0) | (wire.EXECUTABLE_CUT if cut else 0)), raw


def _image_flags(event: Exec | Running) -> int:
    cut = sum(_CUT_FLAGS.get(name, 0) for name in event.cut)  # that a loader is, its file says
    return event.sockets << 7 | cut | _traits(event.file) | (wire.FILTERED if event.filtered else 0)


def _image(event: Exec | Running, old_tid: int, args_total: int, flags: int, asked: Asked = NOTHING_ASKED) -> bytes:
    executable, pseudo = _path(event.executable)
    flags |= wire.EXECUTABLE_PSEUDO if pseudo else 0
    script, loader = asked.script or Script("", ""), event.loader or Loader("", NO_FILE)
    script_file, script_path = _named_file(script.file, script.path, cut="script" in event.cut)
    loader_file, loader_path = _named_file(loader.file, loader.path, cut="loader" in event.cut)
    values = (*_task(event.task), old_tid, args_total, _file(event.file), script_file, loader_file)
    groups = pack(f"<{len(event.groups)}I", *event.groups)
    tails = (
        *(asked.filename, executable, _path(event.working_directory)[0], asked.args, groups),
        *(script.interpreter.encode(), script_path, asked.environment, loader_path),
    )
    return _record(wire.STRUCT_EXEC, event.stamp, flags, values, tails)


def _exec(event: Exec) -> bytes:
    args, environment = _args(event.args, "args" in event.cut), _args(event.environment, False)
    asked = Asked(event.filename.encode(), args, event.script, environment)
    return _image(event, event.old_tid, event.args_total_bytes, _image_flags(event), asked)


def _running(event: Running) -> bytes:
    flags = _image_flags(event)
    flags |= wire.KERNEL_THREAD if event.kernel_thread else 0
    flags |= wire.ZOMBIE if event.zombie else 0
    flags |= wire.ENDING if event.ending else 0
    flags |= wire.PARENT_REAPER if event.parent_is_reaper else 0
    return _image(event, 0, 0, flags)


def _exit(event: Exit) -> bytes:
    flags = wire.CORE_DUMPED if event.core_dumped else 0
    flags |= wire.REAPER_UNKNOWN if event.reaper_unknown else 0
    flags |= wire.FILTERED if event.filtered else 0
    reaper = (event.reaper_pid, event.reaper_start_ns)
    values = (*_task(event.task), event.status, *reaper, event.cpu_ns, event.memory_peak_bytes)
    return _record(wire.STRUCT_EXIT, event.stamp, flags, values)


def _thread(event: ThreadStart | ThreadEnd | ThreadRunning | Rename, birth_tid: int) -> bytes:
    comm = event.comm.encode()[: wire.COMM_MAX - 1]
    return _record(wire.STRUCT_THREAD, event.stamp, 0, (*event[1:6], birth_tid, comm))


def _change(event: CredentialChange | SessionChange | NamespaceChange) -> bytes:
    flags, spaces, groups = 0, (0, 0, 0, 0), b""
    if isinstance(event, CredentialChange):
        flags, groups = wire.GROUPS_CUT if event.cut else 0, pack(f"<{len(event.groups)}I", *event.groups)
    elif isinstance(event, NamespaceChange):
        spaces = event[2:]
    return _record(wire.STRUCT_CHANGE, event.stamp, flags, (*_task(event.task), *spaces), (groups,))


def cgroup(
    stamp: Stamp,
    pid: int,
    hierarchy: int,
    start_ns: int,
    path: str,
    cgroup_id: int = 0,
    *,
    every_hierarchy: bool = False,
) -> bytes:
    """LINEAGE_CGROUP, also as the source itself makes it of a line of /proc/PID/cgroup."""
    flags = (0 if path.startswith("/") else wire.PATH_CUT) | (wire.EVERY_HIERARCHY if every_hierarchy else 0)
    return _record(wire.STRUCT_CGROUP, stamp, flags, (pid, hierarchy, start_ns, cgroup_id), (_path(path)[0],))


def command_line(stamp: Stamp, pid: int, start_ns: int, raw: bytes, total: int) -> bytes:
    """LINEAGE_COMMAND_LINE from the bytes of /proc/PID/cmdline; flagged as cut where ``total`` is more."""
    flags = wire.ARGS_CUT if total > len(raw) else 0
    return _record(wire.STRUCT_COMMAND_LINE, stamp, flags, (pid, start_ns, total), (raw,))


def encode(event: Event) -> bytes:
    """The record of one value. Raises ``struct.error`` where a number does not fit its field."""
    stamp = event.stamp
    match event:
        case Exec():
            return _exec(event)
        case Fork():
            flags = (wire.KERNEL_THREAD if event.kernel_thread else 0) | (wire.FILTERED if event.filtered else 0)
            birth = (event.birth_pid, event.birth_tid, event.birth_start_ns)
            return _record(wire.STRUCT_FORK, stamp, flags, (*_task(event.task), *birth))
        case Exit():
            return _exit(event)
        case Running():
            return _running(event)
        case ThreadStart():
            return _thread(event, event.birth_tid)
        case ThreadEnd() | ThreadRunning() | Rename():
            return _thread(event, 0)
        case CredentialChange() | SessionChange() | NamespaceChange():
            return _change(event)
        case DirectoryChange():
            flags = wire.DIRECTORY_CUT if event.cut else 0
            return _record(wire.STRUCT_DIRECTORY, stamp, flags, event[1:4], (_path(event.path)[0],))
        case Cgroup():
            where = (event.hierarchy, event.start_ns, event.path, event.cgroup_id)
            return cgroup(stamp, event.pid, *where, every_hierarchy=event.every_hierarchy)
        case Container():
            return _record(wire.STRUCT_CONTAINER, stamp, 0, (), (event.id.encode(), orjson.dumps(event.facts)))
        case CommandLine():
            flags = wire.ARGS_CUT if event.cut else 0
            values = (event.pid, event.start_ns, event.args_total_bytes)
            return _record(wire.STRUCT_COMMAND_LINE, stamp, flags, values, (_args(event.args, event.cut),))
        case HostFacts():
            host = (event.boot_id, event.clock_offset_ns, event.pid_ns)
            return _record(wire.STRUCT_HOST, stamp, 0, host, (orjson.dumps(event.facts),))
        case Account():
            flags = wire.ACCOUNT_GROUP if event.is_group else 0
            return _record(wire.STRUCT_ACCOUNT, stamp, flags, (event.id,), (event.name.encode(),))
        case Clock():
            return _record(wire.STRUCT_CLOCK, stamp, 0, (event.offset_ns,))
        case Loss():
            lost = tuple(event.lost.get(kind, 0) for kind in range(wire.LOSS_KINDS))
            return _record(wire.STRUCT_LOSS, stamp, 0, (event.since_ns, *lost))
        case SnapshotBegin() | SnapshotEnd():
            return _record(wire.STRUCT_MARK, stamp, 0, ())
