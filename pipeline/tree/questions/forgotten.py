"""How many relatives of a process are not known any more: what an answer about them cannot tell.

Rules of this file:
- An evicted process has left its parent's identity behind (``Gone``), so that it can be counted where it belongs. Of
  whoever is not even remembered as evicted its parent's number says that it was: see ``retention``.
- Where nobody can tell whether one belongs there it counts: so many may be missing, and no more than are known to be
  forgotten.
Raises NoAnswer as ``processes.process`` does. Each that is remembered as evicted is looked at once: 5 ms for 32768.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from pipeline.tree.known.state import NOBODY, Key, Process, State
from pipeline.tree.questions.answers import ProcessKey, check_one_of, find

Relatives = Literal["children", "descendants", "living", "siblings", "threads"]
"""``living``: descendants that lived at that moment; the others were born by then."""


def count(state: State, key: ProcessKey, relatives: Relatives) -> int:
    """Raises ValueError for other relatives."""
    check_one_of("relatives", relatives, get_args(Relatives))
    found = find(state, key.entity_id)
    if relatives in ("descendants", "living"):
        return _below(state, found, key.time_ns, alive=relatives == "living")
    if relatives == "threads":
        return _threads(state, found, key.time_ns)
    parent = found.key if relatives == "children" else found.parent_key
    return 0 if parent == NOBODY else _born_of(state, parent, key.time_ns)


def _born_of(state: State, parent: Key, time_ns: int | None) -> int:
    known = state.processes
    remembered = sum(
        gone.parent_key == parent and (time_ns is None or key[1] <= time_ns) for key, gone in known.evicted.items()
    )
    beyond = known.beyond.get(parent)
    return remembered + (0 if beyond is None or _later(beyond.first_ns, time_ns) else beyond.children)


def _later(start_ns: int, time_ns: int | None) -> bool:
    return time_ns is not None and start_ns > time_ns


def _below(state: State, above: Process, time_ns: int | None, *, alive: bool) -> int:
    """``alive``: as far as they are remembered; now nobody of them lives."""
    if alive and time_ns is None:
        return 0
    answers = {above.key: True, NOBODY: False}
    is_below = _is_below(state, above, answers)
    remembered = 0
    for gone_key, gone in state.processes.evicted.items():
        if time_ns is None or (gone_key[1] <= time_ns and (not alive or time_ns < gone.end_ns)):
            answer = answers.get(gone.parent_key)
            remembered += is_below(gone.parent_key) if answer is None else answer
    if alive:
        return remembered
    beyond = state.processes.beyond.items()
    return remembered + sum(
        more.descendants for parent, more in beyond if not _later(more.first_ns, time_ns) and is_below(parent)
    )


def _is_below(state: State, above: Process, answers: dict[Key, bool]) -> Callable[[Key], bool]:
    """Whether that one is it, or descends from it, by the parents of all that are known or remembered.

    ``answers``: what is known of that already, and becomes known.
    """
    processes = state.processes

    def climb(key: Key) -> bool:
        path: list[Key] = []
        answer: bool | None = None
        while answer is None:
            answer = answers.get(key)
            if answer is not None:
                break
            path.append(key)
            answers[key] = False  # until it is known: no circle is climbed twice
            one, gone = processes.peek(key), processes.evicted.get(key)
            if key[1] < above.start_ns:
                answer = False  # nobody is born before his parent
            elif one is not None:
                if processes.peek(one.parent_key) is None and one.parent_key not in processes.evicted:
                    answer = above.entity_id in (each.entity_id for each in one.ancestors)
                key = one.parent_key
            elif gone is not None:
                key = gone.parent_key
            else:
                answer = True
        answers.update(dict.fromkeys(path, answer))
        return answer

    return climb


def _threads(state: State, process: Process, time_ns: int | None) -> int:
    """Of those that are not remembered any more nobody knows when they began."""
    own = [gone for gone in state.threads.evicted.values() if gone.process == process.key]
    began_later = sum(_later(gone.start_ns, time_ns) for gone in own)
    return process.threads_forgotten - began_later
