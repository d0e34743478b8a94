"""A program that walks over nothing: it gives the answers that a test wants, and says what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.sources.ebpf.snapshot import END


class ScriptedProgram:
    """After the answers it says END. ``told`` runs before each answer, as the kernel writes records before it."""

    def __init__(self, answers: Iterable[int], told: Callable[[int], None] = lambda _: None) -> None:
        self.asked: list[int] = []
        self._answers = list(answers)
        self._told = told

    def run(self, argument: int) -> int:
        number = len(self.asked)
        self.asked.append(argument)
        self._told(number)
        return self._answers[number] if number < len(self._answers) else END


class RefusedProgram:
    def run(self, argument: int) -> int:
        raise PermissionError(1, "Operation not permitted")


class ScriptedRing:
    """Holds what a test puts in."""

    def __init__(self) -> None:
        self.records: list[bytes] = []

    def drain(self, records_max: int) -> list[bytes]:
        drained, self.records = self.records[:records_max], self.records[records_max:]
        return drained

    def written(self) -> int:
        return 0

    def has_passed(self, position: int) -> bool:
        return True

    def waiting(self) -> bool:
        return bool(self.records)

    def close(self) -> None:
        self.records.clear()
