"""The repository says nothing of the machine it was made on: no path of a checkout, no host, no registry.

What to look for is asked of this machine when the test runs, so that it is written down nowhere.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.checkout import REPOSITORY
from tests.docs import pages

PUBLIC = (".debian.org", ".ubuntu.com", "pypi.org", ".pythonhosted.org", "localhost", "127.0.0.1")
SYSTEM = ("bin", "boot", "dev", "etc", "lib", "opt/lineage", "proc", "run", "sbin", "sys", "tmp", "usr", "var/lib")
DISTINCTIVE_LENGTH = 6
"""A shorter host name, or one without a digit or a hyphen, is a word that any text may have."""


def _own_names() -> dict[str, str]:
    """What must not appear -> what it is."""
    names = {f"{REPOSITORY}/": "the path of this checkout"}
    host = socket.gethostname()
    if len(host) >= DISTINCTIVE_LENGTH and re.search(r"[\d-]", host):
        names[host] = "the name of this host"
    return names | dict.fromkeys(_registries(), "a package source of this machine")


def _registries() -> set[str]:
    """Hosts that pip and apt fetch from here, but for those that everybody knows."""
    pip = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    told = [pip.stdout, os.environ.get("PIP_INDEX_URL", ""), os.environ.get("PIP_EXTRA_INDEX_URL", "")]
    for source in (Path("/etc/apt/sources.list"), *Path("/etc/apt").glob("sources.list.d/*")):
        if source.is_file():
            told += re.findall(r"^(?:deb|URIs:).*$", source.read_text(encoding="utf-8"), re.MULTILINE)
    hosts = {urlsplit(url).hostname or "" for url in re.findall(r"https?://[^\s'\"]+", " ".join(told))}
    return {host for host in hosts if "." in host and not host.endswith(PUBLIC)}


def test_no_file_names_this_machine_or_where_its_packages_come_from() -> None:
    names = _own_names()
    for path in pages.tracked():
        content = path.read_text(encoding="utf-8", errors="replace")
        for name, what in names.items():
            assert name not in content, f"{pages.short(path)} has {what}"


@pytest.mark.parametrize("page", pages.pages(), ids=pages.short)
def test_absolute_paths_in_the_documentation_are_any_linux_hosts(page: Path) -> None:
    text = re.sub(r"https?://\S+", "", page.read_text(encoding="utf-8"))
    for span in pages.code(text):
        if re.match(r"(GET|POST|PUT) /", span):
            continue
        for path in re.findall(r"(?<![\w.*~$/>}-])/((?!/)[a-z][\w.-]*(?:/[\w.*-]+)*)", span):
            assert path.startswith(SYSTEM), f"/{path} in `{span}`"
