"""What the chronicle says of threads, by scanning: see ``chronicle``.

Of each thread's own is what was told of it; what nobody told of its rights it has from the thread that made it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.tree.chronicle import FOR_EVER, Chronicle, Fact, Key


class SeenThread(NamedTuple):
    """A thread beside the leader, at one moment or of one version."""

    name: str
    ids: tuple[int, ...]
    powers: tuple[int, ...]
    groups: tuple[int, ...]
    maker: int | None
    since_ns: int
    until_ns: int | None
    how: str
    end_ns: int | None


class SeenLeader(NamedTuple):
    name: str
    ids: tuple[int, ...]
    powers: tuple[int, ...]
    groups: tuple[int, ...]
    end_ns: int | None


class ThreadChronicle(Chronicle):
    def threads(self, key: Key) -> list[Key]:
        """Beside the leader, ended ones too, by start."""
        told = {fact.told["thread"] for fact in self.facts[key] if "thread" in fact.told}
        return sorted(told - {key}, key=lambda thread: (thread[1], thread[0]))

    def thread_versions(self, key: Key, thread: Key) -> list[SeenThread]:
        """Of one beside the leader, oldest first."""
        end_ns = self.thread_end(key, thread)
        told = self._versions_of(key, thread)
        untils = [*(since_ns for since_ns, _, _ in told[1:]), end_ns]
        moments = [*(since_ns for since_ns, _, _ in told[:-1]), None]  # of the last: now
        return [
            self._seen_thread(key, thread, since_ns, until_ns, name, how, time_ns)
            for (since_ns, name, how), until_ns, time_ns in zip(told, untils, moments, strict=True)
        ]

    def thread_at(self, key: Key, thread: Key, time_ns: int) -> SeenThread | None:
        """None: nothing was known of it then."""
        told = self._versions_of(key, thread)
        until = [one for one in told if one[0] <= time_ns]
        if not until:
            return None
        after = [since_ns for since_ns, _, _ in told[len(until) :]]
        until_ns = after[0] if after else self.thread_end(key, thread)
        return self._seen_thread(key, thread, until[-1][0], until_ns, *until[-1][1:], time_ns)

    def leader_at(self, key: Key, time_ns: int) -> SeenLeader:
        """A group's leader is its process, for as long as it is there."""
        gone_ns = self.leader_gone(key, time_ns)
        process = self.at(key, time_ns if gone_ns is None else gone_ns)
        end_ns = process.end_ns if gone_ns is None else gone_ns
        return SeenLeader(process.comm, process.ids, process.powers, process.groups, end_ns)

    def thread_end(self, key: Key, thread: Key) -> int | None:
        """Its own that was told; else the next exec or end of its process after the last that was told of it."""
        facts, process_end_ns = self.facts[key], self.end(key)[0]
        of_it = [fact for fact in facts if fact.told.get("thread") == thread]
        ends = [fact.time_ns for fact in of_it if fact.kind == "thread_end"]
        if not ends:
            last_ns = max(fact.time_ns for fact in of_it)
            ends = [fact.time_ns for fact in facts if fact.kind == "exec" and fact.time_ns >= last_ns]
        return min((*ends, *(() if process_end_ns is None else (process_end_ns,))), default=None)

    def _versions_of(self, key: Key, thread: Key) -> list[tuple[int, str, str]]:
        """Since when, its name, how that was learnt. A walk, an end, or a change of namespaces, that tells nothing new
        tells of no version."""
        made: list[tuple[int, str, str]] = []
        for fact in self.until(key, FOR_EVER):
            if fact.told.get("thread") != thread:
                continue
            name = fact.told["own"]["comm"]
            if made and fact.kind in ("thread_found", "thread_end", "thread_namespaces") and made[-1][1] == name:
                continue
            since_ns = thread[1] if fact.kind == "thread" else fact.time_ns
            made.append((since_ns, name, "snapshot" if fact.kind == "thread_found" else "kernel"))
        return made

    def _seen_thread(
        self, key: Key, thread: Key, since_ns: int, until_ns: int | None, name: str, how: str, time_ns: int | None
    ) -> SeenThread:
        """``time_ns`` None: now."""
        end_ns, beginning = self.thread_end(key, thread), self._beginning(key, thread)
        if end_ns is not None and time_ns is not None and end_ns > time_ns:
            end_ns = None
        rights = self._rights(key, thread, since_ns)
        maker = beginning.told["maker"] if beginning else None
        whose = rights["ids"], rights["powers"], rights["groups"]
        return SeenThread(name, *whose, maker, since_ns, until_ns, how, end_ns)

    def _beginning(self, key: Key, thread: Key) -> Fact | None:
        facts = (fact for fact in self.facts[key] if fact.kind == "thread" and fact.told["thread"] == thread)
        return next(facts, None)

    def _rights(self, key: Key, thread: Key, time_ns: int) -> dict[str, Any]:
        """What was told of its own; else those of the thread that made it, when it did."""
        own = [fact.told["own"] for fact in self.until(key, time_ns) if fact.told.get("thread") == thread]
        own = [told for told in own if "ids" in told]
        if own:
            latest: dict[str, Any] = own[-1]
            return latest
        beginning = self._beginning(key, thread)
        born_ns = thread[1] if beginning is None else beginning.time_ns
        for maker in self.threads(key):
            if beginning is not None and maker[0] == beginning.told["maker"] and maker != thread:
                return self._rights(key, maker, born_ns)
        return self._told(key, max(born_ns, self.known_since(key)))  # before what is known, as it was first
