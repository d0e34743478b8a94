"""Kernel headers for BCC's compiler: the running kernel's own where they are, else any version that is installed.

Rules of this file:
- any version serves: BCC wants headers to include, but no offset of ours comes from them (offsets.py);
- nothing on the host is touched. A distribution spreads headers over folders that point at each other; BCC wants one
  tree. It gets a folder of links, made for the one compilation and removed after it, named by BCC_KERNEL_SOURCE.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import HostError

ARCHITECTURES = {"x86_64": "x86", "aarch64": "arm64"}
_NEEDED = ("include/linux/kconfig.h", "include/generated/autoconf.h")


def _with_companions(folder: Path) -> tuple[Path, ...]:
    """Debian's folder of one flavour has a Makefile of one line, which names the folder that holds the rest."""
    makefile = folder / "Makefile"
    if makefile.is_file():
        with makefile.open(encoding="utf-8", errors="replace") as lines:
            named = re.match(r"include (/\S+)/Makefile$", lines.readline().rstrip())
        if named:
            return folder, Path(named[1])
    return (folder,)


def _usable(folders: tuple[Path, ...]) -> bool:
    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    needed = (*_NEEDED, f"arch/{architecture}/include/generated")
    return all(any((folder / name).exists() for folder in folders) for name in needed)


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", folder.name))


def _candidates(wanted: Path | None, root: Path) -> Iterator[tuple[Path, ...]]:
    if wanted is not None:
        yield _with_companions(wanted)
        return
    own = root / "lib/modules" / platform.release()
    yield (*_with_companions(own / "build"), own / "source")
    places = ("usr/src/linux-headers-*", "usr/src/kernels/*", "usr/local/src/linux-headers-*")  # the last: Dockerfile
    installed = [folder for place in places for folder in root.glob(place)]
    for folder in sorted(installed, key=_version, reverse=True):
        yield _with_companions(folder)


def find(wanted: Path | None = None, root: Path = Path("/")) -> tuple[Path, ...]:
    """The folders that together hold kernel headers; empty: the kernel carries them itself, and BCC unpacks them.

    ``wanted`` is the folder the configuration names. Raises ``HostError`` where there are none.
    """
    for folders in _candidates(wanted, root):
        if _usable(folders):
            return tuple(folder for folder in folders if folder.is_dir())
    if wanted is not None:
        raise HostError(
            f"no kernel headers for {platform.machine()} in kernel_headers = {wanted}", "name another folder"
        )
    if (root / "sys/kernel/kheaders.tar.xz").exists():
        return ()
    flavour = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    raise HostError("no kernel headers found", f"apt-get install linux-headers-{flavour} (any version serves)")


def link_tree(folders: tuple[Path, ...], to: Path) -> None:
    """Make ``to`` look like the folders laid over each other, the first on top: links, and folders where two meet."""
    to.mkdir(exist_ok=True)
    names: dict[str, list[Path]] = {}
    for folder in folders:
        for entry in os.scandir(folder):
            names.setdefault(entry.name, []).append(Path(entry.path))
    for name, found in names.items():
        inner = tuple(path for path in found if path.is_dir())
        if len(inner) > 1 and found[0].is_dir():
            link_tree(inner, to / name)
        else:
            (to / name).symlink_to(found[0])
