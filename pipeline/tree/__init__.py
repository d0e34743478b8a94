"""From events to processes: who is there, who gave birth to whom, and what each was at every birth."""

from pipeline.tree.tree import ProcessTree

__all__ = ["ProcessTree"]
