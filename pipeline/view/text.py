"""Text from other people's processes, made safe to print.

A process chooses its own name and arguments; printed raw they could move the cursor, change colours, forge lines or
turn the direction of writing. Whatever Unicode does not call printable becomes a backslash escape. Markup of the
drawing library needs no care here: untrusted text only ever goes into ``rich.text.Text``, which has none.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """The same text with every control, format, surrogate and unassigned character escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
