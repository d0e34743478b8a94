"""Who had a number, a pid or a tid, in some time: the kernel gives them out again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from pipeline.tree.questions.answers import WENT, NoAnswer

Gone = Iterable[tuple[int, int]]
"""Start and end of each that had the number and is not known any more."""


class Had(NamedTuple):
    entity_id: str
    start_ns: int
    end_ns: int | None


class Number(NamedTuple):
    kind: Literal["pid", "tid"]
    value: int

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"

    @property
    def whose(self) -> str:
        return "process" if self.kind == "pid" else "thread"

    def nobody(self, when: str = "") -> NoAnswer:
        reason: Literal["no_such_pid", "no_such_tid"] = "no_such_pid" if self.kind == "pid" else "no_such_tid"
        return NoAnswer(reason, f"no {self.whose} with {self} is known{when}")


class Fit(NamedTuple):
    known: list[Had]
    forgotten: int


def last(number: Number, had: list[Had], gone: Gone) -> Had:
    """Raises NoAnswer: forgotten, no_such_pid, no_such_tid."""
    if had:
        return max(had, key=lambda one: one.start_ns)
    if any(True for _ in gone):
        raise NoAnswer("forgotten", f"who had {number} last {WENT}")
    raise number.nobody()


def between(number: Number, had: list[Had], gone: Gone, from_ns: int, last_ns: int, unknown: NoAnswer | None) -> Fit:
    """At least one that is known, youngest first. Raises NoAnswer likewise; ``unknown`` where nobody is, if that is
    one."""
    fit = [one for one in had if one.start_ns <= last_ns and (one.end_ns is None or one.end_ns >= from_ns)]
    forgotten = sum(start_ns <= last_ns and end_ns >= from_ns for start_ns, end_ns in gone)
    if not fit and not forgotten:
        raise unknown or number.nobody(" to have lived then")
    if not fit:
        raise NoAnswer("forgotten", f"who had {number} then {WENT}")
    return Fit(sorted(fit, key=lambda one: -one.start_ns), forgotten)


def several(number: Number, fit: Fit) -> str:
    forgotten = fit.forgotten
    though = f", {forgotten} of which {'is' if forgotten == 1 else 'are'} not known any more" if forgotten else ""
    whose = "processes" if number.kind == "pid" else "threads"
    return f"{len(fit.known) + forgotten} {whose} had {number} in that time{though}"
