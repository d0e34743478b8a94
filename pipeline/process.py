"""A process as the later stages see it: immutable values that ``tree`` makes and ``enrich`` reads.

A ``ProcessVersion`` carries all that its documents need, ancestors and leaders included, so that nobody downstream
asks the tree.
"""

from __future__ import annotations

from binascii import b2a_base64
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from pipeline.containers import Container
from pipeline.events import NO_FILE, Credentials, File, Loader, Namespaces, Script, Session

ANCESTORS_MAX = 32
"""Names in a chain, and ancestors a version carries; deeper ones are counted in ``depth`` alone."""


_SEED = Struct("<16sQIQ")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def entity_id(boot_id: bytes, pid_ns: int, pid: int, start_ns: int) -> str:
    """One process for ever: base64url of 16 bytes of BLAKE2b over boot, host pid namespace, pid and start.

    Equal for fork, exec, end, snapshot and after a restart of the agent; a pid used again gives another.
    For a thread the same over its tid and its own start.
    """
    seed = _SEED.pack(boot_id, pid_ns, pid, start_ns)
    # b2a_base64 and one translate: half the time of base64.urlsafe_b64encode, 0.4 us a process.
    return b2a_base64(blake2b(seed, digest_size=16).digest()).translate(_URL_SAFE)[:22].decode()


class Image(NamedTuple):
    """What one exec made of a process. A fork has its parent's."""

    name: str  # base name of the file asked for: process.name
    executable: str
    args: tuple[str, ...]
    cut: tuple[str, ...] = ()  # which of these, script and loader were longer than a record carries, or not found
    file: File = NO_FILE  # of the executable
    script: Script | None = None  # None: no script
    environment: tuple[str, ...] = ()  # NAME=value of the names that the configuration allows
    loader: Loader | None = None  # None: a static program, or not found


REVISION_BITS = 64
"""Above the nanoseconds of ``Ancestor.since_ns``: how often that state has been known better since."""


class Ancestor(NamedTuple):
    """Another process as it was at one moment: a parent when its child was born, a leader when last looked at.

    ``(entity_id, since_ns)`` names the moment: two values with the same pair are equal, so it is a cache's key.
    """

    entity_id: str
    since_ns: int  # when this state began; 0: nobody told of it, and all but entity_id, pid and start is empty
    pid: int
    ns_pid: int
    start_ns: int
    image: Image
    working_directory: str
    credentials: Credentials
    session: Session
    pid_ns: int = 0  # inode of its pid namespace; 0: not told
    cut: tuple[str, ...] = ()  # beside what its image says: working_directory, groups

    @property
    def began_ns(self) -> int:
        """When this state began."""
        return self.since_ns % (1 << REVISION_BITS)


class ProcessVersion(NamedTuple):
    """One process at one moment. ``ancestors`` nearest first, at most ANCESTORS_MAX; birth parents all the way up."""

    entity_id: str
    since_ns: int
    pid: int
    ns_pid: int
    pid_ns: int
    start_ns: int
    image: Image
    previous: tuple[Image, ...]  # earlier images of the same process, newest first
    cut: tuple[str, ...]  # what was longer than a record carries, beside what the image says: working_directory, groups
    working_directory: str
    credentials: Credentials
    session: Session
    thread_name: str  # comm, as the kernel has it now
    tid: int
    cgroup_id: int
    container: Container | None
    namespaces: Namespaces
    sockets: int
    kernel_thread: bool
    filtered: bool  # by the configuration: no documents
    ancestors: tuple[Ancestor, ...]
    depth: int  # number of known ancestors, also beyond ANCESTORS_MAX
    complete: bool  # the chain reaches pid 1 or kthreadd
    named_parent: Ancestor | None  # without ancestors: whom a record names as its parent, and nobody has told of
    doubt: tuple[str, ...]  # loss, evicted, cut, unknown_parent, snapshot
    reaper: Ancestor | None  # present parent, where it is not the birth parent; without a name where nobody told of it
    group_leader: Ancestor | None
    session_leader: Ancestor | None
    entry_leader: Ancestor | None
    entry_type: str  # ECS entry_meta.type: terminal, console, init, ssm, sshd, container, unknown; "" without a leader
    boot_pid_ns: int
    exit_status: int | None
    end_ns: int | None

    @property
    def interactive(self) -> bool:
        """It has a terminal."""
        return self.session.tty != 0

    @property
    def parent(self) -> Ancestor | None:
        """Who gave birth to it, where that one is known; never changes."""
        return self.ancestors[0] if self.ancestors else None
