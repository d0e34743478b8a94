"""Values (pipeline/events.py) to records (bpf/events.h): the other direction of ``decode``.

Rules of this file:
- ``decode(encode(event)) == event`` for every value whose text is UTF-8 (tested);
- the source makes its own records with it (host, accounts, command lines, clock, loss, mark), and tests and
  benchmarks the kernel's; nothing is cut here, a value that says ``cut`` is written as it is.
"""

from __future__ import annotations

from struct import Struct, pack

import orjson

from pipeline import wire
from pipeline.events import (
    Account,
    Clock,
    CommandLine,
    Event,
    Exec,
    Exit,
    Fork,
    HostFacts,
    Loss,
    Running,
    SnapshotEnd,
    Stamp,
    Task,
    ThreadEnd,
    ThreadStart,
)

_CUT_FLAGS = {
    "args": wire.ARGS_CUT,
    "filename": wire.FILENAME_CUT,
    "executable": wire.EXECUTABLE_CUT,
    "working_directory": wire.DIRECTORY_CUT,
    "groups": wire.GROUPS_CUT,
}


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


def _task(task: Task) -> tuple[object, ...]:
    return (*task[:-1], task.comm.encode()[: wire.COMM_MAX - 1])


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


def _image_flags(event: Exec | Running) -> int:
    return event.sockets << 7 | sum(_CUT_FLAGS[name] for name in event.cut)


def _image(event: Exec | Running, old_tid: int, args_total: int, filename: bytes, args: bytes, flags: int) -> bytes:
    executable, pseudo = _path(event.executable)
    flags |= wire.EXECUTABLE_PSEUDO if pseudo else 0
    values = (*_task(event.task), old_tid, args_total, event.inode, event.device, event.mode)
    groups = pack(f"<{len(event.groups)}I", *event.groups)
    tails = (filename, executable, _path(event.working_directory)[0], args, groups)
    return _record(wire.STRUCT_EXEC, event.stamp, flags, values, tails)


def _exec(event: Exec) -> bytes:
    args = _args(event.args, "args" in event.cut)
    return _image(event, event.old_tid, event.args_total_bytes, event.filename.encode(), args, _image_flags(event))


def _running(event: Running) -> bytes:
    flags = _image_flags(event)
    flags |= wire.KERNEL_THREAD if event.kernel_thread else 0
    flags |= wire.ZOMBIE if event.zombie else 0
    flags |= wire.PARENT_REAPER if event.parent_is_reaper else 0
    return _image(event, 0, 0, b"", b"", flags)


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
            flags = wire.KERNEL_THREAD if event.kernel_thread else 0
            birth = (event.birth_pid, event.birth_tid, event.birth_start_ns)
            return _record(wire.STRUCT_FORK, stamp, flags, (*_task(event.task), *birth))
        case Exit():
            flags = wire.CORE_DUMPED if event.core_dumped else 0
            return _record(wire.STRUCT_EXIT, stamp, flags, (*_task(event.task), event.status))
        case Running():
            return _running(event)
        case ThreadStart():
            return _record(wire.STRUCT_THREAD, stamp, 0, (*event[1:7], event.comm.encode()[: wire.COMM_MAX - 1]))
        case ThreadEnd():
            return _record(wire.STRUCT_THREAD, stamp, 0, (*event[1:6], 0, event.comm.encode()[: wire.COMM_MAX - 1]))
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
        case SnapshotEnd():
            return _record(wire.STRUCT_MARK, stamp, 0, ())
