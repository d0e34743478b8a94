"""What the tree knows: one ``Process`` each, their threads, and the boot that identities hang on. No rule is in here.

``transitions`` alone changes it. Two things are derived and are kept only because they are dear: the ``Ancestor`` a
process is for others (``moment``), and its chain; ``process_version`` makes them when they are asked for.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.containers import Container
from pipeline.counters import Counters
from pipeline.events import Cgroup, CommandLine, Credentials, Task
from pipeline.process import Ancestor, Image
from pipeline.tree.known.retention import Retention
from pipeline.tree.known.threads import Thread, Threads

if TYPE_CHECKING:
    from pipeline.tree.known.artifacts import Artifacts
    from pipeline.tree.known.history import Version

Key = tuple[int, int]
"""(pid, start of the thread group leader in ns): which process. The same over a tid and its start: which thread."""

INIT_PID = 1
KTHREADD_PID = 2

NOBODY: Key = (0, 0)
"""The parent of pid 1, of kthreadd, and of whom no parent is known."""

# What may happen to a process depends on its phase: a column of the table in ``transitions``.
UNKNOWN = 0  # nothing was told of it
SEEN = 1  # alive, its birth was not told
BORN = 2  # alive, its birth was told
CLOSED = 3  # ended: its pid is another's, or a walk did not find it alive; its end was not told
SEEN_ENDED = 4  # ended, its birth was not told
ENDED = 5
FORGOTTEN = 6  # ended and evicted

ALIVE = (SEEN, BORN)

UNSURE = -1
"""The number of no interruption: a process that may have another parent than is known, or another image."""


class Boot(NamedTuple):
    id: bytes
    pid_ns: int


class Contained(NamedTuple):
    container: Container | None
    told_by: tuple[int, ...]  # of all hierarchies of cgroups, those that say so


NOT_CONTAINED = Contained(None, ())


class Entry(NamedTuple):
    """A process's entry leader."""

    key: Key
    leader: Ancestor | None  # as last seen, for when it is evicted; None: nobody has asked for it yet
    type: str  # ECS entry_meta.type

    def __eq__(self, other: object) -> bool:
        """When it was last seen says nothing of whose it is: two versions that have it are not different by that."""
        return isinstance(other, Entry) and self.key == other.key and self.type == other.type

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self.key, self.type))


_session = tuple.__new__


class Process:
    """One process, as the last record of it left it."""

    __slots__ = (
        "ancestors",
        "args_ns",
        "artifacts",
        "below",
        "birth",
        "birth_exec_id",
        "birth_ns",
        "birth_told",
        "birth_unsure",
        "cgroup_id",
        "cgroup_told",
        "chain_doubt",
        "children",
        "complete",
        "contained",
        "counted",
        "credentials",
        "cut",
        "depth",
        "dropped",
        "end_ns",
        "ended_unsure",
        "entity_id",
        "entry",
        "epoch",
        "exec_id",
        "exit_status",
        "filtered",
        "for_children",
        "found_running",
        "groups_differ",
        "has_adopted",
        "has_hole",
        "heir",
        "holds_parent",
        "image",
        "image_from_snapshot",
        "kernel_thread",
        "key",
        "latest_ns",
        "leader_ends",
        "looked_ns",
        "moment",
        "namespaces",
        "ns_pid",
        "offspring",
        "own_doubt",
        "parent_key",
        "past",
        "phase",
        "pid",
        "pid_ns",
        "pins",
        "previous",
        "reaper_key",
        "revision",
        "seen_in",
        "session",
        "since_ns",
        "sockets",
        "start_ns",
        "sure_of",
        "taken_over",
        "text_bytes",
        "thread_name",
        "threads",
        "threads_forgotten",
        "tid",
        "told",
        "told_ns",
        "waits",
        "was_asked",
        "working_directory",
        "youngest_ns",
    )

    def __init__(
        self,
        key: Key,
        entity_id: str,
        phase: int,
        task: Task,
        credentials: Credentials,
        image: Image,
        working_directory: str,
        time_ns: int,
        told: int,
    ) -> None:
        (
            pid, tid, start_ns, _, parent_pid, ns_pid, parent_start_ns, _, pid_ns, namespaces, session, cgroup_id,
            exec_id, _, comm,
        ) = task  # fmt: skip
        self.key = key
        self.entity_id = entity_id
        self.phase = phase
        self.pid = pid
        self.start_ns = start_ns
        self.told_ns = time_ns  # when the first record of it was made
        self.since_ns = time_ns  # when its present version began
        self.latest_ns = time_ns  # the record that began it was made; since_ns is later where time stands still
        self.looked_ns = 0  # when the last walk came to it that found nothing new
        self.told = told  # what that record said: bits of history
        self.dropped = 0  # versions before the present one that are not known any more
        self.past: list[Version] | None = None  # versions before it, oldest first; None: none
        self.revision = 0  # rises when what was known of a version is known better
        self.tid = pid if tid == pid else tid  # kept once
        self.ns_pid = pid if ns_pid == pid else ns_pid
        self.pid_ns = pid_ns
        self.session = session
        self.cgroup_id = cgroup_id
        self.namespaces = namespaces
        self.contained = NOT_CONTAINED
        self.cgroup_told: Cgroup | None = None  # by the record that began the present version
        self.filtered = False  # by the configuration, when last told of
        self.thread_name = comm
        self.credentials = credentials
        self.image = image
        self.found_running = False  # by the snapshot
        self.image_from_snapshot = False  # and from no exec since
        self.args_ns = 0  # when the snapshot has read its arguments
        self.previous: tuple[Image, ...] = ()
        self.working_directory = working_directory
        self.sockets = 0
        self.text_bytes = 0  # that its execs and changes of directory brought: see texts
        self.cut = 0  # bits of history: of what was told, what was longer than a record carries; an image says its own
        self.kernel_thread = False  # born as one: it is one until it has executed something
        self.exit_status: int | None = None
        self.end_ns: int | None = None

        # Edges. Keys and not references: a process that was evicted must not live on in its children.
        self.parent_key: Key = NOBODY  # who gave birth to it; else its parent when it was first seen
        self.birth: Ancestor | None = None  # that parent, as it was then
        self.birth_ns = start_ns  # by its Fork, where that was told
        self.offspring: dict[Key, Process] | None = None  # whom it gave birth to, ended ones too; None: nobody
        self.youngest_ns = 0  # when the last of them was born, or when it was last asked for another's entry leader
        self.birth_told = phase == BORN
        self.reaper_key: Key = (parent_pid, parent_start_ns)  # its parent now
        self.children: dict[Key, Process] | None = None  # alive, and it is their parent now; None: none
        self.below: Key | None = None  # among whose children it is, or in with_unknown_reaper; None: nobody's
        self.has_adopted = False
        self.has_hole = False  # something that was told of it late, or its birth, lies in one: see history
        self.heir: Key | None = None  # it has ended, and who adopted its children was told
        self.own_doubt = 0
        self.entry: Entry | None = None
        self.was_asked = False  # for the entry leader of others than its children
        self.threads: dict[Key, Thread] | None = None  # without the leader, ended ones too; None: no other
        self.threads_forgotten = 0  # for want of room
        self.groups_differ = False  # perhaps: since its last exec one of its threads alone has got others
        self.leader_ends: tuple[int, ...] = ()  # when its leaders ended, and others went on
        self.taken_over: tuple[int, ...] = ()  # by exec: the first after each of those
        self.artifacts: Artifacts | None = None  # None: none

        # Loss. Every record of a task counts its execs and names its parent: each tells whether an exec was missed, and
        # whether an end that was missed has given it another parent.
        self.exec_id = exec_id  # of the image
        self.counted = exec_id  # by its last record; more than exec_id: an exec was missed
        self.sure_of = UNSURE  # which of State.interruptions its last record came after
        self.ended_unsure = False  # and it ended before a record could tell
        self.birth_exec_id = 0  # its parent's when it was born; 0: not told
        self.birth_unsure = False  # and that image of its parent's is not known
        self.seen_in = 0  # the last walk of the snapshot that found it

        # Retention's: how many reasons there are to keep it.
        self.pins = 0
        self.holds_parent = False  # it is one of its parent's pins
        self.waits = False  # for a parent that nobody has told of

        # Derived; see process_version.
        self.epoch = -1
        self.ancestors: tuple[Ancestor, ...] = ()
        self.depth = 0
        self.complete = False
        self.chain_doubt = 0
        self.moment: Ancestor | None = None
        self.for_children: tuple[Ancestor, ...] | None = None

    def __repr__(self) -> str:
        """``<Process 9012@5000 curl alive>``: pid, start, name, and whether it lives."""
        return f"<Process {self.pid}@{self.start_ns} {self.image.name} {'alive' if self.alive else 'ended'}>"

    @property
    def alive(self) -> bool:
        return self.phase in ALIVE


class State:
    """All that the tree knows."""

    __slots__ = (
        "artifacts_max",
        "began_ns",
        "boot",
        "closed_keys",
        "corrected",
        "counters",
        "early",
        "early_args",
        "early_args_bytes",
        "early_events",
        "ends_told",
        "epoch",
        "handed_over",
        "interrupted_ns",
        "interruptions",
        "loss_seen",
        "missing",
        "newest_ns",
        "processes",
        "snapshot_begin_ns",
        "snapshot_done",
        "snapshot_keys",
        "stirred",
        "threads",
        "told_late",
        "unseen_threads",
        "unsettled",
        "unsure_births",
        "versions_max",
        "walks",
        "whole",
        "with_unknown_reaper",
    )

    def __init__(
        self,
        processes_max: int,
        threads_max: int,
        versions_max: int,
        artifacts_max: int,
        texts_max_bytes: int,
        counters: Counters,
    ) -> None:
        self.counters = counters
        self.versions_max = versions_max
        self.artifacts_max = artifacts_max
        self.boot: Boot | None = None
        self.processes = Retention(processes_max, texts_max_bytes, counters)
        self.threads = Threads(threads_max, counters)
        self.forget()

    def forget(self) -> None:
        """Everything but the boot and the bounds."""
        self.processes.clear()
        self.threads.clear()
        self.with_unknown_reaper: dict[Key, dict[Key, None]] = {}  # who would reap them -> living processes
        self.stirred: list[tuple[Process, int]] = []  # since when: what follows for their children has still to be told
        self.handed_over: list[Process] = []  # likewise: their parent had ended when they named it, or is another
        self.began_ns: int | None = None  # since when it is known what runs: nobody looked before; None: nobody yet
        self.newest_ns = 0  # of all that was told of processes
        self.whole: Image | None = None  # of the exec at work, where a part of it is kept
        self.told_late = False  # the event at work was older than what was known of its process
        self.epoch = 0  # raised when an edge of a process that may have children has changed
        self.loss_seen = False  # of records that lineages hang on
        self.interruptions = 0  # losses of execs and ends told so far
        self.interrupted_ns = 0  # until when they may have been lost
        self.unsure_births: dict[Key, list[Key]] = {}  # parents whose image was missed -> children born with it
        self.walks = 0  # of the snapshot, that have begun
        self.snapshot_begin_ns = 0  # of the last
        self.snapshot_done = False
        self.closed_keys: deque[Key] = deque(maxlen=self.processes.processes_max)  # ended unseen, not yet handed out
        self.ends_told: set[Key] = set()  # of processes that live until a walk misses them; see routes
        self.unseen_threads: set[Key] = set()  # of processes that this walk has found, and not yet found themselves
        self.unsettled: list[Process] = []  # told by the snapshot, lineage not yet made
        self.snapshot_keys: list[Key] = []  # told by the last snapshot, parents before children
        self.corrected: dict[Key, None] = {}  # whom the last snapshot gave an image that nobody had told of
        self.early: OrderedDict[Key, list[Any]] = OrderedDict()  # changes of processes that nobody has told of yet
        self.early_events = 0  # in there
        self.early_args: dict[Key, CommandLine] = {}  # came before their process
        self.early_args_bytes = 0  # in there
        self.missing: dict[Key, int] = {}  # asked for an entry leader when nobody had told of them yet, last when

    def sure_at(self, time_ns: int) -> int:
        """``sure_of`` of a process whose last record was made then."""
        return self.interruptions if time_ns >= self.interrupted_ns else UNSURE

    def bad(self, reason: str) -> None:
        """An event that does not fit: it changes nothing."""
        self.counters.bad_transitions[reason] += 1
