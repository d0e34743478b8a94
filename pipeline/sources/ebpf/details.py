"""What only /proc tells of a process that a walk has found: its command line and its cgroups, as records.

Rules of this file:
- of what a filter of the configuration drops, cgroups alone are told: whoever leaves it keeps his container;
- whom nobody has told to be elsewhere is at the root of a hierarchy, so the first walk is silent about that. A later
  one may have to take a container back, because a move was lost: it says so once for all hierarchies, and then tells
  those that name a container. Nothing else could change a tree, and thousands of processes are in a dozen each;
- a root that may be none takes nothing back: what a process that ends is shown to be in, and what lies below the root
  of the agent's own cgroup namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline import wire
from pipeline.containers import container_of
from pipeline.counters import Counters
from pipeline.events import Stamp
from pipeline.sources import procfs
from pipeline.sources.ebpf.snapshot import Found
from pipeline.sources.encode import cgroup, command_line


def are_known(cgroups: procfs.Cgroups, sees_roots: bool) -> bool:
    """Whether the paths are from the root of each hierarchy. What is not below one's own begins with ``/..``."""
    return sees_roots or all(path.startswith("/..") for _, path in cgroups)


class Details:
    """``stamp`` gives the next one of the stream, for a kind of record."""

    def __init__(self, stamp: Callable[[int], Stamp], counters: Counters) -> None:
        self._stamp = stamp
        self._counters = counters
        self._sees_roots = procfs.sees_cgroup_roots()

    def of(self, found: Found, *, again: bool) -> list[bytes]:
        """Its records, to follow its own. ``again``: it may have been told of before. Empty: it is gone by now."""
        if not found.has_command_line:
            return []
        details = procfs.details(found.pid, found.start_ns)
        if details is None:
            self._counters.unnamed_processes += not found.is_filtered
            return []
        records = []
        if not found.is_filtered:
            stamp = self._stamp(wire.COMMAND_LINE)
            records.append(command_line(stamp, found.pid, found.start_ns, details.raw, details.total))
        if details.cgroups is None:
            self._counters.cgroups_untold += 1
            return records
        if again and not details.ending and are_known(details.cgroups, self._sees_roots):
            records += self._anew(found, details.cgroups)
        else:
            records += (self._in(found, *each) for each in details.cgroups if each[1] != "/")
        return records

    def _anew(self, found: Found, cgroups: procfs.Cgroups) -> Iterator[bytes]:
        stamp = self._stamp(wire.CGROUP)
        yield cgroup(stamp, found.pid, 0, found.start_ns, "/", every_hierarchy=True)
        for hierarchy, path in cgroups:
            if container_of(path) is not None:
                yield self._in(found, hierarchy, path)

    def _in(self, found: Found, hierarchy: int, path: str) -> bytes:
        return cgroup(self._stamp(wire.CGROUP), found.pid, hierarchy, found.start_ns, path)
