"""A walk over all that runs, in the middle of births, execs and ends: every order of the records comes out right.

A small world lives through a history in which each happening has its time; the walk looks at each process when it
comes to it. Then the records are put into another order, by the promises of the ring alone: what one process does, and
what is seen of it, stays in the order of time (a fork is of both), and all from before the end of the walk comes
before its mark. At the end the tree must be the world.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, note, settings
from hypothesis import strategies as st

from pipeline import wire
from pipeline.events import Exec, Exit, Fork, Loss, ProcessEvent, Running, SnapshotBegin, SnapshotEnd
from tests.tree.history import FILE, History, Who, booted

Key = tuple[int, int]
A, B, C, D, X, Y, Z = "ABCDXYZ"


@dataclass
class Alive:
    who: Who
    executable: str
    birth: str  # by name; "" is outside of this history
    ended: bool = False
    dying: bool = False
    reaped: bool = False


@dataclass
class Record:
    event: ProcessEvent
    touches: set[str]


@dataclass
class World:
    """Truth, and the records that it leaves."""

    history: History
    processes: dict[str, Alive] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    begin_ns: int = 0

    def _add(self, event: ProcessEvent, *touches: str) -> None:
        self.records.append(Record(event, set(touches)))

    def appears(self, name: str, birth: str) -> None:
        """In the kernel's list, which is before its fork is told."""
        parent = self.processes[birth]
        who = Who(
            ord(name) + 100, self.history.now_ns, parent.who, parent.who.comm, parent.who.session, parent.who.group
        )
        self.processes[name] = Alive(who, parent.executable, birth)

    def forks(self, name: str) -> None:
        it = self.processes[name]
        birth = self.processes[it.birth].who
        fork = Fork(self.history._stamp(), it.who.task(), birth.pid, birth.pid, birth.start_ns, False)
        self._add(fork, name, it.birth)

    def execs(self, name: str, path: str) -> None:
        it = self.processes[name]
        it.executable, it.who.comm = path, path.rpartition("/")[2]
        stamp = self.history._stamp()
        self._add(Exec(stamp, it.who.task(), it.who.pid, path, path, "/", (path,), 0, (), FILE, 0, ()), name)

    def dies(self, name: str) -> None:
        self.processes[name].dying = True

    def exits(self, name: str, reaper: str = "init") -> None:
        it, adopting = self.processes[name], self.processes[reaper].who
        self._add(Exit(self.history._stamp(), it.who.task(), 0, False, *adopting.key), name)
        it.ended = True
        for child in self.processes.values():
            if child.who.parent is it.who:
                child.who.parent = adopting

    def is_reaped(self, name: str) -> None:
        self.processes[name].reaped = True

    def is_walked_past(self, name: str) -> None:
        it = self.processes.get(name)
        if it is None or it.reaped:
            return
        below = it.who.parent is not None and it.who.parent.pid == 1
        path = "" if it.dying else it.executable
        running = Running(self.history._stamp(), it.who.task(), path, "/", (0,), FILE, 0, False, it.dying, below, ())
        self._add(running, name)


SCRIPTS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("appears", C, "shell"), ("forks", C), ("execs", C, "/bin/c1"), ("execs", C, "/bin/c2")),
    (("appears", D, A), ("forks", D), ("dies", D), ("exits", D), ("is_reaped", D)),
    (("execs", A, "/bin/a1"), ("dies", A), ("exits", A), ("is_reaped", A)),
    (("execs", Y, "/bin/y1"),),
    (("execs", X, "/bin/x1"),),
)
WALKED = ("init", "shell", A, B, C, D, X, Y)


def _world() -> World:
    """Before the walk: A and its child B are known; that X executed x0, A bore Y, and Z ended, was lost."""
    history, init, shell = booted()
    world = World(history)
    world.processes["init"] = Alive(init, "/usr/lib/systemd/systemd", "")
    world.processes["shell"] = Alive(shell, "/usr/bin/bash", "init")
    for name, birth in ((A, "shell"), (B, A), (X, "shell"), (Z, "shell"), (Y, A)):
        world.appears(name, birth)
        if name != Y:
            world.forks(name)
            history.tree.apply(world.records.pop().event)
    world.execs(X, "/bin/x0")
    world.records.pop()
    lost = Loss(history._stamp(), 0, {wire.FORK: 1, wire.EXEC: 1, wire.EXIT: 1})
    history.tree.apply(lost)
    return world


def _live(world: World, data: st.DataObject) -> int:
    """Let all happen in an order that Hypothesis chooses. Returns how many records are from before the walk's end."""
    waiting = [list(script) for script in SCRIPTS]
    walk: list[tuple[str, ...]] = [("is_walked_past", name) for name in data.draw(st.permutations(WALKED))]
    waiting.append(walk)
    before_end = 0
    while waiting:
        in_fork = any(steps[0][:2] == ("forks", D) for steps in waiting)  # its parent does nothing else meanwhile
        able = [steps for steps in waiting if not (in_fork and steps[0][1] == A and steps is not walk)]
        steps = data.draw(st.sampled_from(able))
        what, name, *rest = steps[0]
        if name == D and what == "appears" and world.processes[A].dying:
            steps.clear()  # nobody is left to bear it
        elif what == "dies" and name == A and D not in world.processes and data.draw(st.booleans()):
            waiting = [each for each in waiting if each and each[0][:2] != ("appears", D)]
        if steps:
            getattr(world, what)(name, *rest)
            del steps[0]
        if steps is walk and not walk:
            before_end = len(world.records)
        waiting = [each for each in waiting if each]
    return before_end


def _reordered(world: World, before_end: int, data: st.DataObject) -> list[ProcessEvent]:
    begin, end = SnapshotBegin(world.history._stamp(world.begin_ns)), SnapshotEnd(world.history._stamp())
    left = list(enumerate(world.records))
    stream: list[ProcessEvent] = [begin]
    ended = False
    while left:
        if not ended and all(at >= before_end for at, _ in left):
            stream.append(end)
            ended = True
        free: list[int] = []
        touched: set[str] = set()
        for number, (_, record) in enumerate(left):
            if not record.touches & touched:
                free.append(number)
            touched |= record.touches
        _, record = left.pop(data.draw(st.sampled_from(free)))
        stream.append(record.event)
    return stream if ended else [*stream, end]


def _told(event: ProcessEvent) -> str:
    """For whoever has to understand a failure."""
    task = getattr(event, "task", None)
    state = f" {task.pid} {task.comm} below {task.parent_pid}" if task else ""
    return f"{event.stamp.time_ns} {type(event).__name__}{state}{' dying' if getattr(event, 'zombie', False) else ''}"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_happens_during_a_walk_comes_out_right(data: st.DataObject) -> None:
    world = _world()
    tree = world.history.tree
    world.begin_ns = world.history._stamp().time_ns
    before_end = _live(world, data)
    closed: list[int] = []
    for event in _reordered(world, before_end, data):
        note(_told(event))
        tree.apply(event)
        if isinstance(event, SnapshotEnd):
            closed = [version.pid for version in tree.closed()]
    by_name = world.processes
    assert world.history.bad == {}
    assert {version.pid for version in tree.alive()} == {
        it.who.pid for name, it in by_name.items() if not it.dying and name != Z
    }
    assert by_name[Z].who.pid in closed
    assert set(closed) <= {by_name[name].who.pid for name in (A, D, Z) if name in by_name}
    for name, it in by_name.items():
        if name == Z:
            continue
        version = world.history.get(it.who)
        assert version.image.name == it.executable.rpartition("/")[2]
        if not it.dying:
            assert it.who.parent is not None or name == "init"
            now = version.reaper or version.parent
            assert (now and now.pid) == (it.who.parent and it.who.parent.pid)
        if name not in ("init", Y):
            assert version.parent is not None
            assert version.parent.pid == by_name[it.birth].who.pid
            assert version.parent.entity_id == world.history.get(by_name[it.birth].who).entity_id
        if name != Y and not it.dying:
            assert "unknown_parent" not in version.doubt
            assert "snapshot" not in version.doubt
        assert version.complete
