"""Strings as Elasticsearch takes them: a term is at most 32,766 bytes of UTF-8, or the whole document is refused."""

from __future__ import annotations

TERM_MAX_BYTES = 32766
SURELY_FITS = TERM_MAX_BYTES // 4  # no character takes more than four bytes: most strings are never encoded to measure


def cut(text: str) -> str:
    """``text`` itself (the same object) when it fits in one term, else as many whole characters of it as do."""
    if len(text) <= SURELY_FITS:
        return text
    encoded = text.encode()
    if len(encoded) <= TERM_MAX_BYTES:
        return text
    return encoded[:TERM_MAX_BYTES].decode(errors="ignore")  # ignores the bytes of a character cut in two
