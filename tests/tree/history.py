"""A history told to a tree, one event after the other, in as few words as a test needs.

A ``Who`` is what the kernel would say of a process now; change a field and the next record says otherwise.
Time moves by 1000 ns with each event unless ``at`` says when.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pipeline import wire
from pipeline.counters import Counters
from pipeline.events import (
    Cgroup,
    CommandLine,
    CredentialChange,
    Credentials,
    DirectoryChange,
    Exec,
    Exit,
    File,
    Fork,
    HostFacts,
    Loader,
    Loss,
    NamespaceChange,
    Namespaces,
    ProcessEvent,
    Rename,
    Running,
    Script,
    Session,
    SessionChange,
    SnapshotBegin,
    SnapshotEnd,
    Stamp,
    Task,
    ThreadEnd,
    ThreadRunning,
    ThreadStart,
)
from pipeline.process import ProcessVersion
from pipeline.tree import ProcessTree
from pipeline.tree.routes import Source
from pipeline.tree.tree import TEXTS_MAX_BYTES

BOOT = b"0123456789abcdef"
PID_NS = 4026531836
STEP_NS = 1000
FILE = File(7, 8, 0o755, 1)
LOADERS = (None, Loader("/lib64/ld.so", File(9, 8, 0o755, 1)), Loader("/lib/ld-musl.so", File(10, 8, 0o755, 1)))
SYSTEMD, BASH = "/usr/lib/systemd/systemd", "/usr/bin/bash"


def loader_of(executable: str) -> Loader | None:
    """Not the same for all programs, and for a program always the same."""
    return LOADERS[len(executable) % len(LOADERS)]


@dataclass
class Who:
    pid: int
    start_ns: int
    parent: Who | None = None
    comm: str = "init"
    session: tuple[int, int] = (0, 0)
    group: tuple[int, int] = (0, 0)
    uid: int = 0
    tty: int = 0
    tid: int = 0
    ns_pid: int = 0
    caps: int = 0
    exec_id: int = 1
    birth_exec_id: int = 0
    groups: tuple[int, ...] = ()
    mnt_ns: int = 2
    pid_ns: int = PID_NS
    cgroup_id: int = 99

    @property
    def key(self) -> tuple[int, int]:
        return self.pid, self.start_ns

    def task(self) -> Task:
        parent = self.parent.key if self.parent else (0, 0)
        uid, tid = self.uid, self.tid or self.pid
        return Task(
            self.pid,
            tid,
            self.start_ns,
            self.start_ns if tid == self.pid else self.start_ns + tid,
            parent[0],
            self.ns_pid or self.pid,
            parent[1],
            tid,
            self.pid_ns,
            Namespaces(self.mnt_ns, 3, 4),
            Session(self.tty, self.session[0], self.group[0], self.session[1], self.group[1]),
            self.cgroup_id,
            self.exec_id,
            Credentials(*(uid,) * 8, user_ns=5, cap_permitted=self.caps, cap_effective=self.caps),
            self.comm,
        )


class History:
    def __init__(
        self,
        processes_max: int = 100,
        threads_max: int = 100,
        *,
        versions_max: int = 256,
        artifacts_max: int = 64,
        texts_max_bytes: int = TEXTS_MAX_BYTES,
        source: Source = "both",
        boot: bool = True,
    ) -> None:
        self.counters = Counters()
        self.tree = ProcessTree(
            processes_max,
            threads_max,
            self.counters,
            versions_max=versions_max,
            artifacts_max=artifacts_max,
            texts_max_bytes=texts_max_bytes,
            source=source,
        )
        self.now_ns = 1_000_000
        self.next_pid = 100
        self.names: dict[tuple[int, int], str] = {}  # of threads beside the leader, by tid and start
        if boot:
            self.boots()

    @property
    def bad(self) -> dict[str, int]:
        return dict(self.counters.bad_transitions)

    def tell(self, event: ProcessEvent | HostFacts) -> ProcessVersion | None:
        return self.tree.apply(event)

    def _stamp(self, at: int | None = None) -> Stamp:
        if at is None:
            self.now_ns += STEP_NS
            at = self.now_ns
        return Stamp(at, 0, 0, 0)

    def boots(self, boot: bytes = BOOT) -> None:
        assert self.tell(HostFacts(self._stamp(), boot, 0, PID_NS, {})) is None

    def runs(
        self,
        executable: str,
        parent: Who | None = None,
        *,
        pid: int | None = None,
        args: tuple[str, ...] | None = None,
        reaper: bool = False,
        kernel_thread: bool = False,
        zombie: bool = False,
        at: int | None = None,
        **fields: Any,
    ) -> Who:
        """The snapshot finds it. ``args``: None sends no command line."""
        pid = self._pid(pid)
        fields.setdefault("comm", executable.rpartition("/")[2][:15])
        who = Who(pid, fields.pop("start_ns", pid * 10), parent, **fields)
        path = "" if kernel_thread else executable
        running = Running(self._stamp(at), who.task(), path, "/", (0,), FILE, 0, kernel_thread, zombie, reaper, ())
        running = running._replace(loader=loader_of(path))
        assert self.tell(running) is None
        if args is not None:
            self.args(who, *args)
        return who

    def args(self, who: Who, *args: str, cut: bool = False, at: int | None = None) -> ProcessVersion | None:
        return self.tell(CommandLine(self._stamp(at), who.pid, who.start_ns, args, 0, cut))

    def snapshot_begins(self) -> None:
        assert self.tell(SnapshotBegin(self._stamp())) is None

    def snapshot_ends(self) -> list[ProcessVersion]:
        assert self.tell(SnapshotEnd(self._stamp())) is None
        return list(self.tree.snapshot())

    def forks(
        self,
        birth: Who,
        *,
        pid: int | None = None,
        parent: Who | None = None,
        kernel_thread: bool = False,
        at: int | None = None,
        tell: bool = True,
        **fields: Any,
    ) -> Who:
        """``birth`` gives birth; ``parent`` is another under CLONE_PARENT. ``tell=False``: nobody hears of it."""
        stamp = self._stamp(at)
        start_ns = fields.pop("start_ns", stamp.time_ns)
        child = replace(birth, pid=self._pid(pid), start_ns=start_ns, parent=parent or birth, tid=0, **fields)
        child.birth_exec_id = child.exec_id
        if tell:
            self.tell(Fork(stamp, child.task(), birth.pid, birth.tid or birth.pid, birth.start_ns, kernel_thread))
        return child

    def born(self, child: Who, birth: Who, *, at: int | None = None) -> ProcessVersion | None:
        """A Fork that comes when it comes; ``at``: None for when the child was born."""
        at = child.start_ns if at is None else at
        task = replace(child, exec_id=child.birth_exec_id).task()
        return self.tell(Fork(self._stamp(at), task, birth.pid, birth.pid, birth.start_ns, False))

    def execs(
        self,
        who: Who,
        filename: str,
        *args: str,
        executable: str | None = None,
        directory: str = "/home",
        cut: tuple[str, ...] = (),
        file: File = FILE,
        sockets: int = 0,
        script: Script | None = None,
        environment: tuple[str, ...] = (),
        at: int | None = None,
        **fields: Any,
    ) -> ProcessVersion | None:
        fields.setdefault("comm", filename.rpartition("/")[2][:15])
        fields.setdefault("exec_id", who.exec_id + 1)
        for name, value in fields.items():
            setattr(who, name, value)
        path = filename if executable is None else executable
        argv = args or (filename,)
        before_cut = (who.pid, filename, path, directory, argv, 0, who.groups, file, sockets)
        told = Exec(self._stamp(at), who.task(), *before_cut, cut, script, environment, loader=loader_of(path))
        return self.tell(told)

    @staticmethod
    def execs_unseen(who: Who, executable: str) -> None:
        """Nobody hears of it."""
        who.comm = executable.rpartition("/")[2][:15]
        who.exec_id += 1

    def exits(
        self, who: Who, status: int = 0, *, at: int | None = None, reaper: Who | None = None
    ) -> ProcessVersion | None:
        """``reaper`` adopts its children. None: nobody does, or nobody said who."""
        pid, start_ns = reaper.key if reaper else (0, 0)
        return self.tell(Exit(self._stamp(at), who.task(), status, False, pid, start_ns))

    def renames(self, who: Who, comm: str, tid: int = 0) -> ProcessVersion | None:
        tid, start_ns = self._thread(who, tid)
        if tid == who.pid:
            who.comm = comm
        else:
            self.names[tid, start_ns] = comm
        return self.tell(Rename(self._stamp(), who.pid, tid, who.start_ns, start_ns, tid, comm))

    def changes_credentials(
        self,
        who: Who,
        uid: int,
        *,
        groups: tuple[int, ...] = (),
        cut: bool = False,
        tid: int = 0,
        mnt_ns: int = 0,
        **rights: Any,
    ) -> ProcessVersion | None:
        """``tid``: of another thread, which may be in a ``mnt_ns`` of its own."""
        comm = self.names.get(self._thread(who, tid), who.comm)
        now = replace(who, uid=uid, tid=tid, groups=groups, comm=comm, mnt_ns=mnt_ns or who.mnt_ns)
        if not tid:
            who.uid, who.groups = uid, groups
        told = now.task()
        told = told._replace(credentials=told.credentials._replace(**rights))
        return self.tell(CredentialChange(self._stamp(), told, groups, cut))

    def changes_session(self, who: Who, *, tid: int = 0, comm: str | None = None, uid: int | None = None) -> Any:
        """As ``session`` and ``group`` have it. Another thread may call: then all else in the record is its own."""
        now = replace(who, tid=tid, comm=comm or who.comm, uid=who.uid if uid is None else uid)
        return self.tell(SessionChange(self._stamp(), now.task()))

    def changes_namespaces(self, who: Who, mnt: int, uts: int = 0, children_pid: int = PID_NS, tid: int = 0) -> Any:
        comm = self.names.get(self._thread(who, tid), who.comm)
        task = replace(who, tid=tid, mnt_ns=mnt, comm=comm).task()
        if not tid:
            who.mnt_ns = mnt
        return self.tell(NamespaceChange(self._stamp(), task, uts, 0, 0, children_pid))

    def changes_directory(self, who: Who, path: str, cut: bool = False, at: int | None = None) -> ProcessVersion | None:
        return self.tell(DirectoryChange(self._stamp(at), who.pid, who.pid, who.start_ns, path, cut))

    def enters_cgroup(
        self, who: Who, path: str, hierarchy: int = 0, cgroup_id: int = 0, *, every: bool = False
    ) -> ProcessVersion | None:
        if hierarchy == 0 and cgroup_id:
            who.cgroup_id = cgroup_id
        return self.tell(Cgroup(self._stamp(), who.pid, hierarchy, who.start_ns, cgroup_id, path, every))

    def finds_thread(self, who: Who, tid: int, comm: str | None = None) -> None:
        """``comm``: None for what it is called."""
        key = self._thread(who, tid)
        self.names[key] = comm or self.names.get(key, who.comm)
        event = ThreadRunning(self._stamp(), who.pid, tid, who.start_ns, key[1], tid, self.names[key])
        assert self.tell(event) is None

    def finds(
        self,
        who: Who,
        executable: str,
        *,
        directory: str = "/",
        reaper: bool = False,
        zombie: bool = False,
        file: File = FILE,
    ) -> None:
        """A later walk comes to a process as it is now."""
        running = Running(self._stamp(), who.task(), executable, directory, (0,), file, 0, False, zombie, reaper, ())
        running = running._replace(loader=loader_of(executable))
        assert self.tell(running) is None

    @staticmethod
    def _thread(who: Who, tid: int) -> tuple[int, int]:
        return (tid, who.start_ns + tid) if tid and tid != who.pid else (who.pid, who.start_ns)

    def starts_thread(self, who: Who, tid: int, start_ns: int | None = None, *, birth_tid: int | None = None) -> None:
        """``birth_tid``: None for the leader."""
        start = who.start_ns + tid if start_ns is None else start_ns
        made_by = who.pid if birth_tid is None else birth_tid
        comm = self.names[tid, start] = self.names.get(self._thread(who, made_by), who.comm)
        event = ThreadStart(self._stamp(), who.pid, tid, who.start_ns, start, tid, made_by, comm)
        assert self.tell(event) is None  # its process is as it was

    def ends_thread(self, who: Who, tid: int, start_ns: int | None = None) -> None:
        start = who.start_ns + tid if start_ns is None else start_ns
        if tid == who.pid:
            start = who.start_ns
        comm = self.names.get((tid, start), who.comm)
        assert self.tell(ThreadEnd(self._stamp(), who.pid, tid, who.start_ns, start, tid, comm)) is None

    def loses(self, kind: int = wire.FORK, records: int = 0) -> None:
        """At some time until now, or until so many of the ``records`` that follow were made."""
        until_ns = self._stamp().time_ns + records * STEP_NS
        assert self.tell(Loss(self._stamp(until_ns), 0, {kind: 1})) is None

    def get(self, who: Who) -> ProcessVersion:
        version = self.tree.get(*who.key)
        assert version is not None, f"{who.key} is not known"
        return version

    def walks(self, *found: tuple[Who, str]) -> None:
        """A walk over init, the shell of ``booted`` and whom else it finds; the shell may be among those."""
        init, shell = Who(1, 10, comm="systemd", session=(1, 10), group=(1, 10)), (50, 500)
        self.snapshot_begins()
        self.finds(init, SYSTEMD)
        if shell not in {who.key for who, _ in found}:
            self.finds(Who(50, 500, init, "bash", session=shell, group=shell), BASH, reaper=True)
        for who, executable in found:
            self.finds(who, executable)
        self.snapshot_ends()

    def closed(self) -> list[int]:
        """Pids of those that were shown to have ended, each once."""
        return [version.pid for version in self.tree.closed()]

    def doubt(self, who: Who) -> tuple[str, ...]:
        return self.get(who).doubt

    def chain(self, who: Who) -> str:
        """Root first, as ``lineage.chain`` has it."""
        version = self.get(who)
        return " ".join([a.image.name for a in reversed(version.ancestors)] + [version.image.name])

    def _pid(self, pid: int | None) -> int:
        if pid is None:
            self.next_pid += 1
            return self.next_pid
        return pid


def booted(
    processes_max: int = 100, threads_max: int = 100, versions_max: int = 256, texts_max_bytes: int = TEXTS_MAX_BYTES
) -> tuple[History, Who, Who]:
    """A history with pid 1 and a shell below it, both from the snapshot, which has ended."""
    history = History(processes_max, threads_max, versions_max=versions_max, texts_max_bytes=texts_max_bytes)
    history.snapshot_begins()
    init = history.runs(SYSTEMD, pid=1, args=("/sbin/init",), session=(1, 10), group=(1, 10))
    shell = history.runs(BASH, init, pid=50, args=("-bash",), session=(50, 500), group=(50, 500))
    history.snapshot_ends()
    return history, init, shell
