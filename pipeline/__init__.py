"""lineage: where every process on a Linux host came from, as searchable ECS documents."""

__version__ = "0.1.0"
