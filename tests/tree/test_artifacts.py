"""What a process did, as bounded lists."""

from __future__ import annotations

import pytest

from pipeline.events import CredentialChange, Stamp
from pipeline.tree import NoAnswer, ProcessKey
from pipeline.tree.known.artifacts import KINDS, TOLD_OF
from tests.tree.history import SYSTEMD, History, booted


def test_a_change_of_rights_is_noted_with_who_made_it_and_when() -> None:
    history, _, shell = booted()
    key = history.get(shell).entity_id
    history.changes_credentials(shell, 33)
    first_ns = history.now_ns
    history.changes_credentials(shell, 0, tid=900)
    noted = history.tree.artifacts(ProcessKey(key), "credentials").artifacts
    assert [(one.time_ns, one.tid, one.action, dict(one.details)["user.id"]) for one in noted] == [
        (first_ns, shell.pid, "changed", 33),
        (history.now_ns, 900, "changed", 0),
    ]
    assert history.tree.artifacts(ProcessKey(key, first_ns), "credentials").artifacts == noted[:1]


def test_what_was_executed_is_among_its_files() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    history.execs(child, "/bin/one")
    history.execs(child, "/bin/two")
    key = ProcessKey(history.get(child).entity_id)
    noted = history.tree.artifacts(key, "files").artifacts
    assert [dict(one.details)["file.path"] for one in noted] == ["/bin/one", "/bin/two"]


def test_what_is_told_late_goes_where_its_time_says() -> None:
    history, _, shell = booted()
    child = history.forks(shell)
    early_ns = history.now_ns + 1
    history.now_ns += 10
    history.changes_credentials(child, 2)
    child.uid = 1
    history.tree.apply(CredentialChange(Stamp(early_ns, 0, 0, 0), child.task(), (), False))
    noted = history.tree.artifacts(ProcessKey(history.get(child).entity_id), "credentials").artifacts
    assert [dict(one.details)["user.id"] for one in noted] == [1, 2]


def test_of_each_kind_so_many_are_known_and_the_rest_are_counted() -> None:
    history = History(artifacts_max=3)
    init = history.runs(SYSTEMD, pid=1)
    for uid in range(5):
        history.changes_credentials(init, uid)
    answer = history.tree.artifacts(ProcessKey(history.get(init).entity_id), "credentials")
    assert [dict(one.details)["user.id"] for one in answer.artifacts] == [2, 3, 4]
    assert (answer.dropped, history.counters.artifacts_dropped) == (2, 2)


def test_every_kind_has_an_answer_or_says_that_nothing_tells_of_it() -> None:
    history, _, shell = booted()
    key = ProcessKey(history.get(shell).entity_id)
    assert TOLD_OF == ("credentials", "files")
    for kind in KINDS:
        if kind in TOLD_OF:
            assert history.tree.artifacts(key, kind).dropped == 0
        else:
            with pytest.raises(NoAnswer, match=f"nothing tells of {kind} yet") as refused:
                history.tree.artifacts(key, kind)
            assert refused.value.reason == "no_source"
    with pytest.raises(NoAnswer) as refused:
        history.tree.artifacts(ProcessKey("nobody"), "files")
    assert refused.value.reason == "never_known"


def test_artifacts_of_all_together_are_bounded() -> None:
    history = History(processes_max=8)
    init = history.runs("/sbin/init", pid=1)
    children = [history.forks(init) for _ in range(6)]
    for uid in range(1, 60):
        history.changes_credentials(children[0], uid)
    kept = history.tree._state.processes
    assert kept.artifacts == sum(len(one.artifacts.noted) for one in kept if one.artifacts is not None)
    assert kept.artifacts <= 4 * 8 + 1
    assert history.counters.artifacts_dropped > 0
    for uid in range(1, 4):  # whoever did little is not the poorer for it
        history.changes_credentials(children[1], uid)
    answer = history.tree.artifacts(ProcessKey(history.get(children[1]).entity_id), "credentials")
    assert len(answer.artifacts) == 3
    for child in children:
        history.exits(child)
    for _ in range(20):
        history.exits(history.forks(init))
    assert kept.artifacts == 0
