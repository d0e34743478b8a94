"""From events to processes: who is there, who gave birth to whom, and what each was at any moment."""

from pipeline.tree.questions import (
    ArtifactsAnswer,
    LineageAnswer,
    LineageKey,
    NoAnswer,
    ProcessAnswer,
    ProcessKey,
    ThreadAnswer,
    ThreadKey,
)
from pipeline.tree.tree import ProcessTree

__all__ = [
    "ArtifactsAnswer",
    "LineageAnswer",
    "LineageKey",
    "NoAnswer",
    "ProcessAnswer",
    "ProcessKey",
    "ProcessTree",
    "ThreadAnswer",
    "ThreadKey",
]
