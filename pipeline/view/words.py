"""What a person calls what documents and answers carry: times, properties, ends, capabilities, how many of what.

Rules of this file: text of processes goes through ``printable``; a time has its zone, on a terminal this machine's, in
a pipe as documents have it, so that what two commands print can be put side by side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from pipeline.enrich.kernel_names import ALL_CAPABILITIES, capabilities, signal_name
from pipeline.view.text import printable

Fields = dict[str, Any]

HOW = {"kernel": "as it happened", "snapshot": "found running", "repair": "found by a later look"}
"""How a fact was learnt."""

TOLD = {
    "birth": "birth",
    "image": "program",
    "working_directory": "directory",
    "credentials": "user and capabilities",
    "supplemental_groups": "groups",
    "thread_name": "thread name",
    "session": "session",
    "namespaces": "namespaces",
    "container": "container",
    "reaper": "present parent",
    "entry_leader": "entry leader",
    "session_leader": "session leader",
    "group_leader": "group leader",
    "end": "end",
}
"""What an answer's ``told`` and ``unsure`` name."""

NAMED_MAX = 6  # capabilities by name in one line; of more their number tells more
ALL = frozenset(capabilities(ALL_CAPABILITIES))


def when(time: str, *, terminal: bool) -> str:
    """A document's time; on a terminal on this machine's clock, to the millisecond, with its distance to UTC.

    As it is where it is no time.
    """
    if not terminal:
        return time
    try:
        return datetime.fromisoformat(time).astimezone().isoformat(" ", "milliseconds")
    except ValueError:
        return time


def told(words: Iterable[str]) -> str:
    """Properties as a person calls them."""
    return ", ".join(TOLD.get(word, word) for word in words)


def not_sure(document: Fields) -> str:
    """Of a moment of the past: what nobody knows any more."""
    unsure = told(document.get("unsure") or ())
    return f"(not sure then: {unsure})" if unsure else ""


def counted(number: int, one: str, more: str = "") -> str:
    """``1 version``, ``2 versions``, ``10,000 processes``."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def before(age: timedelta) -> str:
    """``5 hours before`` that moment, in the largest unit that fits."""
    seconds = max(0, round(age.total_seconds()))
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{counted(seconds // length, unit)} before"
    return f"{counted(seconds, 'second')} before"


def outcome(document: Fields) -> str:
    """``killed by SIGSEGV``, ``exit code 7``; nothing where nobody has told how it ended."""
    signal = ((document.get("lineage") or {}).get("exit") or {}).get("signal")
    if isinstance(signal, int):
        return f"killed by {signal_name(signal)}"
    code = (document.get("process") or {}).get("exit_code")
    return "" if code is None else printable(f"exit code {code}")


def ended(document: Fields) -> str:
    """``ended, exit code 7``, ``killed by SIGSEGV``; that nobody saw it where nobody did."""
    how = outcome(document)
    if not how:
        inferred = document.get("end_how") == "repair"
        return "ended by then, nobody saw when or how" if inferred else "ended, nobody saw how"
    return how if how.startswith("killed") else f"ended, {how}"


def doubts(documents: Iterable[Fields]) -> str:
    """How many of these may not be the whole truth, and why; nothing where all are."""
    doubtful = [doubt for document in documents if (doubt := (document.get("lineage") or {}).get("doubt"))]
    if not doubtful:
        return ""
    reasons = Counter(reason for doubt in doubtful for reason in doubt)
    listed = ", ".join(f"{printable(str(reason))} {count:,}" for reason, count in sorted(reasons.items()))
    return f"{len(doubtful):,} of these may not be the whole truth ({listed}): --json says which"


def capability_set(names: Sequence[str]) -> str:
    """``all``, ``none``, a few by name, ``all but`` a few, else their number."""
    has, lacks = set(names), ALL - set(names)
    if not has:
        return "none"
    if not lacks:
        return "all"
    if len(has) <= NAMED_MAX:
        return printable(" ".join(names))
    if len(lacks) <= NAMED_MAX:
        return "all but " + " ".join(name for name in capabilities(ALL_CAPABILITIES) if name in lacks)
    return f"{len(has)} of {len(ALL)}"


def capability_change(old: Sequence[str], new: Sequence[str]) -> str:
    """``+CAP_X -CAP_Y``; where that is long, the one set and the other."""
    lost = [f"-{name}" for name in old if name not in new]
    gained = [f"+{name}" for name in new if name not in old]
    if len(lost) + len(gained) <= NAMED_MAX and new:
        return printable(" ".join([*gained, *lost]))
    return f"{capability_set(old)} → {capability_set(new)}"


def account(process: Fields, kind: str) -> str:
    """The name, else the number, of a user or group of a process."""
    found = process.get(kind) or {}
    value = found.get("name") or found.get("id")
    return "" if value is None else printable(str(value))


def groups(process: Fields) -> str:
    """Supplementary groups, by name where they have one."""
    found = process.get("supplemental_groups") or []
    listed = found if isinstance(found, list) else [found]
    return printable(" ".join(str(one.get("name") or one.get("id")) for one in listed))


def terminal_name(process: Fields) -> str:
    """``pts/0``; ``4:64`` where the kind of device has no name here."""
    device = (process.get("tty") or {}).get("char_device")
    if not device:
        return ""
    major, minor = int(device["major"]), int(device["minor"])
    if 136 <= major <= 143:  # UNIX98_PTY_SLAVE_MAJOR of the kernel's major.h, 256 terminals each
        return f"pts/{(major - 136) * 256 + minor}"
    return f"tty{minor}" if major == 4 and minor < 64 else f"{major}:{minor}"
