"""Records (bpf/events.h) to values (pipeline/events.py).

Rules of this file:
- a record that is not what its own header says is counted in ``bad_records`` by reason and left out: never fatal,
  never guessed at. Reasons: short, size, version, kind, time, span, path, facts;
- a time of more than TIME_MAX_NS is one that no host has: nothing else in such a record can be believed either, and it
  would stand for ever as the last that was heard of a process. What is merely out of order, ``order`` looks at;
- every offset that a record names is checked against that record's bounds before it is followed;
- text is UTF-8, and what is no UTF-8 becomes U+FFFD, counted in ``not_utf8``; an empty argument stays an argument;
- this is the hot path, one call a record: tuples are made with ``tuple.__new__`` (half the time of calling the
  NamedTuple); what repeats (names, paths, credentials, sessions) comes out of a bounded cache, as one value.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import orjson

from pipeline import wire
from pipeline.counters import Counters
from pipeline.events import (
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
    Fork,
    HostFacts,
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
from pipeline.sources.files import FILES, LOADERS, PARTIAL, flags_of, path_of
from pipeline.sources.tails import (
    COMMS,
    CREDENTIALS,
    GROUPS,
    PATHS,
    REPLACE,
    SURROUNDINGS,
    BadRecord,
    Replaced,
    arguments,
    partial_path,
    tail,
)

Values = tuple[Any, ...]  # of a STRUCT_: header first

_new = tuple.__new__
_header = wire.STRUCT_HEADER.size
_EXEC_FIXED = wire.STRUCT_EXEC.size
_PARTIAL = PARTIAL | wire.DIRECTORY_CUT

_CUT_BITS = (
    (wire.ARGS_CUT | wire.ARGS_FAULT, "args"),
    (wire.FILENAME_CUT, "filename"),
    (wire.EXECUTABLE_CUT, "executable"),
    (wire.DIRECTORY_CUT, "working_directory"),
    (wire.GROUPS_CUT, "groups"),
)
_CUT_MASK = 0x3F
_RARELY_CUT_BITS = (
    (wire.ENVIRONMENT_CUT | wire.ENVIRONMENT_FAULT, "environment"),
    (wire.SCRIPT_CUT, "script"),
    (wire.INTERPRETER_CUT, "interpreter"),
)
_RARELY_CUT = wire.ENVIRONMENT_CUT | wire.ENVIRONMENT_FAULT | wire.SCRIPT_CUT | wire.INTERPRETER_CUT
CUT = tuple(tuple(name for bits, name in _CUT_BITS if flags & bits) for flags in range(_CUT_MASK + 1))
"""Names of the fields that were cut, by the lowest six bits of a header's flags."""

TIME_MAX_NS = 100 * 366 * 86_400 * 10**9
"""Nanoseconds since boot: a hundred years."""


def _stamp(v: Values) -> Stamp:
    return _new(Stamp, (v[5], v[4], v[6], v[1]))


def _task(v: Values) -> Task:
    return _new(Task, v[7:16] + SURROUNDINGS[v[16]] + (v[17], CREDENTIALS[v[18]], COMMS[v[19]]))


def _fork(record: bytes, v: Values) -> Fork:
    flags = v[3]
    return _new(
        Fork,
        (_stamp(v), _task(v), v[20], v[21], v[22], flags & wire.KERNEL_THREAD != 0, flags & wire.FILTERED != 0),
    )


def _image_paths(record: bytes, v: Values) -> tuple[str, str]:
    """executable, working_directory"""
    executable = tail(record, v[27], v[28], _EXEC_FIXED)
    directory = tail(record, v[29], v[30], _EXEC_FIXED)
    flags = v[3]
    if not flags & _PARTIAL:
        return PATHS[executable], PATHS[directory]
    return (
        path_of(executable, flags),
        partial_path(directory, 0) if flags & wire.DIRECTORY_CUT else PATHS[directory],
    )


@lru_cache(8)
def _rarely_cut(flags: int) -> tuple[str, ...]:
    return tuple(name for bits, name in _RARELY_CUT_BITS if flags & bits)


def _script(record: bytes, v: Values) -> Script:
    interpreter = tail(record, v[35], v[36], _EXEC_FIXED).decode("utf-8", REPLACE)
    path = path_of(tail(record, v[37], v[38], _EXEC_FIXED), flags_of(v[23]))
    return Script(path, interpreter, FILES[v[23]])


def _exec(record: bytes, v: Values) -> Exec:
    executable, directory = _image_paths(record, v)
    flags = v[3]
    cut = CUT[flags & _CUT_MASK]
    if flags & _RARELY_CUT:
        cut += _rarely_cut(flags & _RARELY_CUT)
    loader, loader_cut = LOADERS[v[24] + tail(record, v[41], v[42], _EXEC_FIXED)]
    if loader_cut:
        cut += loader_cut
    return _new(
        Exec,
        (
            _stamp(v),
            _task(v),
            v[20],
            tail(record, v[25], v[26], _EXEC_FIXED).decode("utf-8", REPLACE),
            executable,
            directory,
            arguments(tail(record, v[31], v[32], _EXEC_FIXED)),
            v[21],
            GROUPS[tail(record, v[33], v[34], _EXEC_FIXED)],
            FILES[v[22]],
            flags >> 7 & 7,
            cut,
            _script(record, v) if v[36] or v[38] else None,
            arguments(tail(record, v[39], v[40], _EXEC_FIXED)) if v[40] else (),
            flags & wire.FILTERED != 0,
            loader,
        ),
    )


def _running(record: bytes, v: Values) -> Running:
    executable, directory = _image_paths(record, v)
    loader, loader_cut = LOADERS[v[24] + tail(record, v[41], v[42], _EXEC_FIXED)]
    flags = v[3]
    return Running(
        _stamp(v),
        _task(v),
        executable=executable,
        working_directory=directory,
        groups=GROUPS[tail(record, v[33], v[34], _EXEC_FIXED)],
        file=FILES[v[22]],
        sockets=flags >> 7 & 7,
        kernel_thread=flags & wire.KERNEL_THREAD != 0,
        zombie=flags & wire.ZOMBIE != 0,
        ending=flags & wire.ENDING != 0,
        parent_is_reaper=flags & wire.PARENT_REAPER != 0,
        cut=CUT[flags & _CUT_MASK] + loader_cut,
        filtered=flags & wire.FILTERED != 0,
        loader=loader,
    )


def _exit(record: bytes, v: Values) -> Exit:
    flags = v[3]
    return _new(
        Exit,
        (
            _stamp(v),
            _task(v),
            v[20],
            flags & wire.CORE_DUMPED != 0,
            v[21],
            v[22],
            flags & wire.REAPER_UNKNOWN != 0,
            v[23],
            v[24],
            flags & wire.FILTERED != 0,
        ),
    )


def _thread_start(record: bytes, v: Values) -> ThreadStart:
    return _new(ThreadStart, (_stamp(v), *v[7:13], COMMS[v[13]]))


def _thread_end(record: bytes, v: Values) -> ThreadEnd:
    return _new(ThreadEnd, (_stamp(v), *v[7:12], COMMS[v[13]]))


def _thread_running(record: bytes, v: Values) -> ThreadRunning:
    return _new(ThreadRunning, (_stamp(v), *v[7:12], COMMS[v[13]]))


def _rename(record: bytes, v: Values) -> Rename:
    return _new(Rename, (_stamp(v), *v[7:12], COMMS[v[13]]))


def _credentials(record: bytes, v: Values) -> CredentialChange:
    groups = GROUPS[tail(record, v[24], v[25], wire.STRUCT_CHANGE.size)]
    return CredentialChange(_stamp(v), _task(v), groups, v[3] & wire.GROUPS_CUT != 0)


def _session(record: bytes, v: Values) -> SessionChange:
    return SessionChange(_stamp(v), _task(v))


def _namespaces(record: bytes, v: Values) -> NamespaceChange:
    return NamespaceChange(_stamp(v), _task(v), *v[20:24])


def _directory(record: bytes, v: Values) -> DirectoryChange:
    raw, cut = tail(record, v[10], v[11], wire.STRUCT_DIRECTORY.size), v[3] & wire.DIRECTORY_CUT != 0
    return DirectoryChange(_stamp(v), v[7], v[8], v[9], partial_path(raw, 0) if cut else PATHS[raw], cut)


def _cgroup(record: bytes, v: Values) -> Cgroup:
    raw, flags = tail(record, v[11], v[12], wire.STRUCT_CGROUP.size), v[3]
    path = partial_path(raw, 0) if flags & wire.PATH_CUT else PATHS[raw]
    return Cgroup(_stamp(v), v[7], v[8], v[9], v[10], path, flags & wire.EVERY_HIERARCHY != 0)


def _container(record: bytes, v: Values) -> Container:
    name = tail(record, v[7], v[8], wire.STRUCT_CONTAINER.size).decode("utf-8", REPLACE)
    return Container(_stamp(v), name, _json(tail(record, v[9], v[10], wire.STRUCT_CONTAINER.size)))


def _json(raw: bytes) -> dict[str, Any]:
    try:
        facts = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRecord("facts") from error
    if not isinstance(facts, dict):
        raise BadRecord("facts")
    return facts


def _host(record: bytes, v: Values) -> HostFacts:
    boot_id, offset, pid_ns = v[7:10]
    facts = _json(tail(record, v[10], v[11], wire.STRUCT_HOST.size))
    if not all(isinstance(value, dict) for value in facts.values()):
        raise BadRecord("facts")  # host, agent: objects, which documents take parts of
    return HostFacts(_stamp(v), boot_id, offset, pid_ns, facts)


def _account(record: bytes, v: Values) -> Account:
    name = tail(record, v[8], v[9], wire.STRUCT_ACCOUNT.size).decode("utf-8", REPLACE)
    return Account(_stamp(v), v[3] & wire.ACCOUNT_GROUP != 0, v[7], name)


def _command_line(record: bytes, v: Values) -> CommandLine:
    args = arguments(tail(record, v[10], v[11], wire.STRUCT_COMMAND_LINE.size))
    return CommandLine(_stamp(v), v[7], v[8], args, v[9], v[3] & wire.ARGS_CUT != 0)


def _clock(record: bytes, v: Values) -> Clock:
    return Clock(_stamp(v), v[7])


def _loss(record: bytes, v: Values) -> Loss:
    return Loss(_stamp(v), v[7], {kind: lost for kind, lost in enumerate(v[8:]) if lost})


def _snapshot_begin(record: bytes, v: Values) -> SnapshotBegin:
    return SnapshotBegin(_stamp(v))


def _snapshot_end(record: bytes, v: Values) -> SnapshotEnd:
    return SnapshotEnd(_stamp(v))


_DECODERS: dict[bytes, tuple[Callable[[bytes], Values], Callable[[bytes, Values], Event]]] = {
    kind.to_bytes(2, "little"): (layout.unpack_from, make)
    for kind, layout, make in (
        (wire.FORK, wire.STRUCT_FORK, _fork),
        (wire.EXEC, wire.STRUCT_EXEC, _exec),
        (wire.EXIT, wire.STRUCT_EXIT, _exit),
        (wire.THREAD_START, wire.STRUCT_THREAD, _thread_start),
        (wire.THREAD_END, wire.STRUCT_THREAD, _thread_end),
        (wire.RUNNING, wire.STRUCT_EXEC, _running),
        (wire.RENAME, wire.STRUCT_THREAD, _rename),
        (wire.CREDENTIALS, wire.STRUCT_CHANGE, _credentials),
        (wire.SESSION, wire.STRUCT_CHANGE, _session),
        (wire.NAMESPACES, wire.STRUCT_CHANGE, _namespaces),
        (wire.DIRECTORY, wire.STRUCT_DIRECTORY, _directory),
        (wire.CGROUP, wire.STRUCT_CGROUP, _cgroup),
        (wire.THREAD_RUNNING, wire.STRUCT_THREAD, _thread_running),
        (wire.HOST, wire.STRUCT_HOST, _host),
        (wire.ACCOUNT, wire.STRUCT_ACCOUNT, _account),
        (wire.COMMAND_LINE, wire.STRUCT_COMMAND_LINE, _command_line),
        (wire.CLOCK, wire.STRUCT_CLOCK, _clock),
        (wire.LOSS, wire.STRUCT_LOSS, _loss),
        (wire.SNAPSHOT_END, wire.STRUCT_MARK, _snapshot_end),
        (wire.SNAPSHOT_BEGIN, wire.STRUCT_MARK, _snapshot_begin),
        (wire.CONTAINER, wire.STRUCT_CONTAINER, _container),
    )
}
"""By the bytes of header.kind."""


def decode(record: bytes) -> Event:
    """One record's value. Raises ``BadRecord`` where the record is not what its header says."""
    try:
        unpack_fixed, make = _DECODERS[record[4:6]]
        values = unpack_fixed(record)
    except KeyError as error:
        raise BadRecord("short" if len(record) < _header else "kind") from error
    except struct.error as error:
        raise BadRecord("short") from error
    if values[0] != len(record):
        raise BadRecord("size")
    if values[2] != wire.WIRE_VERSION:
        raise BadRecord("version")
    if values[5] > TIME_MAX_NS:
        raise BadRecord("time")
    return make(record, values)


def decode_cgroup(record: bytes) -> Cgroup:
    """The value of a LINEAGE_CGROUP. Raises ``BadRecord``."""
    return _cgroup(record, wire.STRUCT_CGROUP.unpack_from(record))


def decode_batch(batch: Iterable[bytes], counters: Counters) -> list[Event]:
    """The values of a batch in its order. Bad records are left out and counted in ``bad_records``."""
    events: list[Event] = []
    append = events.append
    before = Replaced.count
    for record in batch:
        try:
            append(decode(record))
        except BadRecord as bad:
            counters.bad_records[bad.reason] += 1
    counters.not_utf8 += Replaced.count - before
    return events
