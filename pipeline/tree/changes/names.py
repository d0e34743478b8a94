"""What a process is called: ``process.name``.

Rules of this file:
- the name is the base name of the file that was asked for at exec, which is what the kernel makes comm from, but not
  cut at 15 bytes: scripts keep their own name, and prctl cannot change it;
- a path that names no file but an open one (``/dev/fd/3``, ``/proc/self/exe``) says nothing; the executable does;
- a process older than the source has no file asked for: the argument that comm was cut from stands in for it;
- kernel threads have no file, so comm is their name, blanks and slashes included.
Everything here is a function of its arguments.
"""

from __future__ import annotations

import re

COMM_BYTES_MAX = 15  # TASK_COMM_LEN less its NUL

_OPEN_FILE = re.compile(r"/dev/fd/\d+|/proc/(?:self|thread-self|\d+)(?:/task/\d+)?/(?:fd/\d+|exe)")


def base_name(path: str) -> str:
    return path.rpartition("/")[2]


def is_open_file(path: str) -> bool:
    """Whether the path names an open file of a process and not a place in the file system."""
    return path.startswith(("/dev/fd/", "/proc/")) and _OPEN_FILE.fullmatch(path) is not None


def name_at_exec(filename: str, executable: str, args: tuple[str, ...], comm: str) -> str:
    """Name of a process that has just executed ``filename``, which resolved to ``executable``.

    runc executes itself from an open file that has no path at all: then its first argument is the last word but one.
    """
    if not is_open_file(filename):
        name = base_name(filename)
        if name:
            return name
    return base_name(executable) or (base_name(args[0]) if args else "") or comm


def name_when_running(args: tuple[str, ...], executable: str, comm: str) -> str:
    """Name of a process that was found running: what comm was made from, where that can be told.

    The first argument is its own name (a login shell's has a dash before it), or an interpreter's, and then the
    second is the script.
    """
    for argument in args[:2]:
        name = base_name(argument)
        if _is_cut_to(name, comm):
            return name
        if name.startswith("-") and _is_cut_to(name[1:], comm):
            return name[1:]
    return base_name(executable) or comm


def _is_cut_to(name: str, comm: str) -> bool:
    """Whether the kernel would make ``comm`` of a file called ``name``. comm may end within a character."""
    if name == comm:
        return name != ""
    raw = name.encode("utf-8", "replace")
    return len(raw) > COMM_BYTES_MAX and raw[:COMM_BYTES_MAX].decode("utf-8", "replace") == comm
