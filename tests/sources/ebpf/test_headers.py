"""Kernel headers of any version, laid over each other as BCC wants them, without touching the host."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from pipeline.errors import HostError
from pipeline.sources.ebpf import headers

ARCHITECTURE = headers.ARCHITECTURES.get(platform.machine(), platform.machine())
COMMON = ("include/linux/kconfig.h", f"arch/{ARCHITECTURE}/include/asm/page.h")
FLAVOUR = ("include/generated/autoconf.h", f"arch/{ARCHITECTURE}/include/generated/asm/x.h")


def _files(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{folder.name}\n")
    return folder


def _debian(root: Path, version: str) -> tuple[Path, Path]:
    common = _files(root / f"usr/src/linux-headers-{version}-common", (*COMMON, "Makefile"))
    flavour = _files(root / f"usr/src/linux-headers-{version}-amd64", FLAVOUR)
    (flavour / "Makefile").write_text(f"include {common}/Makefile\n")
    return flavour, common


def test_the_running_kernels_own_come_first(tmp_path: Path) -> None:
    _debian(tmp_path, "99.0.0")
    own = _files(tmp_path / "lib/modules" / platform.release() / "build", (*COMMON, *FLAVOUR))
    assert headers.find(root=tmp_path) == (own,)


def test_debians_two_folders_are_found_without_any_lib_modules(tmp_path: Path) -> None:
    _debian(tmp_path, "6.1.0-9")
    newest = _debian(tmp_path, "6.1.0-10")
    assert headers.find(root=tmp_path) == newest


def test_a_folder_named_in_the_configuration_is_used_and_no_other(tmp_path: Path) -> None:
    flavour, common = _debian(tmp_path, "6.1.0-9")
    assert headers.find(flavour, tmp_path / "empty") == (flavour, common)
    with pytest.raises(HostError, match="kernel_headers"):
        headers.find(tmp_path / "nothing", tmp_path)


def test_folders_of_another_architecture_or_with_a_part_missing_are_passed_over(tmp_path: Path) -> None:
    _files(tmp_path / "usr/src/linux-headers-9-other", (*COMMON, "include/generated/autoconf.h"))
    with pytest.raises(HostError, match="apt-get install linux-headers-"):
        headers.find(root=tmp_path)


def test_headers_inside_the_kernel_are_left_to_bcc(tmp_path: Path) -> None:
    _files(tmp_path, ("sys/kernel/kheaders.tar.xz",))
    assert headers.find(root=tmp_path) == ()


def test_folders_are_laid_over_each_other(tmp_path: Path) -> None:
    flavour, common = _debian(tmp_path, "6.1.0-9")
    headers.link_tree((flavour, common), tmp_path / "tree")
    for name in (*COMMON, *FLAVOUR):
        assert (tmp_path / "tree" / name).is_file()
    assert (tmp_path / "tree" / "Makefile").read_text().startswith("include")
    assert (tmp_path / "tree" / "include" / "linux").is_symlink()


def test_they_are_found_before_anything_is_installed() -> None:
    """requirements/system.sh asks under an interpreter that has the standard library alone."""
    script = "import sys; from pipeline.sources.ebpf.headers import find; print(sorted(sys.modules))"
    done = subprocess.run(
        ["/usr/bin/python3", "-S", "-c", script],
        capture_output=True,
        text=True,
        cwd=Path(headers.__file__).parents[3],
        check=True,
    )
    assert "anyio" not in done.stdout
