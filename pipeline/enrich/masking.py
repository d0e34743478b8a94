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
        self._groups = _groups(patterns)
        self._cached = lru_cache(CACHED_MAX)(self._mask)

    def mask(self, argument: str) -> str:
        """The argument without its secrets; the same object when there are none."""
        return self._cached(argument) if len(argument) <= CACHED_LENGTH_MAX else self._mask(argument)

    def _mask(self, argument: str) -> str:
        masked = argument
        for sign, patterns in self._groups:
            if sign.search(masked):
                for pattern in patterns:
                    masked = pattern.sub(MASK, masked)
        return argument if masked == argument else masked


_BEHIND_A_WORD = re.compile(
    r"""(\(\?i\))?  \(\?<=  ([\w\ :=/@-]*[:=/@])  [\w\ :=/@-]*  \)  (?![?*+{])  [^|]*\Z""", re.ASCII | re.VERBOSE
)
"""A pattern that looks behind itself for plain characters; (flag, those up to the last sign among them)."""


def _groups(patterns: Sequence[str]) -> list[tuple[re.Pattern[str], list[re.Pattern[str]]]]:
    """The patterns in their order, and before each few an expression that is found wherever one of them matches.

    A pattern that begins with a look-behind is tried at every character, 5 us for nine of them and 35 characters. But
    what it looks behind for holds a sign (``=`` of ``--token=``), which is looked for as fast as memory is read, and
    the word before it only where that stands: 0.1 us. Any other pattern is tried as it is.
    """
    groups: list[tuple[str, list[str], list[re.Pattern[str]]]] = []
    for pattern in patterns:
        compiled = _compile(pattern)
        found = _BEHIND_A_WORD.match(pattern)
        if found is None:
            groups.append((pattern, [], [compiled]))
            continue
        sign, word = found[2][-1], re.escape(found[2])
        if not groups or groups[-1][0] != sign or not groups[-1][1]:
            groups.append((sign, [], []))
        _, words, members = groups[-1]
        words.append(f"(?i:(?<={word}))" if found[1] else f"(?<={word})")
        members.append(compiled)
    return [
        (re.compile(f"{sign}(?:{'|'.join(words)})") if words else members[0], members)
        for sign, words, members in groups
    ]


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"mask_patterns: {pattern!r} is not a regular expression ({error})", "correct it, or take it out"
        ) from error
