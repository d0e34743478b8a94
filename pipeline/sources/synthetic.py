"""Streams made up for tests and benchmarks: the same records that a kernel would give, without one.

Rules of this file:
- a stream is deterministic: the same calls give the same bytes;
- it begins as every source's does: LINEAGE_HOST, then whatever the caller adds;
- time moves on by ``step_ns`` with every record, so that no two records have the same instant.

    stream = Synthetic()
    init = stream.running("/usr/lib/systemd/systemd", pid=1)
    nginx = stream.spawn(init, "/usr/sbin/nginx", ("nginx", "-g", "daemon off;"))
    stream.exit(nginx)
    events = decode_batch(stream.records, counters)
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline import wire
from pipeline.events import (
    NO_FILE,
    Account,
    Clock,
    CommandLine,
    CredentialChange,
    Credentials,
    Event,
    Exec,
    Exit,
    File,
    Fork,
    HostFacts,
    Loader,
    Loss,
    Namespaces,
    Rename,
    Running,
    Session,
    SnapshotBegin,
    SnapshotEnd,
    Stamp,
    Task,
    ThreadEnd,
    ThreadStart,
)
from pipeline.sources.encode import encode

BOOT_ID = bytes.fromhex("5f3c0a6de1b24f0f9a9d0d5f4f0c8a11")
FILE = File(inode=42, device=8 << 20 | 1, mode=0o100755, links=1)
LOADER = Loader("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", FILE._replace(inode=43))
PID_NS = 4026531836  # PROC_PID_INIT_INO, the inode of the first pid namespace
OFFSET_NS = 1_700_000_000_000_000_000
FACTS: dict[str, Any] = {
    "host": {
        "name": "web-1",
        "hostname": "web-1",
        "id": "0123456789abcdef0123456789abcdef",
        "boot": {"id": "5f3c0a6d-e1b2-4f0f-9a9d-0d5f4f0c8a11"},
        "pid_ns_ino": str(PID_NS),
        "architecture": "x86_64",
        "ip": ["192.0.2.10"],
        "mac": ["00-00-5E-00-53-01"],
        "os": {
            "type": "linux",
            "platform": "debian",
            "family": "debian",
            "name": "Debian GNU/Linux",
            "full": "Debian GNU/Linux 12 (bookworm)",
            "version": "12",
            "kernel": "6.1.0",
        },
    },
    "agent": {"type": "lineage", "version": "0", "id": "0f7c9ab1", "name": "web-1"},
}


@dataclass(slots=True)
class Process:
    """What the stream last said about a process; change a field to make the next record say otherwise."""

    pid: int
    start_ns: int
    parent: Process | None
    birth: Process | None  # who called fork; ``parent`` is who would reap it
    comm: str
    executable: str
    args: tuple[str, ...] = ()
    working_directory: str = "/"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    tty: int = 0
    session: Process | None = None  # None: itself
    group: Process | None = None
    ns_pid: int = 0  # 0: the same as pid
    pid_ns: int = PID_NS
    cgroup_id: int = 1
    exec_id: int = 1
    sockets: int = 0

    def task(self, tid: int = 0, thread_start_ns: int = 0) -> Task:
        session, group = self.session or self, self.group or self
        return Task(
            pid=self.pid,
            tid=tid or self.pid,
            start_ns=self.start_ns,
            thread_start_ns=thread_start_ns or self.start_ns,
            parent_pid=self.parent.pid if self.parent else 0,
            ns_pid=self.ns_pid or self.pid,
            parent_start_ns=self.parent.start_ns if self.parent else 0,
            ns_tid=tid or self.ns_pid or self.pid,
            pid_ns=self.pid_ns,
            namespaces=Namespaces(4026531841, 4026531840, 4026531835),
            session=Session(self.tty, session.pid, group.pid, session.start_ns, group.start_ns),
            cgroup_id=self.cgroup_id,
            exec_id=self.exec_id,
            credentials=Credentials(
                *(self.uid, self.gid) * 4,
                user_ns=4026531837,
                cap_permitted=0 if self.uid else 0x1FFFFFFFFFF,
                cap_effective=0 if self.uid else 0x1FFFFFFFFFF,
                cap_bounding=0x1FFFFFFFFFF,
            ),
            comm=self.comm,
        )


class Synthetic:
    """Collects ``events`` and, the same as bytes, ``records``."""

    def __init__(
        self,
        *,
        facts: dict[str, Any] | None = None,
        boot_id: bytes = BOOT_ID,
        now_ns: int = 10**12,
        step_ns: int = 1000,
    ) -> None:
        self.now_ns = now_ns
        self.step_ns = step_ns
        self.next_pid = 1000
        self.events: list[Event] = []
        self._sequence = 0
        self.add(HostFacts(self._stamp(wire.HOST), boot_id, OFFSET_NS, PID_NS, FACTS if facts is None else facts))

    @property
    def records(self) -> list[bytes]:
        return [encode(event) for event in self.events]

    def add(self, event: Event) -> None:
        self.events.append(event)

    def _stamp(self, kind: int) -> Stamp:
        self.now_ns += self.step_ns
        self._sequence += 1
        return Stamp(self.now_ns, 0, self._sequence, kind)

    def _pid(self, pid: int | None) -> int:
        if pid is not None:
            return pid
        self.next_pid += 1
        return self.next_pid

    def account(self, number: int, name: str, *, group: bool = False) -> None:
        self.add(Account(self._stamp(wire.ACCOUNT), group, number, name))

    def running(
        self,
        executable: str,
        args: tuple[str, ...] | None = None,
        *,
        parent: Process | None = None,
        pid: int | None = None,
        start_ns: int | None = None,
        kernel_thread: bool = False,
        zombie: bool = False,
        parent_is_reaper: bool | None = None,
        **fields: Any,
    ) -> Process:
        """A process that the snapshot found, and its command line. Pid 1 is a reaper."""
        stamp = self._stamp(wire.RUNNING)
        name = os.path.basename(executable)
        process = Process(
            pid=self._pid(pid),
            start_ns=stamp.time_ns - 10**9 if start_ns is None else start_ns,
            parent=parent,
            birth=None,
            comm=name[: wire.COMM_MAX - 1],
            executable="" if kernel_thread else executable,
            args=(name,) if args is None else args,
            **fields,
        )
        if parent_is_reaper is None:
            parent_is_reaper = parent is not None and parent.pid == 1
        self.add(
            Running(
                stamp,
                process.task(),
                process.executable,
                "" if kernel_thread else process.working_directory,
                process.groups,
                file=NO_FILE if kernel_thread else FILE,
                sockets=process.sockets,
                kernel_thread=kernel_thread,
                zombie=zombie,
                parent_is_reaper=parent_is_reaper,
                cut=(),
                loader=None if kernel_thread else LOADER,
            )
        )
        if not kernel_thread and not zombie:
            total = sum(len(argument.encode()) + 1 for argument in process.args)
            line = self._stamp(wire.COMMAND_LINE)
            self.add(CommandLine(line, process.pid, process.start_ns, process.args, total, cut=False))
        return process

    def snapshot_begin(self) -> None:
        """For a walk after the first, which may begin without."""
        self.add(SnapshotBegin(self._stamp(wire.SNAPSHOT_BEGIN)))

    def snapshot_end(self) -> None:
        self.add(SnapshotEnd(self._stamp(wire.SNAPSHOT_END)))

    def fork(
        self,
        birth: Process,
        *,
        parent: Process | None = None,
        pid: int | None = None,
        kernel_thread: bool = False,
        **fields: Any,
    ) -> Process:
        """``birth`` forks. ``parent`` is another where it is not who would reap the child (CLONE_PARENT)."""
        stamp = self._stamp(wire.FORK)
        inherited: dict[str, Any] = {
            "comm": birth.comm,
            "executable": birth.executable,
            "args": birth.args,
            "working_directory": birth.working_directory,
            "uid": birth.uid,
            "gid": birth.gid,
            "groups": birth.groups,
            "tty": birth.tty,
            "session": birth.session or birth,
            "group": birth.group or birth,
            "pid_ns": birth.pid_ns,
            "cgroup_id": birth.cgroup_id,
            "exec_id": birth.exec_id,
            "sockets": birth.sockets,
        }
        child = Process(
            pid=self._pid(pid), start_ns=stamp.time_ns - 1, parent=parent or birth, birth=birth, **(inherited | fields)
        )
        self.add(Fork(stamp, child.task(), birth.pid, birth.pid, birth.start_ns, kernel_thread))
        return child

    def exec(
        self,
        process: Process,
        executable: str,
        args: tuple[str, ...] | None = None,
        *,
        filename: str | None = None,
        working_directory: str | None = None,
        old_tid: int | None = None,
        args_total_bytes: int | None = None,
        cut: tuple[str, ...] = (),
    ) -> None:
        filename = executable if filename is None else filename
        process.executable = executable
        process.exec_id += 1
        process.args = (os.path.basename(filename),) if args is None else args
        process.comm = os.path.basename(filename)[: wire.COMM_MAX - 1]
        if working_directory is not None:
            process.working_directory = working_directory
        total = sum(len(argument.encode()) + 1 for argument in process.args)
        self.add(
            Exec(
                self._stamp(wire.EXEC),
                process.task(),
                process.pid if old_tid is None else old_tid,
                filename,
                executable,
                process.working_directory,
                process.args,
                total if args_total_bytes is None else args_total_bytes,
                process.groups,
                file=FILE,
                sockets=process.sockets,
                cut=cut,
                loader=LOADER,
            )
        )

    def spawn(self, birth: Process, executable: str, args: tuple[str, ...] | None = None, **fields: Any) -> Process:
        """Fork and exec at once."""
        child = self.fork(birth, **fields)
        self.exec(child, executable, args)
        return child

    def exit(self, process: Process, status: int = 0, *, core_dumped: bool = False) -> None:
        self.add(Exit(self._stamp(wire.EXIT), process.task(), status, core_dumped))

    def thread_start(self, process: Process, *, tid: int | None = None) -> tuple[int, int]:
        """A thread's (tid, start in ns)."""
        stamp = self._stamp(wire.THREAD_START)
        tid = self._pid(tid)
        start_ns = stamp.time_ns - 1
        self.add(ThreadStart(stamp, process.pid, tid, process.start_ns, start_ns, tid, process.pid, process.comm))
        return tid, start_ns

    def thread_end(self, process: Process, tid: int, thread_start_ns: int) -> None:
        stamp = self._stamp(wire.THREAD_END)
        self.add(ThreadEnd(stamp, process.pid, tid, process.start_ns, thread_start_ns, tid, process.comm))

    def rename(self, process: Process) -> None:
        """Its ``comm`` is another one now."""
        stamp = self._stamp(wire.RENAME)
        pid, start_ns = process.pid, process.start_ns
        self.add(Rename(stamp, pid, pid, start_ns, start_ns, process.ns_pid or pid, process.comm))

    def new_credentials(self, process: Process) -> None:
        """Its users or groups are others now."""
        self.add(CredentialChange(self._stamp(wire.CREDENTIALS), process.task(), process.groups, cut=False))

    def loss(self, lost: dict[int, int], *, since_ns: int = 0) -> None:
        self.add(Loss(self._stamp(wire.LOSS), since_ns, lost))

    def clock(self, offset_ns: int) -> None:
        self.add(Clock(self._stamp(wire.CLOCK), offset_ns))

    def storm(
        self, root: Process, chains: int, images: Iterable[str] = ("/usr/sbin/nginx", "/usr/bin/bash", "/usr/bin/curl")
    ) -> None:
        """``chains`` times one process after the other, each born of the one before, which ends before its exec."""
        for number in range(chains):
            birth, before = root, None
            for executable in images:
                child = self.fork(birth)
                if before is not None:
                    self.exit(before)
                self.exec(child, executable, (os.path.basename(executable), "--number", str(number)))
                birth = before = child
            if before is not None:
                self.exit(before)
