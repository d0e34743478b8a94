"""From events to processes: who is there, who gave birth to whom, and what each was at any moment."""

from pipeline.tree.known.artifacts import KINDS, TOLD_OF, Artifact, Kind
from pipeline.tree.known.state import KTHREADD_PID
from pipeline.tree.questions.answers import (
    ArtifactsAnswer,
    Edge,
    LineageAnswer,
    LineageKey,
    NoAnswer,
    ParentAnswer,
    ProcessAnswer,
    ProcessKey,
    Reason,
    ThreadAnswer,
    ThreadKey,
)
from pipeline.tree.questions.forgotten import Relatives
from pipeline.tree.questions.processes import DEPTH_MAX, Versions
from pipeline.tree.tree import ProcessTree, Sizes

__all__ = [
    "DEPTH_MAX",
    "KINDS",
    "KTHREADD_PID",
    "TOLD_OF",
    "Artifact",
    "ArtifactsAnswer",
    "Edge",
    "Kind",
    "LineageAnswer",
    "LineageKey",
    "NoAnswer",
    "ParentAnswer",
    "ProcessAnswer",
    "ProcessKey",
    "ProcessTree",
    "Reason",
    "Relatives",
    "Sizes",
    "ThreadAnswer",
    "ThreadKey",
    "Versions",
]
