"""What a source tells, as Python values: no kernel types, no bytes, nothing that changes.

Units: times in nanoseconds since boot (``_ns``), ids as the host's own pid namespace counts them unless the name says
``ns_``. Strings are already text: bytes that were no UTF-8 are U+FFFD. A value says when it was cut; none is guessed.
The records they come from are defined in ``bpf/events.h``; ``sources/decode.py`` turns one into the other.

Tuples, because a stream has one of these a record and a tuple is the cheapest immutable value Python builds.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Stamp(NamedTuple):
    """When and where a record was made; (cpu, sequence) is unique among records of one kind of source."""

    time_ns: int
    cpu: int
    sequence: int
    kind: int  # enum lineage_kind


class Task(NamedTuple):
    """What was true of a process at the instant of the record (struct lineage_task)."""

    pid: int
    tid: int
    start_ns: int  # of the thread group leader: with pid, the identity
    thread_start_ns: int
    parent_pid: int  # who would reap it now; the birth parent is Fork.birth_pid
    ns_pid: int  # in the innermost pid namespace
    parent_start_ns: int
    ns_tid: int
    pid_ns: int
    mnt_ns: int
    net_ns: int
    cgroup_ns: int
    tty: int  # (major << 20) | minor; 0: none
    session_id: int
    group_id: int
    session_start_ns: int  # 0: that leader is gone
    group_start_ns: int
    cgroup_id: int
    uid: int
    gid: int
    suid: int
    sgid: int
    euid: int
    egid: int
    fsuid: int
    fsgid: int
    cap_permitted: int
    cap_effective: int
    comm: str


class Fork(NamedTuple):
    """A process was born. ``birth_*`` is who called fork or clone, also under CLONE_PARENT."""

    stamp: Stamp
    task: Task
    birth_pid: int
    birth_tid: int
    birth_start_ns: int
    kernel_thread: bool


class Exec(NamedTuple):
    """A process took a new image. ``args`` is argv as the kernel laid it out, cut at 16 KiB."""

    stamp: Stamp
    task: Task
    old_tid: int  # differs from pid when a thread other than the leader called exec
    filename: str  # as asked for
    executable: str  # resolved, as the process sees it; "" when there is none
    working_directory: str
    args: tuple[str, ...]
    args_total_bytes: int  # before any cut
    groups: tuple[int, ...]
    inode: int
    device: int
    mode: int
    sockets: int  # bits 0, 1, 2: that file descriptor is a socket
    cut: tuple[str, ...]  # which of args, filename, executable, working_directory, groups were cut


class Exit(NamedTuple):
    """A whole process ended. ``status`` as wait(2) gives it: code << 8 | signal."""

    stamp: Stamp
    task: Task
    status: int
    core_dumped: bool


class ThreadStart(NamedTuple):
    stamp: Stamp
    pid: int
    tid: int
    start_ns: int
    thread_start_ns: int
    ns_tid: int
    birth_tid: int
    comm: str


class ThreadEnd(NamedTuple):
    """One thread ended; its process lives on."""

    stamp: Stamp
    pid: int
    tid: int
    start_ns: int
    thread_start_ns: int
    ns_tid: int
    comm: str


class Running(NamedTuple):
    """A process that the snapshot found. Its argv comes in a CommandLine of its own, before or after."""

    stamp: Stamp
    task: Task
    executable: str
    working_directory: str
    groups: tuple[int, ...]
    inode: int
    device: int
    mode: int
    sockets: int
    kernel_thread: bool
    zombie: bool
    parent_is_reaper: bool  # the parent is an init or a subreaper: an adoption may hide the birth parent
    cut: tuple[str, ...]


class CommandLine(NamedTuple):
    """argv of a process older than the source, from /proc."""

    stamp: Stamp
    pid: int
    start_ns: int
    args: tuple[str, ...]
    args_total_bytes: int
    cut: bool


class HostFacts(NamedTuple):
    """First record of every stream. ``facts`` is host.* and agent.* as documents carry them."""

    stamp: Stamp
    boot_id: bytes  # 16 bytes
    clock_offset_ns: int  # Unix time = time since boot + offset
    pid_ns: int  # inode of the initial pid namespace
    facts: dict[str, Any]


class Account(NamedTuple):
    """The name of a user or of a group."""

    stamp: Stamp
    is_group: bool
    id: int
    name: str


class Clock(NamedTuple):
    """The wall clock was stepped; the new offset holds for later instants only."""

    stamp: Stamp
    offset_ns: int


class Loss(NamedTuple):
    """Records that the kernel could not hand over between ``since_ns`` and ``stamp.time_ns``, by kind."""

    stamp: Stamp
    since_ns: int
    lost: dict[int, int]


class SnapshotEnd(NamedTuple):
    """Every process that the snapshot found has been told."""

    stamp: Stamp


ProcessEvent = Fork | Exec | Exit | ThreadStart | ThreadEnd | Running | CommandLine | Loss | SnapshotEnd
"""What the tree takes."""

Fact = HostFacts | Account | Clock
"""What the tables of ``enrich`` take. HostFacts and nothing else also reaches the tree: identities hang on the boot."""

Event = ProcessEvent | Fact
