"""Where the kernels of `make test-kernels` are looked for; apt itself reads the sources, in both forms."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.kernels import packages
from tests.kernels.packages import KernelError, Mirrors

ONE_LINE = """
# a mirror of somebody's
deb [arch=amd64] http://mirror.example/pub/debian/ bookworm main contrib
deb http://mirror.example/pub/debian/ bookworm-updates main
#deb http://other.example/debian bookworm-updates main
deb http://safe.example/debian-security bookworm-security main
"""
DEB822 = """
Types: deb
URIs: http://mirror.example/pub/debian
Suites: bookworm bookworm-updates
Components: main

Enabled: no
Types: deb
URIs: http://other.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://safe.example/debian-security
Suites: bookworm-security
Components: main
"""
SOMEBODY_ELSE = "deb http://engine.example/linux/debian bookworm stable\n"  # with suites of the same names
EXPECTED = Mirrors("http://mirror.example/pub/debian", "http://safe.example/debian-security")

needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt on this machine")


def _apt(folder: Path, **files: str) -> list[str]:
    """Options for an apt with these sources and no others."""
    (folder / "sources.list.d").mkdir()
    for name, text in files.items():
        (folder / "sources.list.d" / name.replace("_", ".")).write_text(text)
    return ["-o", f"Dir::Etc={folder}"]


@needs_apt
@pytest.mark.parametrize(("name", "text"), [("debian_list", ONE_LINE), ("debian_sources", DEB822)])
def test_the_archives_are_those_of_this_machine_in_whichever_form(tmp_path: Path, name: str, text: str) -> None:
    assert packages.mirrors(_apt(tmp_path, **{name: text})) == EXPECTED


@needs_apt
def test_an_archive_of_somebody_else_is_not_taken_for_debians(tmp_path: Path) -> None:
    options = _apt(tmp_path, a_list=SOMEBODY_ELSE, debian_sources=DEB822)
    assert packages.mirrors(options) == EXPECTED


@needs_apt
def test_a_machine_without_debian_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="no archive of Debian"):
        packages.mirrors(_apt(tmp_path, a_list="deb http://elsewhere.example/apt stable main\n"))


@needs_apt
def test_what_apt_refuses_is_shown(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="Malformed"):
        packages.mirrors(_apt(tmp_path, a_list="deb nonsense\n"))


def test_an_archive_without_updates_is_known_by_its_address() -> None:
    printed = "'http://mirror.example/debian/dists/sid/InRelease' name 0 \n"
    assert packages._mirrors(printed) == Mirrors("http://mirror.example/debian", None)


def test_every_source_is_bound_to_debians_keyring() -> None:
    lines = packages.sources("trixie", EXPECTED).splitlines()
    assert [line.split()[2:] for line in lines] == [
        ["http://mirror.example/pub/debian", "trixie", "main"],
        ["http://safe.example/debian-security", "trixie-security", "main"],
    ]
    assert all(line.startswith(f"deb [signed-by={packages.KEYRING}] ") for line in lines)


def test_a_missing_tool_is_named() -> None:
    with pytest.raises(KernelError, match="no-such-tool is missing"):
        packages.run(["no-such-tool"])
