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


class Credentials(NamedTuple):
    uid: int
    gid: int
    suid: int
    sgid: int
    euid: int
    egid: int
    fsuid: int
    fsgid: int
    securebits: int = 0
    user_ns: int = 0  # inode of the namespace that the ids and capabilities count in; 0: not told
    cap_inheritable: int = 0
    cap_permitted: int = 0
    cap_effective: int = 0
    cap_bounding: int = 0
    cap_ambient: int = 0
    groups: tuple[int, ...] = ()  # supplementary; a Task does not tell them, records that do have them beside it


class Namespaces(NamedTuple):
    """Inodes of a process's namespaces beside those of pids and users; 0: not told."""

    mnt: int = 0
    net: int = 0
    cgroup: int = 0
    uts: int = 0
    ipc: int = 0
    time: int = 0
    children_pid: int = 0  # the pid namespace that its next child is born in, where that is another one


class Session(NamedTuple):
    """Terminal, session and process group. Of the whole process, and a fork has its parent's."""

    tty: int = 0  # (major << 20) | minor; 0: none
    id: int = 0  # pid of the session's leader
    group_id: int = 0
    start_ns: int = 0  # of the session's leader; 0: that one was gone when first told of
    group_start_ns: int = 0

    def filled_from(self, before: Session) -> Session:
        """A record does not tell the start of a leader that is gone. What is known of it by the value before stands: a
        number is not used again while anyone is in the session or group."""
        tty, leader, group, start_ns, group_start_ns = self
        if start_ns and group_start_ns:
            return self
        if start_ns == 0 and leader == before.id:
            start_ns = before.start_ns
        if group_start_ns == 0 and group == before.group_id:
            group_start_ns = before.group_start_ns
        filled = Session(tty, leader, group, start_ns, group_start_ns)
        return before if filled == before else filled  # kept once


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
    namespaces: Namespaces  # of mounts, network and cgroups; the others are told by their own records
    session: Session
    cgroup_id: int
    exec_id: int  # grows by one with each exec, and a child begins with its parent's
    credentials: Credentials  # without groups
    comm: str


class File(NamedTuple):
    """What an executable, a script or a loader is, beside its path. ``traits``: words of TRAITS, in that order."""

    inode: int = 0
    device: int = 0  # of the superblock, (major << 20) | minor; on an overlay, the overlay's
    mode: int = 0
    links: int = 0  # hard links; 0: its name was removed
    modified_ns: int = 0  # Unix times
    changed_ns: int = 0
    traits: tuple[str, ...] = ()


NO_FILE = File()


class Script(NamedTuple):
    """A script's own file; the executable is what interprets it."""

    path: str  # resolved, as the process sees it; "" where it could not be found
    interpreter: str  # as the script names it
    file: File = NO_FILE


class Loader(NamedTuple):
    """What the kernel mapped beside the executable to load it (PT_INTERP), as ld-linux.so."""

    path: str  # resolved, as the process sees it
    file: File


TRAITS = ("deleted", "detached", "memfd", "upper_layer", "setuid", "setgid", "capabilities", "script")
"""deleted: no name leads to it any more; detached: on a mount that no path of the process leads to, so that its own
path has no beginning; memfd: it never had one; upper_layer: written inside a container, not part of its image; setuid,
setgid: of its mode; capabilities: the file gave some; script: it interprets the file asked for."""


class Fork(NamedTuple):
    """A process was born. ``birth_*`` is who called fork or clone, also under CLONE_PARENT."""

    stamp: Stamp
    task: Task
    birth_pid: int
    birth_tid: int
    birth_start_ns: int
    kernel_thread: bool
    filtered: bool = False  # by the configuration: no document, and no more detail than lineages need


class Exec(NamedTuple):
    """A process took a new image. ``args`` is argv as the kernel laid it out, cut at 16 KiB."""

    stamp: Stamp
    task: Task
    old_tid: int  # differs from pid when a thread other than the leader called exec
    filename: str  # as asked for
    executable: str  # resolved, as the process sees it; "" when there is none; a script's interpreter
    working_directory: str
    args: tuple[str, ...]
    args_total_bytes: int  # before any cut
    groups: tuple[int, ...]
    file: File
    sockets: int  # bits 0, 1, 2: that file descriptor is a socket
    cut: tuple[str, ...]  # which of its fields, and of script's: interpreter, or script for the path
    script: Script | None = None  # None: no script
    environment: tuple[str, ...] = ()  # NAME=value of the allowed names
    filtered: bool = False
    loader: Loader | None = None  # None: a static program; or, where ``cut`` has it, it was not found


class Exit(NamedTuple):
    """A whole process ended. ``status`` as wait(2) gives it: code << 8 | signal."""

    stamp: Stamp
    task: Task
    status: int
    core_dumped: bool
    reaper_pid: int = 0  # who adopts its children; 0: nobody, they end with it
    reaper_start_ns: int = 0
    reaper_unknown: bool = False  # it has more ancestors than were looked at
    cpu_ns: int = 0
    memory_peak_bytes: int = 0
    filtered: bool = False


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


class ThreadRunning(NamedTuple):
    """A thread that the snapshot found, other than the leader of its group."""

    stamp: Stamp
    pid: int
    tid: int
    start_ns: int
    thread_start_ns: int
    ns_tid: int
    comm: str


class Rename(NamedTuple):
    """A thread has another comm: by prctl, or somebody wrote it."""

    stamp: Stamp
    pid: int
    tid: int
    start_ns: int
    thread_start_ns: int
    ns_tid: int
    comm: str  # the new one


class CredentialChange(NamedTuple):
    """A thread has other users, groups, capabilities or securebits; the state after the change."""

    stamp: Stamp
    task: Task
    groups: tuple[int, ...]
    cut: bool  # more groups than are told


class SessionChange(NamedTuple):
    """setsid, setpgid: the state after the change."""

    stamp: Stamp
    task: Task


class NamespaceChange(NamedTuple):
    """setns, unshare: the state after the change. And, behind a birth or an exec, what that did not tell."""

    stamp: Stamp
    task: Task
    uts_ns: int
    ipc_ns: int
    time_ns_inode: int  # of its time namespace
    children_pid_ns: int


class DirectoryChange(NamedTuple):
    """chdir, fchdir, chroot, pivot_root: the working directory as the process sees it from now on."""

    stamp: Stamp
    pid: int
    tid: int
    start_ns: int
    path: str
    cut: bool


class Cgroup(NamedTuple):
    """Where a process is in one cgroup hierarchy, or in all."""

    stamp: Stamp
    pid: int
    hierarchy: int  # 0: the unified one
    start_ns: int
    cgroup_id: int  # 0: not told
    path: str
    every_hierarchy: bool = False  # true of every one, but for those that are told after it


class Running(NamedTuple):
    """A process that the snapshot found. Its argv comes in a CommandLine of its own, before or after."""

    stamp: Stamp
    task: Task
    executable: str
    working_directory: str
    groups: tuple[int, ...]
    file: File
    sockets: int
    kernel_thread: bool
    zombie: bool
    parent_is_reaper: bool  # the parent is an init or a subreaper: an adoption may hide the birth parent
    cut: tuple[str, ...]
    filtered: bool = False
    ending: bool = False  # in its last moments: its end was told just now, or will be
    loader: Loader | None = None  # as of Exec


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


class Container(NamedTuple):
    """What the container runtime says of a container: ECS container.* and orchestrator.*."""

    stamp: Stamp
    id: str
    facts: dict[str, Any]


class SnapshotBegin(NamedTuple):
    """What lives at this moment, and still at the end, will be told before the end."""

    stamp: Stamp


class SnapshotEnd(NamedTuple):
    """Every process that the snapshot found has been told."""

    stamp: Stamp


Change = Rename | CredentialChange | SessionChange | NamespaceChange | DirectoryChange | Cgroup
"""What a living process changes about itself."""

ProcessEvent = (
    Fork
    | Exec
    | Exit
    | ThreadStart
    | ThreadEnd
    | ThreadRunning
    | Change
    | Running
    | CommandLine
    | Loss
    | SnapshotBegin
    | SnapshotEnd
)
"""What the tree takes."""

Fact = HostFacts | Account | Clock | Container
"""What the tables of ``enrich`` take. HostFacts and nothing else also reaches the tree: identities hang on the boot."""

Event = ProcessEvent | Fact
