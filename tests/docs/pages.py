"""The documentation as the tests read it: pages, tables, links, code. GitHub's Markdown, as far as it is used here."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

from tests.checkout import REPOSITORY

_FENCE = re.compile(r"^```.*?^```\n", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git knows, or would take up."""
    command = ["git", "-C", str(REPOSITORY), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return tuple(REPOSITORY / name for name in sorted(set(names)) if name and (REPOSITORY / name).is_file())


@cache
def pages() -> tuple[Path, ...]:
    return tuple(path for path in tracked() if path.suffix == ".md")


def named(name: str) -> str:
    """The text of one page."""
    return (REPOSITORY / name).read_text(encoding="utf-8")


def short(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next of the same level or of a higher one."""
    level = len(heading) - len(heading.lstrip("#"))
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{level}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no heading {heading!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """Cells of every table row but headings and rulers."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    ruler = [all(set(cell) <= set("-:") and cell for cell in row) for row in cells]
    headings = {number - 1 for number, is_ruler in enumerate(ruler) if is_ruler}
    return [row for number, row in enumerate(cells) if not ruler[number] and number not in headings]


def code(text: str) -> list[str]:
    """Spans and lines of blocks: what a reader would type or see."""
    blocks = [line.strip() for block in _FENCE.findall(text) for line in block.splitlines()[1:-1]]
    indented = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    return _SPAN.findall(_FENCE.sub("", text)) + blocks + indented


def links(text: str) -> list[str]:
    return _LINK.findall(_FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}
