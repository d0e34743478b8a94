"""The configuration's filters and its allowed environment variables, as macros that are compiled into the programs.

Rules of this file:
- a macro is an expression over constants: what is not configured costs the kernel nothing;
- filters drop detail and documents, never births, execs, ends and moves between cgroups and namespaces (bpf/filter.h);
- names of variables are compared whole, up to their ``=``, in the kernel: nothing else of an environment leaves it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.sources.hostfacts import INITIAL_PID_NS

UNIFIED = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
_WORD = 8
_WORDS = 4  # of a variable's beginning that are compared: a name has at most 31 bytes


def macros(config: Config, agent_pid: int) -> dict[str, str | int]:
    """Without their LINEAGE_ prefix. Raises ``ConfigError`` for a cgroup that does not exist."""
    cgroups = [cgroup_id(path) for path in config.drop_cgroups]
    return {
        "DROP_UIDS": len(config.drop_uids),
        "DROP_UID(uid)": _any_of("uid", config.drop_uids),
        "DROP_CGROUPS": len(cgroups),
        "DROP_CGROUP(id)": _any_of("id", cgroups),
        "DROP_INSIDE": int(config.drop_containers == "inside"),
        "DROP_OUTSIDE": int(config.drop_containers == "outside"),
        "DROP_KERNEL_THREADS": int(config.drop_kernel_threads),
        "DROP_PID": agent_pid if config.drop_own_process else 0,
        "HOST_PID_NS": INITIAL_PID_NS,
        "ALLOWED_NAMES": len(config.environment_names),
        "ALLOWED_BEGINNING(word)": _or(" | ", (_beginning(name) for name in config.environment_names)),
        "ALLOWED(words)": _or(" | ", (_whole(name) for name in config.environment_names)),
    }


def cgroup_id(path: Path, roots: Sequence[Path] = UNIFIED) -> int:
    """The id that the kernel gives a cgroup of the unified hierarchy: the inode of its folder."""
    for root in roots:
        folder = root / str(path).lstrip("/")
        if (root / "cgroup.controllers").exists() and folder.is_dir():
            return os.stat(folder).st_ino
    raise ConfigError(
        f"drop_cgroups: there is no cgroup {path} in the unified hierarchy", "name one as /proc/PID/cgroup does"
    )


def _any_of(name: str, numbers: Sequence[int]) -> str:
    return _or(" || ", (f"({name}) == {number}ULL" for number in numbers))


def _or(operator: str, conditions: Iterable[str]) -> str:
    return f"({operator.join(conditions)})".replace("()", "0")


def _begins(word: str, wanted: bytes) -> str:
    """Whether a word begins with ``wanted``, at most 8 bytes of it, as a little-endian number.

    SAME is arithmetic (bpf/environment.h): a branch for each name would be that many ways through the loop for the
    verifier.
    """
    mask = (1 << 8 * len(wanted)) - 1
    return f"SAME(({word}) & {mask:#x}ULL, {int.from_bytes(wanted, 'little'):#x}ULL)"


def _beginning(name: str) -> str:
    return _begins("word", f"{name}=".encode()[:_WORD])


def _whole(name: str) -> str:
    wanted = f"{name}=".encode()
    pieces = [wanted[at : at + _WORD] for at in range(0, len(wanted), _WORD)]
    return "(" + " & ".join(_begins(f"(words)[{number}]", piece) for number, piece in enumerate(pieces)) + ")"
