"""From events to processes: who is there, who gave birth to whom, and what each was at any moment."""

from pipeline.tree.known.artifacts import Artifact, Kind
from pipeline.tree.questions.answers import (
    ArtifactsAnswer,
    LineageAnswer,
    LineageKey,
    NoAnswer,
    ProcessAnswer,
    ProcessKey,
    Reason,
    ThreadKey,
)
from pipeline.tree.questions.families import Edge
from pipeline.tree.questions.forgotten import Relatives
from pipeline.tree.questions.threads import ThreadAnswer
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
    "Relatives",
    "Sizes",
    "ThreadAnswer",
    "ThreadKey",
]
