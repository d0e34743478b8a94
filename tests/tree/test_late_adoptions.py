"""The kernel tells of an end before it gives the children away: what is told in between names a dead parent."""

from __future__ import annotations

from pipeline.events import Exit, SessionChange, Stamp
from tests.tree.history import History, Who, booted


def _now(history: History) -> Stamp:
    history.now_ns += 1000
    return Stamp(history.now_ns, 0, 0, 0)


def _ends(history: History, who: Who, reaper: Who) -> None:
    history.tree.apply(Exit(_now(history), who.task(), 0, False, reaper.pid, reaper.start_ns))


def _begins_session(history: History, who: Who) -> None:
    who.session = who.group = who.key
    history.tree.apply(SessionChange(_now(history), who.task()))


def _reaper(history: History, who: Who) -> int | None:
    version = history.get(who)
    return version.reaper.pid if version.reaper else None


def test_a_record_from_between_end_and_adoption_does_not_bring_the_parent_back() -> None:
    history, _, shell = booted()
    middle = history.forks(shell)
    orphan = history.forks(middle)
    _ends(history, middle, shell)
    assert _reaper(history, orphan) == shell.pid
    _begins_session(history, orphan)  # it still names the middle one
    assert _reaper(history, orphan) == shell.pid
    assert history.get(orphan).session.id == orphan.pid


def test_the_heir_of_an_heir_that_has_ended_too_is_found() -> None:
    history, init, shell = booted()
    first = history.forks(shell)
    second = history.forks(first)
    orphan = history.forks(second)
    _ends(history, second, first)
    _ends(history, first, init)
    _begins_session(history, orphan)
    assert _reaper(history, orphan) == init.pid


def test_whom_the_snapshot_saw_end_hands_its_children_over_when_its_end_is_told() -> None:
    history = History()
    init = history.runs("/sbin/init", pid=1)
    shell = history.runs("/bin/bash", init)
    middle = history.runs("/bin/middle", shell, zombie=True)
    orphan = history.runs("/bin/orphan", middle)
    other = history.runs("/bin/other", shell)
    history.snapshot_ends()
    _begins_session(history, orphan)
    _ends(history, middle, shell)
    assert (_reaper(history, orphan), _reaper(history, other)) == (shell.pid, None)


def test_a_record_older_than_the_snapshots_look_does_not_undo_an_adoption_that_the_snapshot_saw() -> None:
    """The parent had ended by then: it is not known, and no end of it will be about this child."""
    history = History()
    init = history.runs("/sbin/init", pid=1)
    shell = history.runs("/bin/bash", init)
    orphan = history.runs("/bin/orphan", shell, at=500_000)
    history.snapshot_ends()
    orphan.parent = Who(4000, 40)
    orphan.session = orphan.group = orphan.key
    then = history.tree.apply(SessionChange(Stamp(400_000, 0, 0, 0), orphan.task()))
    version = history.get(orphan)
    assert then is not None
    assert (then.session.id, version.session.id) == (orphan.pid, 0)
    assert (version.reaper, version.parent and version.parent.pid) == (None, shell.pid)


def test_a_birth_by_one_whom_the_snapshot_found_ended_leaves_the_child_its_own_image() -> None:
    history = History()
    init = history.runs("/sbin/init", pid=1)
    middle = history.runs("", init, zombie=True, comm="middle")
    orphan = history.runs("/bin/orphan", middle)
    history.snapshot_ends()
    history.born(orphan, middle, at=500_000)
    assert history.get(orphan).image.executable == "/bin/orphan"
