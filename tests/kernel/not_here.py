"""Scenarios that not every machine can produce, and those that none can: the one list, by name, with the reason.

Rules of this file:
- everywhere else in these tests a thing that is missing is a failure in CI. What is named here is a skip there too, for
  no package mends it, and it is told at the end of the run: neither a failure nor silent;
- ``needs`` finds out on the machine; no test is left out by a kernel's version.
"""

from __future__ import annotations

import pytest

SCENARIOS = {
    "a 32-bit program": "the kernel runs none (CONFIG_IA32_EMULATION), or the compiler makes none (-m32)",
    "a system call the 32-bit way": "int 0x80 is x86's alone, and a kernel may be built without it",
    "a pid asked for by its number": "clone3 with set_tid (since Linux 5.5) is not allowed",
    "binfmt_misc": "the kernel has none, or one for all of the host (a user namespace has its own since Linux 6.7)",
    "overlay": "the kernel has no overlay file system, or does not let it be mounted here",
    "set-user-ID files": "the file system of the temporary folder is mounted nosuid",
    "cgroup hierarchies of version 1": "the machine has the unified hierarchy alone, with all controllers",
    "file capabilities": "the file system of the temporary folder keeps no extended attributes, or is mounted nosuid",
    "a time namespace": "they came with Linux 5.6, and a kernel may be built without them",
    "a time namespace for whoever shares memory": "before Linux 6.3 posix_spawn is refused where a child would get one",
    "a user namespace": "some systems give them to root alone",
    "a serial terminal": "few machines have a serial line that nobody uses; elsewhere the tree alone is tested",
    "a console": "without a virtual console that nobody uses the tree alone is tested",
}
"""What a test asks for with ``needs``, and why it may not be there."""

NEVER = {
    "suspend": "no machine of the tests can be suspended; all times are CLOCK_BOOTTIME's, which goes on meanwhile",
    "a step of the host's clock": "it is not the tests' to set; the source is given one that steps",
    "a login by ssh": "no daemon and no network: processes with its programs' names do what it does",
    "a login by a session manager": "its agent needs its cloud: processes with its names do what it does",
    "a write to another process's comm": "the kernel takes it from the process's own threads alone",
    "a rename of a kernel thread": "only the kernel renames its threads, when it makes or reuses them",
    "other container runtimes": "crun refuses hybrid cgroups, no image of others can be had: cgroups are made by hand",
}
"""What no test produces, and what stands in for it."""

_missed: dict[str, str] = {}


def needs(name: str, able: bool) -> None:
    """Skip the test, and say so at the end, where the machine is not able to produce the scenario of that name."""
    if not able:
        _missed[name] = SCENARIOS[name]
        pytest.skip(f"not here: {name}: {SCENARIOS[name]}")


def missed() -> list[str]:
    """For the end of a run."""
    return [f"not produced on this machine: {name}: {why}" for name, why in sorted((NEVER | _missed).items())]
