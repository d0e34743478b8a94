from __future__ import annotations

from tests.sources.ebpf.scripted import scripted

__all__ = ["scripted"]
