"""What `lineage bench` measures: one file a benchmark, and what they share.

- ``base``: what a benchmark is, and what it is given; ``registry``: all of them, in the order they run
- ``agent``: a live agent in a process of its own; ``programs``: what makes the load
- ``statistics``: the kernel's own figures of BPF programs; ``mix``: a made-up stream of events
"""
