"""Who let a session in: the rules by which a session leader is an entry leader, and of which type.

The types are ECS ``process.entry_leader.entry_meta.type``. The rules are tried in the order they stand in; they ask
about a session leader only. Whom none of them fits inherits: from its parent, its session's leader, its group's
leader; a session leader with nothing to inherit is its own entry leader of type ``unknown``. pid 1, kthreadd and
kernel threads have none. Everything here is a function of its arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pipeline.tree.known.state import INIT_PID

UNKNOWN = "unknown"

TTY_MAJOR = 4
CONSOLE_MINOR_MAX = 63  # above it, up to 255: serial lines
SERIAL_MINOR_MAX = 255
PTS_MAJORS = range(136, 144)

SSHD = frozenset({"sshd", "sshd-session", "sshd-auth"})  # one program until OpenSSH 9.8, three since
SSM_WORKER = "ssm-session-worker"
RUNTIMES = frozenset({"runc", "crun", "youki", "conmon", "conmonrs", "lxc-start", "systemd-nspawn"})
RUNTIME_SHIM = "containerd-shim"  # also with a suffix: containerd-shim-runc-v2


class Situation(NamedTuple):
    """What the rules look at. ``parents``: names of who gave birth to the session leader and of who would reap it."""

    name: str
    tty: int  # (major << 20) | minor
    parent_pid: int  # who would reap it
    parents: tuple[str, ...]


def is_runtime(name: str) -> bool:
    return name in RUNTIMES or name.startswith(RUNTIME_SHIM)


def _major(tty: int) -> int:
    return tty >> 20


def _minor(tty: int) -> int:
    return tty & 0xFFFFF


def _on_serial_line(it: Situation) -> bool:
    return _major(it.tty) == TTY_MAJOR and CONSOLE_MINOR_MAX < _minor(it.tty) <= SERIAL_MINOR_MAX


def _logs_in_on_console(it: Situation) -> bool:
    return _major(it.tty) == TTY_MAJOR and _minor(it.tty) <= CONSOLE_MINOR_MAX and it.name == "login"


def _child_of_init(it: Situation) -> bool:
    return it.parent_pid == INIT_PID


def _by_session_manager(it: Situation) -> bool:
    return SSM_WORKER in it.parents and _major(it.tty) in PTS_MAJORS


def _by_ssh(it: Situation) -> bool:
    return it.name not in SSHD and any(parent in SSHD for parent in it.parents)


def _in_container(it: Situation) -> bool:
    return not is_runtime(it.name) and any(is_runtime(parent) for parent in it.parents)


RULES: tuple[tuple[str, Callable[[Situation], bool]], ...] = (
    ("terminal", _on_serial_line),
    ("console", _logs_in_on_console),
    ("init", _child_of_init),
    ("ssm", _by_session_manager),
    ("sshd", _by_ssh),
    ("container", _in_container),
)


def entry_type(situation: Situation) -> str | None:
    """Type of the entry that this session leader is, or None where it has to inherit."""
    for name, fits in RULES:
        if fits(situation):
            return name
    return None
