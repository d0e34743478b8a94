"""Every error a user may see. One line each: what is wrong, and what to do about it.

Foreign exceptions are translated where they enter (``raise ... from``); whose fault it is shows in the type.
"""

from __future__ import annotations


class LineageError(Exception):
    """A message of one line and the way out. The command line prints it and exits with ``exit_code``."""

    exit_code = 1

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message}: {self.mend}" if self.mend else self.message


class UsageError(LineageError):
    """The user asked for something that does not exist or does not fit together."""

    exit_code = 2


class ConfigError(UsageError):
    """An unknown configuration key, or a value that does not fit it."""


class HostError(LineageError):
    """This host lacks something that tracing needs: privilege, BTF, BCC, headers, a kernel feature."""


class ContainerRuntimeError(LineageError):
    """The container runtime did not say what it was asked for. ``reason`` is one word, for the counter."""

    def __init__(self, reason: str, message: str, mend: str = "") -> None:
        super().__init__(message, mend)
        self.reason = reason


class RecordingError(LineageError):
    """A recording that cannot be read: foreign, of another version, cut."""


class SinkError(LineageError):
    """A sink that will not take documents until somebody mends it: credentials, version, mapping, disk."""


class SinkUnavailable(LineageError):  # noqa: N818 - a state of the world, not a mistake
    """A sink that does not answer now but may later; the outbox keeps the batch and tries again."""
