"""What a process has been, one line for each change: when, how it was learnt, what it did or what became what.

Rules of this file:
- What told nothing new is no line, unless that is asked for.
- An exec is told by what was executed; what follows from it (the name, the thread's name) is not told again.
- Text of processes goes through ``printable``. In a pipe a line has three columns between tabs, the time as documents
  have it; on a terminal a line for each day has the date and the zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.view.table import row
from pipeline.view.text import ARROW, printable
from pipeline.view.words import (
    HOW,
    account,
    capability_change,
    counted,
    ended,
    groups,
    terminal_name,
    told,
)

Fields = dict[str, Any]
NOTHING = "none"
COMM_MAX = 15  # bytes that the kernel keeps of a thread's name: TASK_COMM_LEN, less its NUL
SETS = (
    ("capabilities", "process.thread.capabilities.effective"),
    ("permitted capabilities", "process.thread.capabilities.permitted"),
    ("inheritable capabilities", "lineage.capabilities.inheritable"),
    ("ambient capabilities", "lineage.capabilities.ambient"),
    ("bounding capabilities", "lineage.capabilities.bounding"),
)


class Moment(NamedTuple):
    time: str
    how: str
    what: str


def _get(version: Fields, path: str) -> Any:
    value: Any = version
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _at(path: str) -> Callable[[Fields], str]:
    def read(version: Fields) -> str:
        value = _get(version, path)
        if isinstance(value, list):
            return printable(" ".join(map(str, value)))
        return "" if value is None else printable(str(value))

    return read


PROPERTIES: tuple[tuple[str, Callable[[Fields], str]], ...] = (
    ("directory", _at("process.working_directory")),
    ("groups", lambda version: groups(version["process"])),
    ("securebits", _at("lineage.securebits")),
    ("terminal", lambda version: terminal_name(version["process"])),
    ("pid namespace", _at("lineage.pid_ns_ino")),
    ("container", _at("container.id")),
    ("environment", _at("process.env_vars")),
)
"""What is compared from one version to the next, and what a person calls it; beside those with a form of their own."""


def moments(versions: Sequence[Fields], *, verbose: bool = False, of_thread: bool = False) -> Iterator[Moment]:
    """``versions``: oldest first, as the API has them. ``verbose``: what told nothing new is a line too."""
    tell = thread_change if of_thread else change
    before: Fields | None = None
    for version in versions:
        if missing := version["versions_dropped"]:
            what = f"… {counted(missing, 'version')} not known any more"
            yield Moment(version["since"], "", what)
        what = tell(before, version)
        if what and missing:
            what = f"by then: {what}"
        if not what and verbose:
            what = f"nothing new: {told(version['told']) or 'looked at again'}"
        if what:
            unsure = told(version.get("unsure") or ())
            yield Moment(version["since"], version["how"], what + (f"; unsure: {unsure}" if unsure else ""))
        before = version
    if before is None:
        return
    if end := (before["process"]["thread"] if of_thread else before["process"]).get("end"):
        yield Moment(end, before.get("end_how") or "", "ended" if of_thread else ended(before))


def show(console: Console, versions: Sequence[Fields], *, verbose: bool = False, of_thread: bool = False) -> None:
    """Print in the form that fits where it goes."""
    lines = moments(versions, verbose=verbose, of_thread=of_thread)
    if not console.is_terminal:
        for moment in lines:
            console.file.write("\t".join(moment) + "\n")
        return
    day, table = "", _table()
    for moment in lines:
        date, time = _local(moment.time)
        if date != day:
            if day:
                console.print(table)
                table = _table()
            console.print(Text(date, style="bold"))
            day = date
        how = f" ({HOW['repair']})" if moment.how == "repair" else ""
        table.add_row(Text(time, style="dim"), _styled(moment.what).append(how, style="yellow"))
    if day:
        console.print(table)


def _table() -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _local(time: str) -> tuple[str, str]:
    """The day with its zone, and the time of day, on this machine's clock."""
    try:
        here = datetime.fromisoformat(time).astimezone()
    except ValueError:
        return "", time
    return f"{here:%Y-%m-%d} (UTC{here.isoformat()[-6:]})", here.time().isoformat("milliseconds")


def _styled(what: str) -> Text:
    text = Text(what)
    first, blank, _ = what.partition(" ")
    if first in ("exec", "born", "found", "ended", "killed") and blank:
        text.stylize("bold", 0, len(first))
    return text


def _began(version: Fields) -> str:
    process = version["process"]
    parent = process.get("parent") or {}
    what = row(version).command or printable(str(process.get("name") or "unknown"))
    about = f"{what}; user {account(process, 'user') or 'unknown'}"
    if "birth" in version["told"]:
        return f"born of {_who(parent)}: {about}" if parent else f"born: {about}"
    return f"found running: {about}" if version["how"] == "snapshot" else f"known as: {about}"


def change(before: Fields | None, version: Fields) -> str:
    """What this version began with; nothing where it told nothing new. ``before``: the one just before it, if any."""
    if before is None:
        return _began(version)
    changes = [*_image(before, version), *_accounts(before, version), *_capabilities(before, version)]
    changes += _session(before, version)
    changes += _parent(before, version)
    for name, read in PROPERTIES:
        old, new = read(before), read(version)
        if old != new:
            changes.append(f"{name} {old or NOTHING}{ARROW}{new or NOTHING}")
    changes += _doubt(before, version)
    if not changes and version["told"] == ["namespaces"] and version["how"] == "kernel":
        return "entered other namespaces"  # which ones documents do not say
    return "; ".join(changes)


def thread_change(before: Fields | None, version: Fields) -> str:
    """Likewise of a thread."""
    process = version["process"]
    name = _at("process.thread.name")(version) or "unknown"
    if before is None:
        about = f"{name}; user {account(process, 'user') or 'unknown'}"
        if "birth" not in version["told"]:
            return f"found running: {about}" if version["how"] == "snapshot" else f"known as: {about}"
        maker = process["thread"].get("birth_id")
        return f"born of thread {maker}: {about}" if maker else f"born: {about}"
    was = _at("process.thread.name")(before) or "unknown"
    changes = [f"thread name {was}{ARROW}{name}"] if was != name else []
    changes += [*_accounts(before, version), *_capabilities(before, version)]
    old, new = groups(before["process"]), groups(process)
    if old != new:
        changes.append(f"groups {old or NOTHING}{ARROW}{new or NOTHING}")
    return "; ".join(changes)


def _image(before: Fields, version: Fields) -> Iterator[str]:
    """What was executed, and names."""
    old, new = before["process"], version["process"]
    files = ("executable", "args", "name")
    is_new = any(old.get(name) != new.get(name) for name in files)
    executed = is_new or ("image" in version["told"] and version["how"] == "kernel")
    if executed:
        name, command = printable(str(new.get("name") or "unknown")), row(version).command
        path = printable(str(new.get("executable") or name))
        yield f"exec {path}: {command}" if command and command != path else f"exec {path}"
        if script := _at("lineage.script.path")(version):
            yield f"script {script}"
    thread = _at("process.thread.name")
    was, now = thread(before), thread(version)
    follows = executed and now in (comm(new.get("name")), comm(str(new.get("executable")).rpartition("/")[2]))
    if was != now and not follows:
        yield f"thread name {was or NOTHING}{ARROW}{now or NOTHING}"


def comm(name: Any) -> str:
    """What the kernel calls a thread that has executed a file of that name."""
    return printable(str(name or "").encode()[:COMM_MAX].decode("utf-8", "replace"))


def _accounts(before: Fields, version: Fields) -> Iterator[str]:
    """Effective, real and saved ones: what changed alike is told once."""
    for kind in ("user", "group"):
        alike: dict[str, list[str]] = {}
        for which, field in (("effective", kind), ("real", f"real_{kind}"), ("saved", f"saved_{kind}")):
            old, new = account(before["process"], field), account(version["process"], field)
            if old != new:
                alike.setdefault(f"{old or NOTHING}{ARROW}{new or NOTHING}", []).append(which)
        for change, whose in alike.items():
            yield f"{kind} {change}" if len(whose) == 3 else f"{' and '.join(whose)} {kind} {change}"


def _capabilities(before: Fields, version: Fields) -> Iterator[str]:
    """Of each set; the permitted one only where it has not changed as the effective one has."""
    told_before = ""
    for name, path in SETS:
        old, new = _get(before, path) or [], _get(version, path) or []
        change = capability_change(old, new) if old != new else ""
        if change and change != told_before:
            yield f"{name} {change}"
        told_before = told_before or change


def _session(before: Fields, version: Fields) -> Iterator[str]:
    pid = _at("process.pid")(version)
    session, group = _at("process.session_leader.pid"), _at("process.group_leader.pid")
    old, new = session(before), session(version)
    begins = old != new and new == pid
    if begins:
        yield f"began a session of its own (before: {old or NOTHING})"
    elif old != new:
        yield f"session {old or NOTHING}{ARROW}{new or NOTHING}"
    old, new = group(before), group(version)
    if old != new and not (begins and new == pid):
        yield f"process group {old or NOTHING}{ARROW}{new or NOTHING}"


def _parent(before: Fields, version: Fields) -> Iterator[str]:
    old, new = _get(before, "lineage.reaper"), _get(version, "lineage.reaper")
    if (old or {}).get("pid") == (new or {}).get("pid"):
        return
    lost = _who(old or version["process"].get("parent") or {})
    yield f"lost its parent {lost}: adopted by {_who(new)}" if new else f"its parent is {lost} again"


def _doubt(before: Fields, version: Fields) -> Iterator[str]:
    """Reasons why its lineage may not be the whole truth, that came or went."""
    old, new = (set(_get(one, "lineage.doubt") or ()) for one in (before, version))
    came, gone = ([f"+{word}" for word in sorted(new - old)], [f"-{word}" for word in sorted(old - new)])
    if came or gone:
        yield printable("doubt " + " ".join([*came, *gone]))


def _who(process: Fields) -> str:
    """Name and pid of another one."""
    return printable(f"{process.get('name') or 'unknown'} {process.get('pid') or ''}".strip())
