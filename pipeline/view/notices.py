"""What the product says about itself while it runs: one line a notice, on standard error, through structlog.

Colours and the time of day on a terminal, plain ``time level event key=value`` lines elsewhere. Standard output is left
to the data. On a terminal a notice takes the place of a line that moves, and that one is drawn again below it.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

ERASE_LINE = "\r\x1b[2K"


def configure(debug: bool = False) -> None:
    """Set structlog up for this process; ``debug`` adds what only a developer wants to read."""
    on_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if on_terminal else "iso", utc=not on_terminal),
            structlog.dev.ConsoleRenderer(colors=on_terminal, pad_event_to=0),
            *([_on_a_line_of_its_own] if on_terminal else []),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _on_a_line_of_its_own(_logger: WrappedLogger, _method: str, line: str | EventDict) -> str:
    return f"{ERASE_LINE}{line}"
