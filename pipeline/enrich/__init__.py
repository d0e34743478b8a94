"""Describes processes as ECS documents: pure, synchronous, no clock, no I/O, no environment."""

from pipeline.enrich.describer import Describer
from pipeline.enrich.tables import Tables

__all__ = ["Describer", "Tables"]
