"""What the tree is built from: the live stream, walks, both, or nothing."""

from __future__ import annotations

import pytest

from pipeline.tree.routes import Source
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
        ("signals", ["bash", "systemd"], ()),
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
    history, init, shell = _told("signals")
    history.exits(shell)
    assert [version.pid for version in history.tree.alive()] == [1, 50]
    history.snapshot_begins()
    history.finds(init, SYSTEMD)
    history.snapshot_ends()
    assert history.closed() == [50]


def test_without_a_tree_changes_and_threads_make_nothing() -> None:
    history, _, shell = _told("none")
    assert history.renames(shell, "x") is None
    assert history.starts_thread(shell, 900) is None
    version = history.exits(shell, 3 << 8)
    assert version is not None
    assert (version.exit_status, len(history.tree)) == (3 << 8, 0)
