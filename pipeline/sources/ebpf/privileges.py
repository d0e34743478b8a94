"""Giving privileges up, for good, and looking afterwards whether they are gone.

Rules of this file:
- what only root can open is open, and everything is imported, before;
- the order is one way: no new privileges, bounding and ambient sets, groups, gid, uid, capability sets;
- an account is never shared: the configured one where it exists, else a number that belongs to no account and to no
  running process (``nobody`` is what other services run as, and they could then reach into this one);
- supplementary groups go, but for those that were asked for by number; never root's;
- what the kernel says in /proc decides, for every thread, not what the calls returned.
"""

from __future__ import annotations

import ctypes
import errno
import grp
import os
import pwd
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import HostError

# Between the ranges that distributions give to accounts and those of containers; systemd's dynamic users are here too.
_UNUSED_FIRST, _UNUSED_LAST = 61184, 65519

_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


class Identity(NamedTuple):
    """What the process is from now on. ``name`` is None where no account has that number."""

    uid: int
    gid: int
    name: str | None


def _prctl(option: int, argument: int, third: int = 0) -> None:
    if _libc.prctl(option, ctypes.c_ulong(argument), ctypes.c_ulong(third), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _taken_numbers() -> set[int]:
    """Numbers of accounts, groups and owners of running processes."""
    taken = {entry.pw_uid for entry in pwd.getpwall()} | {entry.gr_gid for entry in grp.getgrall()}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            taken.add(process.stat().st_uid)
        except FileNotFoundError:  # it ended meanwhile
            continue
    return taken


def choose(account: str) -> Identity:
    """Who to become. Raises ``HostError`` where the account is root's, or every unused number is used."""
    try:
        entry = pwd.getpwnam(account)
    except KeyError:
        taken = _taken_numbers()
        for number in range(_UNUSED_LAST, _UNUSED_FIRST - 1, -1):
            if number not in taken:
                return Identity(number, number, None)
        raise HostError("no unused uid is left", f"make an account: useradd --system {account}") from None
    if entry.pw_uid == 0 or entry.pw_gid == 0:
        raise HostError(f"the account {account} is root's", "name another one with account")
    return Identity(entry.pw_uid, entry.pw_gid, account)


def _clear_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    empty = (ctypes.c_uint32 * 6)()
    if _libc.capset(header, empty) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _shrink_bounds() -> None:
    """Without CAP_SETPCAP, in some containers, the bounding set stays: by itself it gives nothing."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(last + 1):
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
            return
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)


def remaining(identity: Identity, root: Path = Path("/proc/self/task"), *, groups: Collection[int] = ()) -> list[str]:
    """What is left of privileges in any thread, as /proc tells it; empty: nothing but exactly these groups."""
    left: list[str] = []
    for thread in root.iterdir():
        lines = (thread / "status").read_bytes().decode("utf-8", "replace").split("\n")
        status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
        wanted = {
            "Uid": [str(identity.uid)] * 4,
            "Gid": [str(identity.gid)] * 4,
            "Groups": [str(group) for group in sorted(set(groups))],
            "NoNewPrivs": ["1"],
            **{name: ["0" * 16] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")},
        }
        left += [
            f"thread {thread.name}: {name} {' '.join(status.get(name, ['missing']))}"
            for name, value in wanted.items()
            if status.get(name) != value
        ]
    return left


def drop(account: str, groups: Collection[int] = ()) -> Identity:
    """Become ``account``, or an unused uid where it does not exist, without any capability and without a way back.

    Of supplementary groups exactly ``groups`` remain. Call it as root, before any thread is started. Raises
    ``HostError`` where something is left or the kernel refuses.
    """
    if 0 in groups:
        raise HostError("root's own group cannot be kept", "give what the agent must reach a group of its own")
    identity = choose(account)
    try:
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _shrink_bounds()
        os.setgroups(sorted(set(groups)))
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
        _clear_capabilities()
    except OSError as error:
        mend = "start it as root; in a container, add the capabilities SETUID, SETGID and SETPCAP"
        raise HostError(f"cannot give up privileges ({error.strerror})", mend) from error
    left = remaining(identity, groups=groups)
    if left:
        raise HostError(f"privileges are left ({'; '.join(left)})", "this is a bug; please report it")
    return identity
