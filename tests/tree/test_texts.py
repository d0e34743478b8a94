"""Long arguments and paths: all of them have one bound in bytes, whoever brings them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.process import Image
from pipeline.tree import LineageKey, ProcessKey
from pipeline.tree.changes.texts import SHORT_BYTES, shortened
from pipeline.tree.known.history import versions
from pipeline.tree.known.texts import PATH_BYTES, weight, weight_of_path
from tests.tree.answers import id_of
from tests.tree.history import History, Who, booted

MANY = tuple(f"{number:02}" for number in range(2_000))  # 4 kB in a record, 120 in memory
ROOM_BYTES = 1_000_000


def _counted(history: History) -> int:
    processes = history.tree._state.processes
    assert processes.text_bytes == sum(process.text_bytes for process in processes)
    return processes.text_bytes


def _taken(history: History) -> int:
    """What the argument lists really take, each once."""
    lists = {id(args): args for image in _images(history) for args in (image.args,)}
    return sum(sys.getsizeof(argument) + 8 for args in lists.values() for argument in args)


def _images(history: History) -> Iterator[Image]:
    for process in history.tree._state.processes:
        yield from process.previous
        yield from (version.image for version in versions(process))
        yield from (ancestor.image for ancestor in (*process.ancestors, process.birth) if ancestor is not None)


def test_what_execs_bring_is_bounded_and_the_rest_counted() -> None:
    history, _, shell = booted(texts_max_bytes=ROOM_BYTES)
    for _ in range(40):
        child = history.forks(shell)
        made = history.execs(child, "/bin/true", *MANY)
        assert made is not None
        assert (made.image.args, made.image.cut) == (MANY, ())  # its own document has all of it
        history.exits(child)
    assert _counted(history) < ROOM_BYTES + 41 * SHORT_BYTES
    assert _taken(history) <= _counted(history)
    assert history.counters.texts_shortened == 33
    kept = history.get(child)
    assert kept.image.cut == ("args",)
    assert kept.image.args == MANY[: len(kept.image.args)]
    assert "cut" in kept.doubt
    assert history.bad == {}


def test_what_is_forgotten_makes_room() -> None:
    history, _, shell = booted(processes_max=6, texts_max_bytes=ROOM_BYTES)
    for _ in range(100):
        child = history.forks(shell)
        history.execs(child, "/bin/true", *MANY)
        history.exits(child)
    assert history.counters.texts_shortened == 0
    assert _taken(history) <= _counted(history) < ROOM_BYTES


def test_one_that_executes_again_and_again_is_bounded_too() -> None:
    history, _, shell = booted(versions_max=8, texts_max_bytes=50 * ROOM_BYTES)
    for number in range(100):
        history.execs(shell, "/bin/true", str(number), *MANY)
        assert _taken(history) <= _counted(history) < 26 * weight(history.get(shell).image)
    assert history.counters.texts_shortened == 0


def test_children_bring_nothing() -> None:
    history, _, shell = booted(texts_max_bytes=ROOM_BYTES)
    history.execs(shell, "/bin/sh", *MANY)
    before = _counted(history)
    for _ in range(20):
        history.forks(history.forks(shell))
    assert _counted(history) == before
    assert _taken(history) <= before


def test_a_late_exec_is_kept_likewise_and_its_answer_has_all_of_it() -> None:
    history, _, shell = booted(texts_max_bytes=1_000)
    at = history.now_ns + 1
    history.renames(shell, "later")
    made = history.execs(shell, "/bin/true", *MANY, at=at)
    assert made is not None
    assert made.image.args == MANY
    answer = history.tree.process(ProcessKey(id_of(shell.key), at))
    assert answer.process.image.cut == ("args",)
    assert history.tree.lineage(LineageKey(id_of(shell.key))).process.process.image.cut == ("args",)
    assert history.counters.texts_shortened == 1


def test_a_long_directory_without_room_keeps_its_end() -> None:
    history, _, shell = booted(texts_max_bytes=0)
    path = "/deep" * 100
    history.changes_directory(shell, path)
    now = history.get(shell)
    assert now.working_directory.startswith("…/deep/")
    assert path.endswith(now.working_directory.removeprefix("…"))
    assert now.cut == ("working_directory",)
    history.changes_directory(shell, "/short")
    assert history.get(shell).cut == ()
    assert history.counters.texts_shortened == 1


def test_directories_count_until_they_are_dropped() -> None:
    history, _, shell = booted(versions_max=8, texts_max_bytes=ROOM_BYTES)
    for number in range(1_000):
        history.changes_directory(shell, f"/{number}" + "/deep" * 100)
    assert _counted(history) < 12 * 600
    assert history.counters.texts_shortened == 0


@pytest.mark.parametrize("room", [0, ROOM_BYTES])
def test_what_a_walk_finds_is_kept_likewise_and_found_again_is_no_change(room: int) -> None:
    history = History(texts_max_bytes=room)
    path = "/deep" * 100
    who = Who(50, 500, exec_id=2)
    for _ in range(3):
        history.snapshot_begins()
        history.finds(who, path, directory=path)
        history.args(who, *MANY)
        history.snapshot_ends()
    (answer,) = history.tree.versions(id_of(who.key))
    found = answer.process
    assert {*found.image.cut, *found.cut} == (set() if room else {"args", "executable", "working_directory"})
    assert (found.image.executable == path) == (found.working_directory == path) == (found.image.args == MANY)
    assert _counted(history) == (weight(found.image) + weight_of_path(found.working_directory))
    assert history.counters.texts_shortened == (0 if room else 3)


def test_command_lines_that_come_before_their_process_are_bounded_too() -> None:
    history = History(texts_max_bytes=ROOM_BYTES)
    history.snapshot_begins()
    everyone = [Who(pid, pid * 10) for pid in range(100, 120)]
    for who in everyone:
        history.args(who, *MANY)
    assert history.bad == {"command_line_of_unknown": 13}
    for who in everyone:
        history.finds(who, "/bin/true")
    history.snapshot_ends()
    assert [history.get(who).image.args for who in everyone] == [MANY] * 7 + [()] * 13
    assert history.tree._state.early_args_bytes == 0


@pytest.mark.parametrize("character", ["x", "é", "☃", "😀"])
def test_no_path_takes_more_than_is_counted_or_free(character: str) -> None:
    """Characters of any size: in a directory of 255 of them 255 bytes, or four times as many."""
    history, _, shell = booted(texts_max_bytes=2_000)
    for length in (*range(1, 300, 7), 300, 250):
        history.changes_directory(shell, "/" + f"/{character * length}"[-300:])
        now = history.get(shell)
        taken = now.working_directory.__sizeof__()
        assert taken <= PATH_BYTES or weight_of_path(now.working_directory) == taken
        assert taken < 450 or not now.cut
    kept = {one.working_directory: None for one in versions(history.tree._state.processes.by_id[id_of(shell.key)])}
    free = sum(one.__sizeof__() for one in kept if one.__sizeof__() <= PATH_BYTES)
    assert sum(one.__sizeof__() for one in kept) - free <= _counted(history) <= 2_000 + 45 * 450


TEXT = st.text(max_size=300)


@given(st.lists(TEXT, max_size=30), TEXT, st.lists(TEXT, max_size=3))
def test_a_shortened_image_is_short_and_a_beginning(args: list[str], path: str, environment: Iterable[str]) -> None:
    image = Image("x", f"/{path}", tuple(args), environment=tuple(environment))
    short = shortened(image)
    assert weight(short) < 6 * SHORT_BYTES  # four bytes a character at most
    for kept, whole in zip(short.args, args, strict=False):
        assert whole.startswith(kept)
    assert ("args" in short.cut) == (short.args != image.args)
    assert ("environment" in short.cut) == bool(image.environment)
