"""What `lineage bench` measures: one file a benchmark, and what they share.

- ``base``: what a benchmark is, and what it is given; ``registry``: all of them, in the order they run
- ``agent``: a live agent in a process of its own; ``witness_program``: one that answers what its tree says;
  ``collectors``: tracers of others beside it
- ``programs``: what makes the load, a process of its own each (``*_program``)
- ``blocks``: a storm's rounds; ``paired``: ratios of what was measured in turn, and how sure they are
- ``statistics``: the kernel's own figures of BPF programs
- ``processes``, ``against_proc``: what /proc says, and whether a tree says the same
- ``mix``: a made-up stream of events
"""
