"""Live events of this host, from eBPF: a loader that is root for seconds, and a source that is not.

``EbpfSource`` is imported when it is first asked for: before anything is installed, ``requirements/system.sh`` asks
``headers`` under an interpreter that has the standard library alone.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.sources.ebpf.collector import EbpfSource

__all__ = ["EbpfSource"]


def __getattr__(name: str) -> Any:
    if name == "EbpfSource":
        from pipeline.sources.ebpf.collector import EbpfSource

        return EbpfSource
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
