"""Which event makes an artifact of which kind: ``FEEDS`` is the whole of it. Another kind is another entry.

While more processes live than ``processes_max``, none are added; where all together are more than ``SHARE`` times
that, no process gets more than ``SHARE`` of a kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.events import CredentialChange
from pipeline.tree.changes.facts import credentials
from pipeline.tree.known.artifacts import Artifact, Artifacts
from pipeline.tree.known.retention import fair
from pipeline.tree.known.state import Process, State

SHARE = 4
"""Artifacts of a kind that nobody else's can take the room of: 100 MiB for 32768 processes, twice that at most."""


def _of_credentials(state: State, process: Process, event: CredentialChange) -> Artifact:
    task = event.task
    thread = None if task.tid == process.pid else state.threads.get((task.tid, task.thread_start_ns))
    told = credentials(task, event.groups)
    known = process.credentials if thread is None else thread.credentials
    tid = process.pid if task.tid == process.pid else task.tid  # kept once
    return Artifact(event.stamp.time_ns, "credentials", "changed", tid, known if known == told else told)


FEEDS: dict[type, Callable[[State, Process, Any], Artifact]] = {CredentialChange: _of_credentials}


def note(state: State, process: Process, event: Any) -> None:
    """Called for each event in ``FEEDS`` that has changed the process."""
    if process.artifacts is None:
        process.artifacts = Artifacts()
    artifact = FEEDS[type(event)](state, process, event)
    processes = state.processes
    most = (
        0 if processes.is_over_bound else fair(state.artifacts_max, SHARE, processes.artifacts, processes.processes_max)
    )
    before = len(process.artifacts.noted)
    state.counters.artifacts_dropped += process.artifacts.add(artifact, most)
    processes.artifacts += len(process.artifacts.noted) - before
