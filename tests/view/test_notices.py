"""What the product says about itself stands on lines of its own."""

from __future__ import annotations

import io
import re
import sys

import pytest
import structlog

from pipeline.view import notices


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_notice_on_a_terminal_takes_the_place_of_the_line_that_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal("a line that moves")
    terminal.seek(0, io.SEEK_END)
    monkeypatch.setattr(sys, "stderr", terminal)
    notices.configure()
    structlog.get_logger().info("ready")
    before, erased, after = terminal.getvalue().partition(notices.ERASE_LINE)
    assert (before, bool(erased)) == ("a line that moves", True)
    assert "ready" in after
    assert after.endswith("\n")


def test_elsewhere_a_notice_is_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    notices.configure()
    structlog.get_logger().warning("waiting", reason="nobody is there")
    assert "\x1b" not in file.getvalue()
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z ", file.getvalue())
    assert file.getvalue().endswith("waiting reason='nobody is there'\n")
