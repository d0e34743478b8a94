"""Text from other people's processes, made safe to print.

A process chooses its own name and arguments; printed raw they could move the cursor, change colours, forge lines or
turn the direction of writing. Whatever Unicode does not call printable becomes a backslash escape. Markup of the
drawing library needs no care here: untrusted text only ever goes into ``rich.text.Text``, which has none.
"""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from rich.text import Text

ARROW = " → "
CUT = "…"


def printable(text: str) -> str:
    """The same text with every control, format, surrogate and unassigned character escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def fit_chain(chain: str, width: int) -> str:
    """A printable chain in at most ``width`` terminal cells: the root, ``…``, and as many of the last names as fit.

    What is left out is in the middle and no more than needed. Names stay whole; only where not even the last one fits
    is that one cut. The root goes before the last name does.
    """
    if cell_len(chain) <= width:
        return chain
    names = chain.split(ARROW)
    shorter = [ARROW.join([names[0], CUT, *names[first:]]) for first in range(2, len(names))]
    last = names[-1]
    for form in [*shorter, f"{CUT}{ARROW}{last}", last]:
        if cell_len(form) <= width:
            return form
    return set_cell_size(last, width - 1) + CUT if width > 0 else ""


def styled_chain(chain: str) -> Text:
    """Ancestors dim, the last step plain, the process itself bold."""
    names = chain.split(ARROW)
    text = Text()
    text.append("".join(name + ARROW for name in names[:-2]), style="dim")
    text.append("".join(name + ARROW for name in names[-2:-1]))
    return text.append(names[-1], style="bold")
