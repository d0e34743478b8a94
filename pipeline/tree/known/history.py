"""What a process was before: its versions, each from one moment to the next. Facts go where their time says.

Rules of this file:
- The present version is the ``Process`` itself; ``past`` has those before it, oldest first, ``since_ns`` rising. A
  process that has been one thing only has no list.
- A version knows which properties the record that began it has told (``told``), and how that was learnt. What it was
  not told it has from the version before; the first has it from the parent, as that was at the birth.
- So what holds at a moment is, of each property by itself, what the last record until then has told of it, whatever the
  order in which records came. ``change`` relies on it: the newest record adds a version and leaves those before alone.
  What comes late is put among them by ``folding``.
- At most ``versions_max`` versions a process, and where all together are more than ``SHARE`` times ``processes_max``,
  no more than that of those which change most. Versions that began with no image go first, oldest first, then images;
  the one it was born with stays. The next one counts what is missing before it (``dropped``).
- A walk that finds a process as it was begins no version. It is remembered (``looked_ns``), the last of them, so that
  what comes later and was before it ends there: ``folding.insert`` makes it a version then.
- While more processes live than ``processes_max``, a process keeps what it has, at least its first version, and gets
  no more: ``dropped`` counts those too.
- The next version has what the one that was dropped has told, and knows what that was (``gone``): of the time between
  nothing but that is unsure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from pipeline.events import Cgroup, Credentials, Namespaces, Session
from pipeline.process import REVISION_BITS, Ancestor, Image
from pipeline.tree.known import texts
from pipeline.tree.known.retention import fair
from pipeline.tree.known.state import Contained, Entry, Key, Process, State

SHARE = 16
"""Versions of a process that nobody else's can take the room of: 250 MiB for 32768 processes, twice that at most."""

PREVIOUS_MAX = 16
"""Earlier images a process carries."""

# What a record tells, as bits of ``told``.
IMAGE = 1
DIRECTORY = 2
IDS = 4  # users, primary groups, capabilities
GROUPS = 8
NAME = 16  # comm
SESSION = 32  # session, group, terminal
SPACES = 64  # of mounts, network, cgroups, pids; the cgroup's id
MORE_SPACES = 128
CONTAINER = 256
PARENT = 512  # who would reap it
BIRTH = 1024
END = 2048
ENTRY = 4096  # who let it in: told by no record, but unsure with what its parent had of it at the birth
TASK = IDS | NAME | SESSION | SPACES | PARENT  # what every record of a task tells
LOOK = TASK | GROUPS | DIRECTORY  # and what a walk tells of one that is known
CUT_WORDS = {
    0: (),
    DIRECTORY: ("working_directory",),
    GROUPS: ("groups",),
    DIRECTORY | GROUPS: ("working_directory", "groups"),
}
"""What ``Version.cut`` says."""

BY_SNAPSHOT = 1 << 16
BY_REPAIR = 1 << 17  # neither: the kernel told it as it happened
BY_CHILD = 1 << 18  # its child's birth showed it: its own record, if there is one, comes later
HOW = BY_SNAPSHOT | BY_REPAIR
IN_A_HOLE = 1 << 19  # told late, between others that were dropped: of what those told it knows nothing either
WHAT = (1 << 16) - 1
GONE = 24  # above that many bits: what was told by the versions that were dropped before this one


class Version(NamedTuple):
    """A process from ``since_ns`` on. The fields are attributes of ``Process``, of the same names."""

    since_ns: int
    told: int
    dropped: int  # versions before this one that are not known any more
    image: Image
    exec_id: int
    image_from_snapshot: bool
    sockets: int
    working_directory: str
    credentials: Credentials
    thread_name: str
    tid: int
    session: Session
    namespaces: Namespaces
    cgroup_id: int
    contained: Contained
    cgroup_told: Cgroup | None
    cut: int
    reaper_key: Key
    entry: Entry | None


_new = tuple.__new__


def version_of(process: Process) -> Version:
    """The present one. Field by field: a third of the time of an ``attrgetter`` over all of them."""
    return _new(
        Version,
        (
            process.since_ns,
            process.told,
            process.dropped,
            process.image,
            process.exec_id,
            process.image_from_snapshot,
            process.sockets,
            process.working_directory,
            process.credentials,
            process.thread_name,
            process.tid,
            process.session,
            process.namespaces,
            process.cgroup_id,
            process.contained,
            process.cgroup_told,
            process.cut,
            process.reaper_key,
            process.entry,
        ),
    )


def put_away(state: State, process: Process) -> None:
    """The present version is over. What it was told is left in ``told`` only where the next has to tell it."""
    past = process.past
    if past is not None and state.processes.is_over_bound:
        process.dropped += 1
        state.counters.versions_dropped += 1
        _give_back_text(state, process, process)
        process.told = _gone(process.told)
        return
    version = version_of(process)
    process.told = process.dropped = 0
    state.processes.past_versions += 1
    if past is None:
        process.past = [version]
        return
    past.append(version)
    if len(past) >= most(state):
        drop_one(state, process, past)


def most(state: State) -> int:
    """Versions that a process may have."""
    processes = state.processes
    return fair(state.versions_max, SHARE, processes.past_versions, processes.processes_max)


def change(state: State, process: Process, time_ns: int, told: int) -> None:
    """A new version begins; who refers to the process from now on refers to that."""
    since_ns = process.since_ns
    put_away(state, process)
    process.since_ns = time_ns if time_ns > since_ns else since_ns + 1
    if time_ns > process.latest_ns:
        process.latest_ns = time_ns
    process.told = process.told | told if process.told else told  # as a rule one number for all versions: 32 bytes
    process.cgroup_told = None
    process.moment = process.for_children = None


def versions(process: Process) -> list[Version]:
    """All of them, oldest first."""
    return [*(process.past or ()), version_of(process)]


def index_at(process: Process, time_ns: int) -> int:
    """Of the version that held then, among ``versions``; 0 too where that is before what is known."""
    past = process.past
    if past is None or time_ns >= process.since_ns:
        return len(past or ())
    return max(bisect_right(past, time_ns, key=since_of) - 1, 0)


def nth(process: Process, index: int) -> Version | Process:
    """That version, of ``versions``; the process itself for the present one, of which no copy is made."""
    past = process.past
    return process if past is None or index >= len(past) else past[index]


def as_at(process: Process, time_ns: int) -> Version | Process:
    """As it was then; before what is known, the first."""
    return nth(process, index_at(process, time_ns))


def are_alike(one: Version, after: Version) -> bool:
    """Whether nothing has changed from one to the next."""
    return after._replace(cgroup_told=one.cgroup_told)[3:] == one[3:]


def at(process: Process, time_ns: int) -> Version:
    """Likewise, always a version."""
    held = as_at(process, time_ns)
    return held if isinstance(held, Version) else version_of(process)


def unsure_at(process: Process, time_ns: int) -> int:
    """Bits of what may not have held then: see ``unsure_of``."""
    return unsure_of(process, index_at(process, time_ns), time_ns)


def unsure_of(process: Process, index: int, time_ns: int) -> int:
    """Bits of what nobody knows of that version at that moment, since versions were dropped that told it."""
    past = process.past or []
    told = process.told
    for version in past:
        told |= version.told
    if not gone(told):  # nothing was dropped, as a rule: half of the time of looking further
        return 0
    unsure = unknown_to(process, index)
    if index < len(past) and time_ns > past[index].since_ns:
        unsure |= gone(nth(process, index + 1).told)
    return unsure


def unknown_to(process: Process, index: int) -> int:
    """Bits of what that version itself does not know: what it has of them may never have held."""
    past = process.past or []
    unsure = 0
    for version in (*past[:index], nth(process, index)):
        told = version.told
        unsure &= ~(told | gone(told))
        if told & IN_A_HOLE:
            unsure |= gone(told) & ~told
    return unsure


def later(process: Process, version: Version) -> list[Version | Process]:
    """All that it has been since, the process itself last."""
    past = process.past or []
    since: list[Version | Process] = list(past[bisect_right(past, version.since_ns, key=since_of) :])
    return [*since, process] if process.since_ns > version.since_ns else since


def moment_at(process: Process, time_ns: int) -> Ancestor:
    """The process as others refer to it, then."""
    return moment_of(process, at(process, time_ns))


def moment_of(process: Process, version: Version | Process) -> Ancestor:
    """A process has the fields of its present version."""
    return _new(
        Ancestor,
        (
            process.entity_id,
            version.since_ns | process.revision << REVISION_BITS,
            process.pid,
            process.ns_pid,
            process.start_ns,
            version.image,
            version.working_directory,
            version.credentials,
            version.session,
            process.pid_ns,
            CUT_WORDS[version.cut],
        ),
    )


def is_told(image: Image) -> bool:
    """Whether the image is more than a name taken from comm."""
    return image.executable != "" or image.args != ()


def is_kernel_thread(process: Process, image: Image) -> bool:
    """``image``: of the version that is asked about. One that was born as such is one until it executes something."""
    return process.kernel_thread and not is_told(image)


def since_of(version: Version) -> int:
    return version.since_ns


def in_a_hole(unsure: int) -> int:
    """Bits of ``told`` of a version that does not know these."""
    if unsure & (IMAGE | SESSION):
        unsure |= ENTRY
    return IN_A_HOLE | unsure << GONE if unsure else 0


def gone(told: int) -> int:
    """What was told by the versions that were dropped before one."""
    return told >> GONE & WHAT


def _gone(told: int, after: int = 0) -> int:
    """``told`` of one that is dropped, as the next one has it. What it did not know the next does not know either."""
    hole = IN_A_HOLE if told & IN_A_HOLE and gone(told) & ~told & ~after else 0
    return (told | gone(told)) << GONE & WHAT << GONE | hole


def _give_back_text(state: State, process: Process, one: Version | Process) -> None:
    """That version goes, and with it what was brought to it; not what the process still names as an earlier image."""
    if not process.text_bytes or one.told & BIRTH:
        return
    if one.told & IMAGE and not any(earlier is one.image for earlier in process.previous):
        texts.count(state.processes, process, -texts.weight(one.image))
    if one.told & DIRECTORY:
        texts.count(state.processes, process, -texts.weight_of_path(one.working_directory))


def drop_one(state: State, process: Process, past: list[Version]) -> None:
    """The oldest that began with no image, else the oldest but the first."""
    index = next((place for place in range(1, len(past)) if not past[place].told & IMAGE), 1)
    if len(past) < 2:
        return
    one = past.pop(index)
    state.processes.past_versions -= 1
    _give_back_text(state, process, one)
    more = one.dropped + 1
    if index < len(past):
        after = past[index]
        past[index] = after._replace(
            dropped=after.dropped + more,
            told=after.told | _gone(one.told, after.told),
            cgroup_told=None if one.told & CONTAINER else after.cgroup_told,  # what it said stands on what is gone
        )
    else:
        process.dropped += more
        process.told |= _gone(one.told, process.told)
        if one.told & CONTAINER:
            process.cgroup_told = None
    state.counters.versions_dropped += 1


def miss_before(process: Process, since_ns: int, dropped: int, told: int) -> None:
    """So many versions before that one are not known, which told that."""
    for place, version in enumerate(process.past or ()):
        if version.since_ns == since_ns and process.past is not None:
            missing = version.dropped + dropped
            process.past[place] = version._replace(dropped=missing, told=version.told | _gone(told, version.told))
            return
    if process.since_ns == since_ns:
        process.dropped += dropped
        process.told |= _gone(told, process.told)


def amend(process: Process) -> None:
    """It is known better what the present version is: who refers to the process from now on refers to that."""
    process.revision += 1
    process.moment = process.for_children = None


def earlier_images(process: Process, until_ns: int | None = None) -> tuple[Image, ...]:
    """Newest first, without those that only an execless birth before a missed exec would name.

    ``until_ns``: of the version that begins then; None: of the present one.
    """
    known: Sequence[Version] = process.past or ()
    known = versions(process) if until_ns is None else known[: bisect_right(known, until_ns, key=since_of)]
    images: list[Image] = []
    for version, after in pairwise(known):
        if after.exec_id != version.exec_id and is_told(version.image) and version.exec_id >= process.birth_exec_id:
            images.append(version.image)
    return tuple(images[: -PREVIOUS_MAX - 1 : -1])


def replace_image(process: Process, old: Image, new: Image) -> None:
    """More is known of an image than there was: in every version that has it."""
    process.image = new
    for place, version in enumerate(process.past or ()):
        if version.image is old:
            assert process.past is not None
            process.past[place] = version._replace(image=new)
    amend(process)


def how(state: State) -> int:
    """A walk tells it: the first is the snapshot, those after it repair."""
    return BY_SNAPSHOT if state.walks < 2 else BY_REPAIR


def missed_an_exec_after(process: Process, version: Version) -> bool:
    """Whether the image that is known to come next has been executed by something in between, which nobody has told."""
    after_id = process.counted
    for one in later(process, version):
        if gone(one.told) & IMAGE:
            return False  # it was told, and was dropped
        if one.exec_id > version.exec_id:
            after_id = one.exec_id
            break
    return after_id > version.exec_id + 1 or (after_id > version.exec_id and after_id > process.exec_id)


def is_counted_after(process: Process, version: Version) -> bool:
    """Whether a record of its task, which counts its execs, has begun a later version."""
    past = process.past or []
    later = past[bisect_right(past, version.since_ns, key=since_of) :]
    if process.looked_ns >= (later[0] if later else process).since_ns > version.since_ns:
        return True
    return any((told | gone(told)) & IDS for told in (*(one.told for one in later), process.told))
