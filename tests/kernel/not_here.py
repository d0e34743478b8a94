"""Scenarios that not every machine can produce: the one list, by name, with what they need.

Rules of this file:
- everywhere else in these tests a thing that is missing is a failure in CI. What is named here is a skip there too, for
  no package mends it, and it is told at the end of the run: neither a failure nor silent;
- ``needs`` finds out on the machine; no test is left out by a kernel's version.
"""

from __future__ import annotations

import pytest

SCENARIOS = {
    "a 32-bit program": "the kernel runs none (CONFIG_IA32_EMULATION), or the compiler makes none (-m32)",
    "a pid asked for by its number": "clone3 with set_tid (since Linux 5.5) is not allowed",
    "binfmt_misc": "the kernel has none, or one for all of the host (a user namespace has its own since Linux 6.7)",
    "overlay": "the kernel has no overlay file system, or does not let it be mounted here",
    "file capabilities": "the file system of the temporary folder keeps no extended attributes, or is mounted nosuid",
}
_missed: dict[str, str] = {}


def needs(name: str, able: bool) -> None:
    """Skip the test, and say so at the end, where the machine is not able to produce the scenario of that name."""
    if not able:
        _missed[name] = SCENARIOS[name]
        pytest.skip(f"not here: {name}: {SCENARIOS[name]}")


def missed() -> list[str]:
    return [f"not produced on this machine: {name}: {reason}" for name, reason in sorted(_missed.items())]
