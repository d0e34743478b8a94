"""Standard output that knows its own failures: an OSError alone does not say what could not be written."""

from __future__ import annotations

import io
import os
import sys


class Output(io.TextIOWrapper):
    """``failure`` is the last error of writing."""

    failure: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.failure = error
            raise


def failed_with(error: BaseException) -> str:
    """What the system said where this is why standard output could not be written; else nothing.

    What is left goes nowhere: the interpreter would try it again at its end, and complain in its own words.
    """
    if not isinstance(sys.stdout, Output) or sys.stdout.failure is not error:
        return ""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return sys.stdout.failure.strerror or type(error).__name__


def install() -> None:
    """Put it in the place of the interpreter's; where that was closed before we began, what is printed goes nowhere."""
    plain: object = sys.stdout
    if plain is None:
        plain = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - till the end
    if isinstance(plain, io.TextIOWrapper):
        encoding, errors = plain.encoding, plain.errors
        line_buffering, write_through = plain.line_buffering, plain.write_through
        sys.stdout = Output(
            plain.detach(), encoding, errors, line_buffering=line_buffering, write_through=write_through
        )
