"""Lineage as text: ``parent → child`` and the whole chain, root first.

Rules:
- names are joined by ARROW; nothing inside a name can look like one. A name that holds an arrow, or what the index's
  normalizer takes for one (``->``, ``=>``), is written with it escaped: ``→`` as ``\\u2192``, and the ``>`` of the
  others as ``\\u003e``. So a file called ``nginx → bash`` forges nothing, neither as stored nor as normalized.
- every other name stands as it is, so ``lineage`` equals what the runtime field's script computes of
  ``process.parent.name`` and ``process.name``.
- what is not known is ``unknown``; names beyond NAMES_MAX are left out at the root, and the chain says so (``…``).
- each is one term of Elasticsearch. A chain too long for that loses names at its root: its end is what is asked for.
"""

from __future__ import annotations

from pipeline.enrich.text import TERM_MAX_BYTES, cut
from pipeline.process import ProcessVersion

ARROW = " → "
UNKNOWN = "unknown"
OMITTED = "…"
NAMES_MAX = 32


def escape(name: str) -> str:
    """A name as it stands in a lineage; one without an arrow is unchanged, an empty one is UNKNOWN."""
    if "→" in name or ">" in name:
        return name.replace("→", "\\u2192").replace("->", "-\\u003e").replace("=>", "=\\u003e")
    return name or UNKNOWN


def lineage(process: ProcessVersion) -> str:
    """``parent → child``; ``unknown → child`` when nobody has told of the parent, and for pid 1."""
    parent = process.parent
    return cut((escape(parent.image.name) if parent else UNKNOWN) + ARROW + escape(process.image.name))


def chain(process: ProcessVersion) -> str:
    """``systemd → nginx → bash``: birth parents, root first, each named as it was when its child was born.

    At most NAMES_MAX names, the process itself the last of them; ``… → `` stands for more, ``unknown → `` for the
    parent nobody has told of.
    """
    whole = beginning(process) + escape(process.image.name)
    return whole if cut(whole) is whole else _end_of(whole)


def beginning(process: ProcessVersion) -> str:
    """The chain as far as the parent, with the arrow behind it; empty for a root."""
    names = [escape(ancestor.image.name) for ancestor in reversed(process.ancestors[: NAMES_MAX - 1])]
    if process.depth > len(names):
        names.insert(0, OMITTED)
    elif not process.complete:
        names.insert(0, UNKNOWN)
    return "".join(name + ARROW for name in names)


def _end_of(whole: str) -> str:
    """As many names from the end as fit behind ``… → ``; the last one at least, cut if need be."""
    *names, kept = whole.split(ARROW)
    room = TERM_MAX_BYTES - len((OMITTED + ARROW).encode()) - len(kept.encode())
    while names and room >= len((names[-1] + ARROW).encode()):
        name = names.pop() + ARROW
        kept = name + kept
        room -= len(name.encode())
    return cut(OMITTED + ARROW + kept)
