"""What the tree is built from: the live stream, walks, both, or nothing."""

from __future__ import annotations

import pytest

from pipeline.events import Fork, Stamp
from pipeline.process import ProcessVersion
from pipeline.tree.routes import Source
from tests.tree.answers import id_of
from tests.tree.history import BASH, SYSTEMD, History, Who


def _told(source: Source) -> tuple[History, Who, Who]:
    history = History(source=source)
    history.snapshot_begins()
    init = history.runs(SYSTEMD, pid=1, args=("/sbin/init",))
    shell = history.runs(BASH, init, pid=50, args=("-bash",))
    history.snapshot_ends()
    return history, init, shell


@pytest.mark.parametrize(
    ("source", "chain", "doubt"),
    [
        ("both", ["bash", "systemd"], ()),
        ("events", [], ("unknown_parent",)),
        ("signals", ["bash", "systemd"], ("unknown_parent",)),  # the parent it has; it may have adopted it
        ("none", [], ("unknown_parent",)),
    ],
)
def test_a_documents_lineage_is_as_whole_as_its_source_allows(source: Source, chain: list[str], doubt: object) -> None:
    history, _, shell = _told(source)
    child = history.forks(shell)
    version = history.execs(child, "/usr/bin/curl", "curl", "x")
    assert version is not None
    assert (version.image.name, version.image.args) == ("curl", ("curl", "x"))
    assert [ancestor.image.name for ancestor in version.ancestors] == chain
    assert version.doubt == doubt


@pytest.mark.parametrize(("source", "known"), [("both", 3), ("events", 1), ("signals", 2), ("none", 0)])
def test_the_tree_knows_what_its_source_tells(source: Source, known: int) -> None:
    history, _, shell = _told(source)
    history.forks(shell)
    assert len(history.tree) == known


def test_by_events_a_lineage_is_whole_from_the_first_birth_on() -> None:
    history, _, shell = _told("events")
    child = history.forks(shell)
    history.execs(child, "/bin/a")
    grandchild = history.forks(child)
    assert history.chain(grandchild) == "a a"


def test_by_walks_a_process_that_is_not_found_any_more_has_ended() -> None:
    history, init, _ = _told("signals")
    history.snapshot_begins()
    history.finds(init, SYSTEMD)
    history.snapshot_ends()
    assert [version.pid for version in history.tree.alive()] == [1]
    assert (history.closed(), history.counters.closed_unseen) == ([50], 1)


def test_an_end_that_a_record_has_told_is_not_told_again_by_a_walk() -> None:
    history, init, shell = _told("signals")
    assert history.exits(shell) is not None
    assert [version.pid for version in history.tree.alive()] == [1, 50]
    history.snapshot_begins()
    history.finds(init, SYSTEMD)
    history.snapshot_ends()
    assert [version.pid for version in history.tree.alive()] == [1]
    assert (history.closed(), history.counters.closed_unseen) == ([], 0)


def test_without_a_tree_changes_and_threads_make_nothing() -> None:
    history, _, shell = _told("none")
    assert history.renames(shell, "x") is None
    history.starts_thread(shell, 900)
    version = history.exits(shell, 3 << 8)
    assert version is not None
    assert (version.exit_status, len(history.tree)) == (3 << 8, 0)


# Who is named as a parent.


def _births(history: History, child: Who, birth: Who) -> ProcessVersion:
    stamp = Stamp(child.start_ns, 0, 0, 0)
    made = history.tell(Fork(stamp, child.task(), birth.pid, birth.pid, birth.start_ns, False))
    assert made is not None
    return made


def _parent(version: ProcessVersion | None) -> tuple[int, tuple[str, ...], int | None]:
    """Pid of the parent that a document has, the doubts, and the pid of the present one where that is another."""
    assert version is not None
    parent = version.parent or version.named_parent
    assert parent is not None
    return parent.pid, version.doubt, version.reaper.pid if version.reaper else None


@pytest.mark.parametrize("source", ["both", "events", "signals", "none"])
def test_a_birth_names_a_parent_that_nobody_has_told_of(source: Source) -> None:
    history, init, shell = _told(source)
    stranger = history.forks(shell, tell=False)
    version = _births(history, history.forks(stranger, parent=init, tell=False), stranger)
    assert version.named_parent is not None
    assert (version.named_parent.entity_id, version.named_parent.start_ns) == (id_of(stranger.key), stranger.start_ns)
    assert _parent(version) == (stranger.pid, ("unknown_parent",), 1)
    assert (version.ancestors, version.complete) == ((), False)


@pytest.mark.parametrize(("source", "parent"), [("both", 101), ("events", 101), ("signals", 1), ("none", 1)])
@pytest.mark.parametrize("ends", [False, True])
def test_an_orphans_present_parent_never_stands_for_its_birth_parent_without_a_doubt(
    source: Source, parent: int, ends: bool
) -> None:
    history, init, shell = _told(source)
    middle = history.forks(shell)
    orphan = history.forks(middle)
    history.exits(middle, reaper=init)
    orphan.parent = init
    version = history.exits(orphan) if ends else history.execs(orphan, "/usr/bin/curl")
    doubt = () if source == "both" else ("unknown_parent",)
    assert _parent(version) == (parent, doubt, 1 if parent == middle.pid else None)


def test_by_walks_an_orphan_has_the_parent_and_the_doubt_that_the_walk_has_found() -> None:
    history, init, shell = _told("signals")
    middle = history.forks(shell)
    early, late = history.forks(middle), history.forks(middle)
    history.snapshot_begins()
    for who in (init, shell, middle, early):
        history.finds(who, SYSTEMD if who is init else BASH)
    history.snapshot_ends()
    history.exits(middle, reaper=init)
    early.parent = late.parent = init
    history.snapshot_begins()
    for who in (init, shell, early, late):
        history.finds(who, SYSTEMD if who is init else BASH, reaper=who is late)
    history.snapshot_ends()
    assert _parent(history.execs(early, "/bin/a")) == (middle.pid, (), 1)
    assert _parent(history.execs(late, "/bin/a")) == (1, ("snapshot",), None)


def test_by_walks_a_birth_of_a_parent_that_has_executed_since_is_in_doubt() -> None:
    history, _, shell = _told("signals")
    assert _parent(_births(history, history.forks(shell, tell=False), shell)) == (shell.pid, (), None)
    history.execs(shell, "/usr/bin/zsh")
    version = _births(history, history.forks(shell, tell=False), shell)
    assert _parent(version) == (shell.pid, ("loss",), None)
    assert (version.image.name, version.image.args) == ("zsh", ())  # by comm


# What a record does not say, and a walk has found.


def test_by_walks_an_end_and_a_birth_have_the_image_that_counts_as_many_execs() -> None:
    history, _, shell = _told("signals")
    born = _births(history, history.forks(shell, tell=False), shell)
    assert (born.image.executable, born.image.args) == (BASH, ("-bash",))
    ended = history.exits(shell, 3 << 8)
    assert ended is not None
    assert (ended.image.args, ended.exit_status) == (("-bash",), 3 << 8)


@pytest.mark.parametrize(("source", "container"), [("both", "ab" * 32), ("signals", "ab" * 32), ("none", None)])
def test_the_cgroup_that_a_walk_has_found_names_the_container(source: Source, container: str | None) -> None:
    history = History(source=source)
    history.snapshot_begins()
    init = history.runs(SYSTEMD, pid=1, args=("/sbin/init",))
    shell = history.runs(BASH, init, pid=50, args=("-bash",))
    history.enters_cgroup(shell, f"/docker/{'ab' * 32}")
    history.snapshot_ends()
    version = history.execs(shell, "/bin/a")
    assert version is not None
    assert (version.container.id if version.container else None) == container


@pytest.mark.parametrize(("source", "leader"), [("both", 50), ("signals", 50), ("none", None)])
def test_an_entry_leader_is_told_where_something_is_known_of_it(source: Source, leader: int | None) -> None:
    history = History(source=source)
    history.snapshot_begins()
    init = history.runs(SYSTEMD, pid=1, session=(1, 10), args=())
    shell = history.runs(BASH, init, pid=50, session=(50, 500), args=())
    history.snapshot_ends()
    version = history.execs(history.forks(shell), "/bin/a")
    assert version is not None
    assert (version.entry_leader.pid if version.entry_leader else None) == leader
    assert (version.session_leader.pid if version.session_leader else None) == leader


# A history by walks.


def test_a_walk_that_finds_nothing_new_begins_no_version() -> None:
    history, init, shell = _told("signals")
    for _ in range(5):
        history.snapshot_begins()
        history.finds(init, SYSTEMD)
        history.finds(shell, BASH)
        history.snapshot_ends()
    (only,) = history.tree.versions(id_of(shell.key))
    assert (only.how, only.until_ns) == ("snapshot", None)
    shell.comm = "renamed"
    history.snapshot_begins()
    history.finds(init, SYSTEMD)
    history.finds(shell, BASH)
    history.snapshot_ends()
    assert [(each.how, each.process.thread_name) for each in history.tree.versions(id_of(shell.key))] == [
        ("snapshot", "bash"),
        ("repair", "renamed"),
    ]


def test_an_end_that_a_walk_has_found_begins_no_version() -> None:
    history, init, shell = _told("signals")
    history.snapshot_begins()
    history.finds(init, SYSTEMD)
    history.finds(shell, BASH, zombie=True)
    found_ns = history.now_ns
    history.snapshot_ends()
    (only,) = history.tree.versions(id_of(shell.key))
    assert (only.alive, only.process.end_ns, only.until_ns) == (False, found_ns, found_ns)
    assert only.since_ns < found_ns


def test_a_walk_that_finds_the_same_container_begins_no_version() -> None:
    history, init, shell = _told("signals")
    for name in ("ab", "ab", "ab", "cd", "cd"):
        history.snapshot_begins()
        history.finds(init, SYSTEMD)
        history.enters_cgroup(init, "/", every=True)
        history.finds(shell, BASH)
        history.enters_cgroup(shell, "/", every=True)
        history.enters_cgroup(shell, f"/docker/{name * 32}", hierarchy=3)
        history.enters_cgroup(shell, f"/docker/{name * 32}", hierarchy=4)
        history.snapshot_ends()
    found = [each.process.container for each in history.tree.versions(id_of(shell.key))]
    known = [container.id[:2] for container in found if container]
    assert list(dict.fromkeys(known)) == ["ab", "cd"]
    assert len(found) == 6  # a walk that finds another one tells it once for each hierarchy
    assert len(history.tree.versions(id_of(init.key))) == 1
