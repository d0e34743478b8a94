"""Debian's own kernels, fetched by apt from wherever this machine's apt fetches, and unpacked beside each other.

Rules:
- no address is written down: apt is asked which archives it uses, and the other suites are looked for in the same ones;
- nothing of the host's apt is changed or read but that: each suite has a private root, with one list of sources, and
  only Debian's keyring vouches for what comes from there;
- nothing is installed. A package is unpacked into the cache; its folder is whole or not there, and an older one of the
  same suite is removed once the newer is in place.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.elasticsearch.artifact import cache_folder, locked

SUITES = {"5.10": "bullseye", "6.1": "bookworm", "6.12": "trixie"}
"""Kernel series -> the suite of Debian that carries it, oldest first."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
META_PACKAGE = "linux-image-amd64"
FETCH_TIMEOUT_S = 900
TOOLS_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))  # for those who are not root


class KernelError(RuntimeError):
    """This kernel cannot be had here; the message says why."""


class Mirrors(NamedTuple):
    archive: str  # base addresses, without a slash at the end
    security: str | None


class Image(NamedTuple):
    series: str  # "6.1"
    release: str  # "6.1.0-56-amd64": what uname -r says of it
    kernel: Path
    root: Path  # holds lib/modules/RELEASE, with modules.dep


def kernels_folder() -> Path:
    return cache_folder() / "kernels"


def run(command: Iterable[str | Path], **options: object) -> str:
    """What a command prints. Raises KernelError, with what it said, where it fails."""
    words = [str(word) for word in command]
    environment = os.environ | {"PATH": TOOLS_PATH, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            words,
            env=environment,
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT_S,
            check=True,
            **options,  # type: ignore[call-overload]
        )
    except FileNotFoundError as error:
        raise KernelError(f"{words[0]} is missing: `make test-kernels` installs what is needed") from error
    except subprocess.TimeoutExpired as error:
        raise KernelError(f"{words[0]} did not end within {FETCH_TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        raise KernelError(f"{' '.join(words[:2])} failed:\n{error.stdout[-2000:]}{error.stderr[-2000:]}") from error
    return str(done.stdout)


def mirrors(options: Iterable[str] = ()) -> Mirrors:
    """Where this machine's apt fetches Debian from, whichever form its sources are written in.

    ``options`` are apt's, for a test that has sources of its own. Nothing is fetched.
    """
    with tempfile.TemporaryDirectory(prefix="lineage-apt-") as empty:  # as if nothing had ever been fetched
        state = ("-o", f"Dir::State={empty}", "-o", f"Dir::Cache={empty}")
        return _mirrors(run(["apt-get", *options, *state, "update", "--print-uris"]))


def _mirrors(printed: str) -> Mirrors:
    """Out of the addresses of the lists that apt would fetch.

    Others than Debian name their suites after Debian's too; but the archive alone has one for updates, and a
    mirror's own name says nothing.
    """
    lists = re.findall(r"^'(\S+)/dists/(\S+)/InRelease'", printed, re.MULTILINE)
    archives = [uri for uri, suite in lists if suite.endswith("-updates")]
    archives += [uri for uri, _ in lists if uri.endswith("/debian")]
    security = [uri for uri, suite in lists if suite.endswith(("-security", "/updates"))]
    if not archives:
        raise KernelError("the package sources of this machine have no archive of Debian in them")
    return Mirrors(archives[0], security[0] if security else None)


def sources(suite: str, found: Mirrors) -> str:
    """The list of sources of one suite, with its security updates: those have the newest kernel."""
    lines = [f"deb [signed-by={KEYRING}] {found.archive} {suite} main"]
    if found.security is not None:
        lines.append(f"deb [signed-by={KEYRING}] {found.security} {suite}-security main")
    return "".join(f"{line}\n" for line in lines)


def image(series: str) -> Image:
    """The newest kernel of the series, fetched and unpacked where it is not there. Raises KernelError.

    Where the archive does not answer, the newest that was unpacked before.
    """
    suite = SUITES[series]
    folder = kernels_folder() / suite
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    with locked(folder / "lock"):
        try:
            package = _newest(folder / "apt", suite)
        except KernelError as error:
            kept = next((boot.parent for boot in folder.glob("[0-9]*/boot")), None)
            if kept is None:
                raise
            sys.stderr.write(f"not looked for a newer one: {error}\n")
            return _described(series, kept)
        target = folder / package.removeprefix("linux-image-")
        if not target.is_dir():
            _unpack(folder, package, target)
        for other in folder.glob("*/boot"):  # older, or left by a run that was killed
            if other.parent != target:
                shutil.rmtree(other.parent)
    return _described(series, target)


def _apt(root: Path, *arguments: str) -> str:
    settings = {
        "Dir::Etc::SourceList": root / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State": root / "state",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": root / "cache",
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "root",  # the cache is none of _apt's business
        "Acquire::Check-Valid-Until": "false",  # a suite that has reached its end is never signed again
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    return run([arguments[0], *options, *arguments[1:]], cwd=root)


def _newest(root: Path, suite: str) -> str:
    """Name of the package that the suite's meta package depends on."""
    if not KEYRING.exists():
        raise KernelError(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "sources.list").write_text(sources(suite, mirrors()))
    _apt(root, "apt-get", "update", "--error-on=any")
    told = _apt(root, "apt-cache", "show", "--no-all-versions", META_PACKAGE)
    found = re.search(r"^Depends: (linux-image-\d\S+)", told, re.MULTILINE)
    if found is None:
        raise KernelError(f"{META_PACKAGE} of {suite} depends on no kernel")
    return found[1]


def _unpack(folder: Path, package: str, target: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder))
    try:
        _apt(folder / "apt", "apt-get", "download", package)
        (archive,) = (folder / "apt").glob(f"{package}_*.deb")
        run(["dpkg-deb", "--extract", archive, scratch])
        archive.unlink()
        if not (scratch / "lib").exists():  # from Debian 13 on
            (scratch / "lib").symlink_to("usr/lib")
        (release,) = (path.name for path in (scratch / "lib" / "modules").iterdir())
        run(["depmod", "-b", scratch, release])
        scratch.chmod(0o755)
        scratch.rename(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _described(series: str, folder: Path) -> Image:
    release = folder.name
    return Image(series, release, folder / "boot" / f"vmlinuz-{release}", folder)
