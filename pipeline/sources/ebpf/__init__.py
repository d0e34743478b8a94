"""Live events of this host, from eBPF: a loader that is root for seconds, and a source that is not."""

from pipeline.sources.ebpf.collector import EbpfSource

__all__ = ["EbpfSource"]
