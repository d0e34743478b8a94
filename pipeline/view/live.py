"""The live feed of `lineage run`: one line an exec, the chain before the command; below it, on a terminal, the numbers.

A narrow terminal gets two lines an exec: there the chain is below the command.

The flow only appends; a task of its own formats and prints every REFRESH_S, and the printing waits in a thread, so that
a slow terminal or a full pipe never holds up the ring. What a person could not read anyway is left out, counted
(``feed_lines_skipped``) and said in the feed; a pipe gets every line as long as its reader keeps up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime

import anyio
import anyio.to_thread
from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipeline.counters import Counters
from pipeline.enrich.lineage import chain
from pipeline.events import Exec
from pipeline.process import ProcessVersion
from pipeline.view.text import fit_chain, printable, styled_chain

REFRESH_S = 0.1
SECOND_NS = 1_000_000_000
LINES_WAITING_MAX = 20_000
TERMINAL_LINES_PER_REFRESH_MAX = 100
GAP_COLUMNS = 3
UNSURE = frozenset({"loss", "evicted", "unknown_parent"})
"""Doubts that are marked: the others are ordinary, of what ran before the agent, or about a long command line."""

MARK = " ?"
COMMAND_COLUMNS = 30  # of a command line that a long chain leaves room for
ONE_LINE_COLUMNS = 120  # narrower than that a line has no room for a chain that tells anything
INDENT_COLUMNS = 13  # of a chain below its command: behind the time


class Feed:
    """``watch`` is what flow calls; ``run`` prints until cancelled; ``close`` prints the rest."""

    def __init__(
        self,
        console: Console,
        counters: Counters,
        *,
        wall_ns: Callable[[int], int],
        user_name: Callable[[ProcessVersion], str],
        mask: Callable[[str], str],
        status: Callable[[], str],
        reader_gone: Callable[[], None],
    ) -> None:
        self.console = console
        self.counters = counters
        self._wall_ns = wall_ns
        self._user_name = user_name
        self._mask = mask
        self._status = status
        self._reader_gone = reader_gone
        self._gone = False
        self._waiting: list[tuple[Exec, ProcessVersion]] = []
        self._skipped = 0
        self._rate = _Rate()
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    @property
    def shows_status(self) -> bool:
        """Whether ``status`` is seen: on a terminal, in the line below the feed."""
        return self._live is not None

    def watch(self, event: Exec, process: ProcessVersion) -> None:
        if len(self._waiting) >= LINES_WAITING_MAX:
            self._skipped += 1
            self.counters.feed_lines_skipped += 1
            return
        self._waiting.append((event, process))

    async def run(self) -> None:
        if self._live is not None:
            self._live.start()
        while not self._gone:
            await anyio.to_thread.run_sync(self._show, *self._take())
            await anyio.sleep(REFRESH_S)
        self._reader_gone()

    def close(self) -> None:
        """Print what is left and take the status line away. Once ``run`` has ended: two printers mix their lines."""
        self._show(*self._take())
        if self._live is not None:
            self._live.stop()

    def _take(self) -> tuple[list[tuple[Exec, ProcessVersion]], int]:
        """What to print now, and how many were left out before it."""
        lines, skipped = list(self._waiting), self._skipped
        self._waiting.clear()
        self._skipped = 0
        beyond = len(lines) - TERMINAL_LINES_PER_REFRESH_MAX
        if self._live is not None and beyond > 0:
            self.counters.feed_lines_skipped += beyond
            return lines[beyond:], skipped + beyond
        return lines, skipped

    def _show(self, lines: list[tuple[Exec, ProcessVersion]], skipped: int) -> None:
        if self._gone:
            return
        try:
            self._print(lines, skipped)
        except OSError:  # a closed pipe, a closed terminal: what is traced goes to the sink all the same
            self._gone = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.console.file.fileno())
            os.close(nowhere)

    def _print(self, lines: list[tuple[Exec, ProcessVersion]], skipped: int) -> None:
        if self._live is None:
            text = "".join(self.line(*each, pipe=True).plain + "\n" for each in lines)
            if skipped:
                text = f"... {skipped} more not shown\n" + text
            if text:
                self.console.file.write(text)
                self.console.file.flush()
            return
        if skipped:
            self.console.print(Text(f"  … {skipped:,} more not shown", style="dim"))
        for each in lines:
            self.console.print(self.line(*each, width=self.console.width), no_wrap=True, overflow="ellipsis")
        self._live.update(self._numbers(), refresh=True)

    def line(self, event: Exec, process: ProcessVersion, width: int | None = None, *, pipe: bool = False) -> Text:
        """Time, pid, user, chain, command: ancestors dim, the last step plain, the process itself bold.

        The time of day, where the day is known; in a ``pipe`` the time as documents have it.

        Behind a chain that may not be the whole truth stands a question mark.

        With ``width`` the chain is shortened in its middle, so that the program and the beginning of its command line
        are seen. On a terminal narrower than ONE_LINE_COLUMNS the chain has a line of its own, below the command.
        """
        second, ns = divmod(self._wall_ns(event.stamp.time_ns), SECOND_NS)
        wall = datetime.fromtimestamp(second, UTC)
        time = f"{wall:%Y-%m-%dT%H:%M:%S}.{ns:09d}Z" if pipe else f"{wall.astimezone():%H:%M:%S}.{ns // 1_000_000:03d}"
        command = printable(" ".join(map(self._mask, process.image.args)))
        text = Text(no_wrap=True)
        text.append(f"{time} ", style="dim")
        text.append(f"{process.pid:>7} ", style="cyan")
        text.append(
            f"{printable(self._user_name(process)):<10} ", style="green" if process.credentials.euid else "yellow"
        )
        ancestry = printable(chain(process))
        mark = "" if UNSURE.isdisjoint(process.doubt) else MARK
        if width is not None and width < ONE_LINE_COLUMNS:
            text.append(command, style="dim")
            text.truncate(width, overflow="ellipsis")
            text.append("\n" + " " * INDENT_COLUMNS)
            text.append_text(styled_chain(fit_chain(ancestry, width - INDENT_COLUMNS - len(mark))))
            return text.append(mark, style="yellow")
        if width is not None:
            room = width - text.cell_len - len(mark) - GAP_COLUMNS - min(len(command), COMMAND_COLUMNS)
            ancestry = fit_chain(ancestry, room)
        text.append_text(styled_chain(ancestry))
        text.append(mark, style="yellow")
        text.append(" " * GAP_COLUMNS)
        text.append(command, style="dim")
        return text

    def _numbers(self) -> Text:
        c = self.counters
        rate = self._rate.of(c.events)
        text = Text(no_wrap=True, overflow="ellipsis")
        status = self._status()
        if status:
            text.append(f" {status} ", style="yellow")
        text.append(
            f" {c.events:,} events  {rate:,.0f}/s  {c.documents:,} documents  {c.delivered:,} delivered  ", style="dim"
        )
        text.append(f"{c.lost():,} lost", style="bold red" if c.lost() else "dim")
        text.append("  Ctrl-C ends", style="dim")
        return text


class _Rate:
    """Events a second over the last second or so."""

    def __init__(self) -> None:
        self._at_s = time.monotonic()
        self._count = 0
        self._rate = 0.0

    def of(self, count: int) -> float:
        now_s = time.monotonic()
        if now_s - self._at_s >= 1.0:
            self._rate = (count - self._count) / (now_s - self._at_s)
            self._at_s, self._count = now_s, count
        return self._rate
