"""With very few versions kept: whatever an answer does not name as unsure is what held, though records come late."""

from __future__ import annotations

from hypothesis import settings

from pipeline.tree import ProcessKey, ThreadKey
from tests.tree.answers import answered, id_of
from tests.tree.chronicle import Key
from tests.tree.history import STEP_NS, History, Who, booted
from tests.tree.moments import Moments

WORDS = {
    "image": "image",
    "binary": "image",
    "sockets": "image",
    "ids": "credentials",
    "powers": "credentials",
    "groups": "supplemental_groups",
    "comm": "thread_name",
    "directory": "working_directory",
    "spaces": "namespaces",
    "container": "container",
}
"""Fields of ``Seen``, and how an answer calls what is unsure."""


class HardlyAnyVersions(Moments):
    versions_max = 3

    def _compare(self, key: Key, time_ns: int | None) -> None:
        if not self._is_told_since_its_birth(key) or self.counters.over_bound or self.told.left or self.held:
            return  # over the bound no versions are added at all; the others are the concern of Moments
        answer = self.tree.process(ProcessKey(id_of(key), time_ns))
        seen, expected = answered(self.tree, key, time_ns), self.told.at(key, time_ns)
        for name, word in WORDS.items():
            if word not in answer.unsure and "loss" not in answer.process.doubt:
                got, wanted = getattr(seen, name), getattr(expected, name)
                assert got == wanted, (key, time_ns, name, answer.unsure)


TestHardlyAnyVersions = HardlyAnyVersions.TestCase
TestHardlyAnyVersions.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def _at(history: History, who: Who, time_ns: int | None = None) -> tuple[str, ...]:
    return history.tree.process(ProcessKey(id_of(who.key), time_ns)).unsure


def test_a_child_of_who_does_not_know_does_not_know_either() -> None:
    history, _, shell = booted(versions_max=3)
    born_ns = history.now_ns + STEP_NS // 2
    for number in range(5):
        history.changes_directory(shell, f"/d{number}")
    child = Who(4000, born_ns + 2 * STEP_NS, shell, "bash", session=(50, 500), group=(50, 500))
    history.born(child, shell)
    grandchild = history.forks(child)
    assert _at(history, child) == _at(history, grandchild) == ("working_directory",)
    history.changes_directory(grandchild, "/known")
    assert _at(history, grandchild) == ()


def test_a_late_fact_beside_one_that_was_dropped_and_told_the_same_leaves_open_which_was_later() -> None:
    history, _, shell = booted(versions_max=2)
    history.changes_credentials(shell, 1, groups=(1,))
    late_ns = history.now_ns + STEP_NS // 2
    history.renames(shell, "other")
    assert _at(history, shell) == ()
    now_ns, history.now_ns = history.now_ns, late_ns - STEP_NS
    history.changes_credentials(shell, 2, groups=(2,))
    history.now_ns = now_ns
    assert "supplemental_groups" in _at(history, shell)


def test_where_a_setsid_was_dropped_the_entry_is_unsure_and_its_type_stays() -> None:
    history, init, shell = booted(versions_max=3)
    a = history.forks(shell)
    a.session = a.group = a.key
    history.changes_session(a)
    setsid_ns = history.now_ns
    kind = history.get(a).entry_type
    history.exits(shell, reaper=init)
    a.parent = init
    for number in range(4):
        history.changes_directory(a, f"/d{number}")
    now_ns, history.now_ns = history.now_ns, history.now_ns - STEP_NS // 2 - STEP_NS
    history.renames(a, "late")
    history.now_ns = now_ns
    assert history.get(a).entry_type == kind
    assert {"session", "entry_leader"} <= set(_at(history, a, setsid_ns))


def test_a_threads_rights_from_a_hole_of_its_process_are_unsure() -> None:
    history, _, shell = booted(versions_max=8)
    history.changes_credentials(shell, 5)
    history.starts_thread(shell, 900)
    began_ns = history.now_ns
    thread = next(one for one in history.tree.threads_of(ProcessKey(id_of(shell.key))) if one.tid == 900)
    assert (thread.credentials.uid, thread.unsure) == (5, ())
    for uid in range(6, 40):
        history.changes_credentials(shell, uid)
    for time_ns in (None, began_ns, history.now_ns):
        thread = history.tree.thread_at(ThreadKey(thread.entity_id, time_ns))
        assert {"credentials", "supplemental_groups"} <= set(thread.unsure)
    history.changes_credentials(shell, 7, tid=900)
    assert history.tree.thread_at(ThreadKey(thread.entity_id)).unsure == ()


def test_what_a_thread_was_between_dropped_changes_is_unsure() -> None:
    history, _, shell = booted(versions_max=8)
    history.starts_thread(shell, 900)
    for number in range(20):
        history.renames(shell, f"n{number}", 900)
    group = history.tree.threads_of(ProcessKey(id_of(shell.key)))
    thread = next(one for one in group if one.tid == 900)
    assert thread.unsure == ()
    first, second, *_ = history.tree.thread_versions(thread.entity_id)
    assert first.unsure == second.unsure == ()
    assert first.dropped_after > 0
    between = history.tree.thread_at(ThreadKey(thread.entity_id, second.since_ns - 1))
    assert "thread_name" in between.unsure


def test_what_a_leader_was_in_a_hole_of_its_own_is_unsure() -> None:
    history, init, shell = booted(versions_max=8)
    child = history.forks(shell)
    born_ns = history.now_ns
    for number in range(30):
        history.changes_directory(shell, f"/{number}")
    between_ns = history.now_ns - STEP_NS * 20
    answer = history.tree.process(ProcessKey(id_of(child.key), between_ns))
    assert set(answer.unsure) == {"group_leader", "session_leader", "entry_leader"}
    assert history.tree.process(ProcessKey(id_of(child.key), born_ns)).process.session_leader is not None
    assert history.tree.process(ProcessKey(id_of(child.key))).unsure == ()
    assert history.tree.process(ProcessKey(id_of(init.key), between_ns)).unsure == ()
