"""From events to processes: who is there, who gave birth to whom, and what each was at any moment."""

from pipeline.tree.answers import (
    ArtifactsAnswer,
    LineageAnswer,
    LineageKey,
    NoAnswer,
    ProcessAnswer,
    ProcessKey,
    Reason,
    ThreadKey,
)
from pipeline.tree.artifacts import Artifact, Kind
from pipeline.tree.families import Edge
from pipeline.tree.thread_questions import ThreadAnswer
from pipeline.tree.tree import ProcessTree, Sizes

__all__ = [
    "Artifact",
    "ArtifactsAnswer",
    "Edge",
    "Kind",
    "LineageAnswer",
    "LineageKey",
    "NoAnswer",
    "ProcessAnswer",
    "ProcessKey",
    "ProcessTree",
    "Reason",
    "Sizes",
    "ThreadAnswer",
    "ThreadKey",
]
