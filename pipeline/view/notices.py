"""What the product says about itself while it runs: one line a notice, on standard error, through structlog.

Colours on a terminal, plain ``level event key=value`` lines elsewhere. Standard output is left to the data.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure(debug: bool = False) -> None:
    """Set structlog up for this process; ``debug`` adds what only a developer wants to read."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
