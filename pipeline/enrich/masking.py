"""Secrets in arguments: what matches a pattern becomes ``***`` before anything else sees the argument.

Each argument is looked at by itself, by each pattern in turn; a secret that stands in an argument of its own, after
its option (``--password secret``), has nothing that a pattern could know it by and is not found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from pipeline.errors import ConfigError

MASK = "***"

# Arguments repeat (`-c`, `-O2`, `/bin/sh`), and nine patterns cost 2 to 5 us for one of 15 to 35 characters, a cached
# answer 0.06 us. Long ones are rarely seen twice and are not kept: at most 8192 x 256 characters.
CACHED_MAX = 8192
CACHED_LENGTH_MAX = 256


class Masker:
    """Raises ConfigError, naming the pattern, when one is no regular expression."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [_compile(pattern) for pattern in patterns]
        self._any = _either(self._patterns)
        self._cached = lru_cache(CACHED_MAX)(self._mask)

    def mask(self, argument: str) -> str:
        """The argument without its secrets; the same object when there are none."""
        return self._cached(argument) if len(argument) <= CACHED_LENGTH_MAX else self._mask(argument)

    def _mask(self, argument: str) -> str:
        if self._any is not None and self._any.search(argument) is None:
            return argument
        masked = argument
        for pattern in self._patterns:
            masked = pattern.sub(MASK, masked)
        return argument if masked == argument else masked


def _either(patterns: Sequence[re.Pattern[str]]) -> re.Pattern[str] | None:
    """One pattern that is found where any of them is; None where that cannot be said, since groups would clash.

    Most arguments hold no secret, and one search costs 0.5 us for a short one where nine cost 2.
    """
    if not patterns or any(pattern.groups for pattern in patterns):
        return None
    scoped = [_GLOBAL_FLAGS.sub(r"(?\1:", pattern.pattern, count=1) for pattern in patterns]
    closed = [
        text + ")" if text != pattern.pattern else f"(?:{text})" for text, pattern in zip(scoped, patterns, strict=True)
    ]
    try:
        return re.compile("|".join(closed))
    except re.error:  # flags that cannot be scoped, an unended comment: each pattern by itself is right
        return None


_GLOBAL_FLAGS = re.compile(r"^\(\?([imsx]+)\)")


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"mask_patterns: {pattern!r} is not a regular expression ({error})", "correct it, or take it out"
        ) from error
