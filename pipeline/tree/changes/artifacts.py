"""Which event makes an artifact of which kind: ``FEEDS`` is the whole of it. Another kind is another entry.

While more processes live than ``processes_max``, none are added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.events import CredentialChange
from pipeline.tree.changes.facts import credentials
from pipeline.tree.known.artifacts import Artifact, Artifacts
from pipeline.tree.known.state import Process, State


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
    most = 0 if state.processes.is_over_bound else state.artifacts_max
    state.counters.artifacts_dropped += process.artifacts.add(artifact, most)
