"""What the stream has told about the host: its facts, names of users and groups, the wall clock's offset, containers.

Rules: filled by ``learn`` alone, never by asking the system, so that a replay on another host finds the same names; an
offset holds from its own instant on, so that a step of the clock moves no earlier instant. Of containers, the
CONTAINERS_MAX that were asked for or learnt last are remembered.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from datetime import UTC, datetime
from functools import lru_cache

from cachetools import LRUCache

from pipeline.counters import Counters
from pipeline.enrich.containers import Facts, known_facts
from pipeline.enrich.kernel_names import ALL_CAPABILITIES
from pipeline.errors import RecordingError
from pipeline.events import Account, Clock, Container, Fact, HostFacts
from pipeline.process import ProcessVersion

SECOND_NS = 1_000_000_000
CLOCK_STEPS_MAX = 1024
STAMPS_MAX = 4096
CONTAINERS_MAX = 2048  # 0.5 kB each as a rule, 12 kB at worst


class Tables:
    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._containers: LRUCache[str, Facts] = LRUCache(CONTAINERS_MAX)
        self._host: HostFacts | None = None
        self._users: dict[int, str] = {}
        self._groups: dict[int, str] = {}
        self._steps_ns: list[int] = []  # when each offset began to hold, ascending
        self._offsets_ns: list[int] = []
        self._since_ns = sys.maxsize  # the latest step and its offset, where nearly all instants are
        self._offset_ns = 0
        self._second, self._written = -1, b""  # the last that was asked for: most instants lie close together
        self.stamp = lru_cache(STAMPS_MAX)(self.instant)  # for starts: one is in each document of the process

    def __repr__(self) -> str:
        return f"<Tables users={len(self._users)} groups={len(self._groups)} offsets={self._offsets_ns}>"

    @property
    def host(self) -> HostFacts:
        """Raises RecordingError when the stream did not begin with it."""
        if self._host is None:
            raise RecordingError("the stream does not begin with the facts of its host", "record it again")
        return self._host

    def learn(self, fact: Fact) -> None:
        """Host facts begin a new stream: everything known before is forgotten."""
        if isinstance(fact, Container):
            self._learn_container(fact)
            return
        self.stamp.cache_clear()
        match fact:
            case HostFacts():
                self._host = fact
                self._users.clear()
                self._groups.clear()
                self._containers.clear()
                self._steps_ns = [0]
                self._offsets_ns = [fact.clock_offset_ns]
            case Account():
                (self._groups if fact.is_group else self._users)[fact.id] = fact.name
            case Clock():
                at = bisect_right(self._steps_ns, fact.stamp.time_ns)
                self._steps_ns.insert(at, fact.stamp.time_ns)
                self._offsets_ns.insert(at, fact.offset_ns)
                if len(self._steps_ns) > CLOCK_STEPS_MAX:  # the first stays: instants before all steps hang on it
                    del self._steps_ns[1], self._offsets_ns[1]
        if self._steps_ns:
            self._since_ns, self._offset_ns = self._steps_ns[-1], self._offsets_ns[-1]

    def _learn_container(self, fact: Container) -> None:
        dropped = self._counters.container_facts_dropped
        if fact.id not in self._containers and len(self._containers) >= CONTAINERS_MAX:
            dropped["evicted"] += 1
        self._containers[fact.id] = known_facts(fact.facts, dropped)

    def container_facts(self, container_id: str) -> Facts:
        """What the runtime said of it; empty where it has not. Counts as use."""
        return self._containers.get(container_id, {})

    @property
    def usual_bounding(self) -> int:
        """The bounding set that a process of this host has unless something took of it: pid 1's, else all there are."""
        told = self.host.facts.get("init", {}).get("cap_bounding")
        return told & ALL_CAPABILITIES if isinstance(told, int) else ALL_CAPABILITIES

    def user_name(self, uid: int) -> str | None:
        return self._users.get(uid)

    def group_name(self, gid: int) -> str | None:
        return self._groups.get(gid)

    def user_of(self, process: ProcessVersion) -> str:
        """Name of the effective user for people to read, or its number where the host has no name for it."""
        uid = process.credentials.euid
        name = self._users.get(uid) if process.pid_ns == process.boot_pid_ns else None
        return name or str(uid)

    def wall_ns(self, boot_ns: int) -> int:
        """Unix time in nanoseconds of an instant since boot."""
        if boot_ns >= self._since_ns:
            return boot_ns + self._offset_ns
        if not self._steps_ns:
            return boot_ns + self.host.clock_offset_ns  # raises: no host yet
        return boot_ns + self._offsets_ns[max(bisect_right(self._steps_ns, boot_ns) - 1, 0)]

    def boot_ns(self, unix_ns: int) -> int:
        """The instant since boot of a Unix time in nanoseconds: the latest, where the clock was set back over it.

        A time that a step of the clock has left out is the moment of that step.
        """
        after_ns, skipped_ns = sys.maxsize, None
        for step_ns, offset_ns in zip(reversed(self._steps_ns), reversed(self._offsets_ns), strict=True):
            boot_ns = unix_ns - offset_ns
            if step_ns <= boot_ns < after_ns:
                return boot_ns
            if skipped_ns is None and boot_ns >= after_ns:
                skipped_ns = after_ns
            after_ns = step_ns
        return unix_ns - self.host.clock_offset_ns if skipped_ns is None else skipped_ns

    def instant(self, boot_ns: int) -> bytes:
        """The instant as documents carry it: ISO 8601, UTC, nine digits of a second."""
        wall_ns = boot_ns + self._offset_ns if boot_ns >= self._since_ns else self.wall_ns(boot_ns)
        second, ns = divmod(wall_ns, SECOND_NS)
        if second != self._second:
            self._second, self._written = second, _write(second)
        return b"%b.%09dZ" % (self._written, ns)

    def date(self, boot_ns: int) -> str:
        """``instant`` as text."""
        return self.stamp(boot_ns).decode()


def unix_instant(unix_ns: int) -> bytes:
    """A Unix time as documents carry instants. Nanoseconds of 64 bits lie between the years 1677 and 2262."""
    second, ns = divmod(unix_ns, SECOND_NS)
    return b"%b.%09dZ" % (_write(second), ns)


@lru_cache(1024)  # 0.1 us instead of 2: the starts of living processes, the times of executables
def _write(unix_s: int) -> bytes:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
