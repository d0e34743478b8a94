"""One process, one thread, and those a process descends from, as a person reads them.

Rules: text of processes goes through ``printable``; in a pipe a line is a name and a value between tabs, nothing cut
and times as documents have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.view import timeline, words
from pipeline.view.table import row
from pipeline.view.text import fit_chain, printable

INDENT = "  "
NAME_COLUMNS = 12
THREADS_NAMED_MAX = 8
Fields = dict[str, Any]


def show_ancestors(console: Console, answer: Fields) -> None:
    """The farthest first, each below who gave birth to it."""
    for depth, label in enumerate(ancestors(answer)):
        if console.is_terminal:
            name, _, rest = label.partition(INDENT)
            text = Text(INDENT * depth, no_wrap=True, overflow="ellipsis")
            text.append(name, style="bold" if depth == len(answer["ancestors"]) else "")
            text.append(INDENT + rest if rest else "", style="dim")
            console.print(text, no_wrap=True, overflow="ellipsis", crop=True)
        else:
            console.file.write(INDENT * depth + label + "\n")


def ancestors(answer: Fields) -> list[str]:
    """Name, pid, user, command line; the process itself last."""
    described = [_label(one) for one in reversed([answer, *answer["ancestors"]])]
    missing = int(answer["lineage"]["depth"]) - len(answer["ancestors"])
    if missing > 0:
        return [f"… {missing:,} more: --depth", *described]
    return described if answer["lineage"]["complete"] else ["unknown", *described]


def show_process(console: Console, version: Fields, threads: Fields | None = None, change: str = "") -> None:
    """One version: a name and a value a line.

    ``threads``: the answer about those that it had then, its leader first. ``change``: what the version began with.
    """
    _show(console, described(version, threads, change, terminal=console.is_terminal))


def show_thread(console: Console, thread: Fields) -> None:
    """One thread, likewise, and whose it is."""
    _show(console, described_thread(thread, terminal=console.is_terminal))


def _show(console: Console, told: Iterable[tuple[str, str]]) -> None:
    if not console.is_terminal:
        for name, value in told:
            console.file.write(f"{name}\t{value}\n")
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, width=NAME_COLUMNS, style="cyan")
    table.add_column(overflow="fold")
    for name, value in told:
        shown = fit_chain(value, console.width - NAME_COLUMNS - 2) if name == "lineage" else value
        table.add_row(Text(name), Text(shown, style="bold" if name == "name" else ""))
    console.print(table)


def described(
    version: Fields, threads: Fields | None = None, change: str = "", *, terminal: bool
) -> Iterator[tuple[str, str]]:
    """What there is to tell, in the order in which one asks."""
    process, lineage = version["process"], version.get("lineage") or {}
    leader = (process.get("session_leader") or {}).get("pid")
    values: tuple[tuple[str, Any], ...] = (
        ("name", process.get("name")),
        ("pid", process.get("pid")),
        ("id", process.get("entity_id")),
        ("lineage", lineage.get("chain")),
        ("parent", _who(process.get("parent"))),
        ("parent now", _who(lineage.get("reaper"))),
        ("command", row(version).command),
        ("executable", process.get("executable")),
        ("script", (lineage.get("script") or {}).get("path")),
        ("loader", (lineage.get("loader") or {}).get("path")),
        ("directory", process.get("working_directory")),
        *_accounts(process),
        ("capabilities", _capabilities(process)),
        ("thread name", _other_name(process)),
        ("threads", _threads(threads)),
        ("session", "its own" if leader == process.get("pid") else _who(process.get("session_leader"))),
        ("terminal", words.terminal_name(process)),
        ("container", (version.get("container") or {}).get("id")),
        ("started", _time(process.get("start"), terminal=terminal)),
        ("ended", _time(process.get("end"), terminal=terminal)),
        ("outcome", words.ended(version).removeprefix("ended, ") if process.get("end") else None),
        ("since", _time(version["since"], terminal=terminal)),
        ("change", change),
        ("learnt", None if version["how"] == "kernel" else words.HOW.get(version["how"])),
        ("until", _time(version["until"], terminal=terminal)),
        *_certainty(version),
    )
    return _told(values)


def _told(values: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """Those of which there is anything to tell."""
    for name, value in values:
        if value not in (None, ""):
            yield name, printable(str(value))


def _accounts(process: Fields) -> Iterator[tuple[str, str]]:
    for kind in ("user", "group"):
        effective = words.account(process, kind)
        others = {which: words.account(process, f"{which}_{kind}") for which in ("real", "saved")}
        differing = ", ".join(f"{which} {name}" for which, name in others.items() if name and name != effective)
        yield kind, f"{effective} ({differing})" if differing else effective
    yield "groups", words.groups(process)


def _capabilities(process: Fields) -> str:
    """Where nobody told of users nobody told of these: an empty set is one that is not there."""
    sets = (process.get("thread") or {}).get("capabilities")
    return words.capability_set((sets or {}).get("effective") or []) if sets or process.get("user") else ""


def _certainty(version: Fields) -> Iterator[tuple[str, str]]:
    """What is not known, and why."""
    yield "doubt", ", ".join((version.get("lineage") or {}).get("doubt") or ())
    if unsure := words.told(version.get("unsure") or ()):
        yield "unsure", f"{unsure}: what held at this moment is not known"
    yield "missing", _missing(version)


def _missing(version: Fields) -> str:
    around = (("before", version["versions_dropped"]), ("after", version.get("versions_dropped_after") or 0))
    return ", ".join(f"{words.counted(number, 'version')} {where}" for where, number in around if number)


def _time(time: Any, *, terminal: bool) -> str | None:
    return words.when(str(time), terminal=terminal) if time else None


def described_thread(answer: Fields, *, terminal: bool) -> Iterator[tuple[str, str]]:
    """The thread, and the process that it is of."""
    thread, process = answer["process"]["thread"], answer["process"]
    values: tuple[tuple[str, Any], ...] = (
        ("thread name", thread.get("name")),
        ("tid", thread.get("id")),
        ("id", thread.get("entity_id")),
        ("process", _who(process)),
        ("process id", process.get("entity_id")),
        ("begun by", f"thread {thread['birth_id']}" if thread.get("birth_id") else None),
        *_accounts(process),
        ("capabilities", _capabilities(process)),
        ("started", _time(thread.get("start"), terminal=terminal)),
        ("ended", _time(thread.get("end"), terminal=terminal)),
        ("since", _time(answer["since"], terminal=terminal)),
        ("learnt", None if answer["how"] == "kernel" else words.HOW.get(answer["how"])),
        ("until", _time(answer["until"], terminal=terminal)),
        ("missing", _missing(answer)),
    )
    return _told(values)


def _threads(answer: Fields | None) -> str:
    """How many live, and each by name as far as there is room."""
    if answer is None:
        return ""
    threads: Sequence[Fields] = answer["threads"]
    alive = sum(bool(one["alive"]) for one in threads)
    forgotten = f", {answer['forgotten']:,} not known any more" if answer["forgotten"] else ""
    if len(threads) == 1:
        return f"1{forgotten}"
    named = ", ".join(map(_thread, threads[:THREADS_NAMED_MAX]))
    more = len(threads[THREADS_NAMED_MAX:]) + answer["missing"]
    at_least = "at least " if answer["missing"] else ""
    ended = f", {len(threads) - alive:,} ended" if alive < len(threads) else ""
    return f"{at_least}{alive:,} alive{ended}{forgotten}: {named}" + (f", … {more:,} more" if more > 0 else "")


def _thread(one: Fields) -> str:
    thread = one["process"]["thread"]
    return f"{thread['id']} {thread.get('name') or 'unknown'}" + ("" if one["alive"] else " (ended)")


def _other_name(process: Fields) -> str | None:
    """Its thread's name where that is not what its program's name comes to."""
    name = (process.get("thread") or {}).get("name")
    return name if name != timeline.comm(process.get("name")) else None


def _who(process: Fields | None) -> str | None:
    return f"{process.get('name') or 'unknown'} {process.get('pid') or ''}".strip() if process else None


def _label(one: Fields) -> str:
    about = row(one)
    ended = f"({words.ended(one)})" if one["process"].get("end") else ""
    name = f"{printable(str(one['process'].get('name') or 'unknown'))} {about.pid}"
    what = (name, about.user, ended, words.not_sure(one), about.command)
    return INDENT.join(word for word in what if word)
