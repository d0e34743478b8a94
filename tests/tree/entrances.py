"""Who let a process in, by scanning the chronicle: a part of the oracle. It shares no code with the tree.

What it was born with, until it executes something, or calls setsid, as the leader of a session: then the rules say,
else it is what it was born with again, else what the leader of its group has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.tree.chronicle import Chronicle, Fact, Key

Entry = tuple[tuple[int, int], str]
"""The leader, and how it came in."""

RUNTIMES = ("runc", "crun", "youki", "conmon", "conmonrs", "lxc-start", "systemd-nspawn")
SSHD = ("sshd", "sshd-session", "sshd-auth")


def entry(told: Chronicle, key: Key, time_ns: int) -> Entry | None:
    if key[0] <= 2 or told.is_kernel_thread(key, time_ns):
        return None
    born_with = _born_with(told, key)
    as_kernel_thread = told.is_kernel_thread(key, told.born_ns(key))
    if not as_kernel_thread:
        born_with = born_with or _of_leaders(told, key, told.birth(key))
    found = None if as_kernel_thread else born_with
    led = False
    for fact in told.until(key, time_ns):
        session = fact.told.get("session")
        if session is None:
            continue
        leads, executed = session[1] == key[0], fact.kind in ("exec", "found")
        if leads and (executed or not led) and not told.is_kernel_thread(key, fact.time_ns):
            kind = _kind(told, key, fact)
            found = (key, kind) if kind else born_with or _of_leaders(told, key, fact) or (key, "unknown")
        elif executed and found is None:
            found = born_with or _of_leaders(told, key, fact)
        led = leads
    return found


def _born_with(told: Chronicle, key: Key) -> Entry | None:
    parent = told.parent(key)
    return None if parent is None or parent not in told.facts else entry(told, parent, told.born_ns(key))


def _of_leaders(told: Chronicle, key: Key, fact: Fact | None) -> Entry | None:
    if fact is None:
        return None
    _, session_id, session_start_ns, group_id, group_start_ns = fact.told["session"]
    for leader in ((session_id, session_start_ns), (group_id, group_start_ns)):
        if leader != key and leader in told.facts:
            found = entry(told, leader, fact.time_ns)
            if found is not None:
                return found
    return None


def _kind(told: Chronicle, key: Key, fact: Fact) -> str:
    name = told.image(key, fact.time_ns)[0]
    terminal = fact.told["session"][0]
    major, minor = terminal >> 20, terminal & 0xFFFFF
    now, birth = told.parent_then(key, fact.time_ns), told.parent(key)
    parents = [told.image(now, fact.time_ns)[0]] if now in told.facts else []
    if birth is not None:
        parents.append(told.lineage(key)[0][1])
    if major == 4 and 64 <= minor <= 255:
        return "terminal"
    if major == 4 and minor <= 63 and name == "login":
        return "console"
    if now[0] == 1:
        return "init"
    if 136 <= major <= 143 and "ssm-session-worker" in parents:
        return "ssm"
    if name not in SSHD and any(parent in SSHD for parent in parents):
        return "sshd"
    if not _is_runtime(name) and any(map(_is_runtime, parents)):
        return "container"
    return ""


def _is_runtime(name: str) -> bool:
    return name in RUNTIMES or name.startswith("containerd-shim")
