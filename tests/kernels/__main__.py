"""python -m tests.kernels: the tests of tests/kernel on this machine's kernel and on Debian's, and docs/kernels.md.

Rules: a kernel that cannot be had, does not boot or ends without a report is a failure of the run, and the others are
run all the same; what is kept between runs are whole reports, one a kernel, with the checkout that they are about; the
page is written from those, and only when every kernel has one.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.checkout import REPOSITORY
from tests.kernels import guest, packages, table
from tests.kernels.report import Outcome, Report, failed, parse, with_again

PAGE = REPOSITORY / "docs" / "kernels.md"
REPORTS = REPOSITORY / ".cache" / "kernels"
TESTS = REPOSITORY / "tests" / "kernel"
HERE = "here"  # the kernel that this machine runs
TEST_TIMEOUT_S = 1200  # for one test under emulation, some twenty times slower; pyproject.toml's is for machines
KERNELS = (HERE, *packages.SUITES)
CHOICE = ("--verbose", "-m", "not elasticsearch and not stack")  # a guest has neither server nor engine


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _options().parse_args(arguments)
    part = shlex.split(chosen.pytest)
    wanted = [] if chosen.page else (chosen.only or list(KERNELS))
    run = _run_again if chosen.again else _run
    bad = [kernel for kernel in wanted if not run(kernel, part)]
    if not part:
        _write_page()
    if bad:
        _say(f"failed: {', '.join(bad)}")
    return 1 if bad else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.kernels", description="tests/kernel on several kernels")
    parser.add_argument("--only", action="append", choices=KERNELS, help="this kernel; again for more")
    parser.add_argument("--pytest", default="", metavar="ARGS", help="more for pytest (--pytest=-x), for a part")
    parser.add_argument("--again", action="store_true", help="only what failed in the kept reports, to stand in them")
    parser.add_argument("--page", action="store_true", help="run nothing, write docs/kernels.md from the kept reports")
    return parser


def _run(kernel: str, part: Sequence[str]) -> bool:
    """Whether all went well there; a whole report is kept."""
    _say(f"{kernel}: begins")
    return _told(kernel, [str(TESTS), *part], None, keep=not part)


def _run_again(kernel: str, part: Sequence[str]) -> bool:
    """What had failed there."""
    if not _kept(kernel).is_file():
        _say(f"{kernel}: no report yet")
        return False
    before = _kept(kernel).read_bytes()
    names = failed(before)
    if not names:
        _say(f"{kernel}: nothing had failed")
        return True
    _say(f"{kernel}: again {' '.join(names)}")
    return _told(kernel, [*names, *part], before, keep=True)


def _told(kernel: str, words: Sequence[str], before: bytes | None, *, keep: bool) -> bool:
    """Whether all went well. ``before``: the report that the results go into."""
    began = time.monotonic()
    try:
        xml = _here(words) if kernel == HERE else _guest(kernel, words)
        report = parse(xml)
    except (packages.KernelError, guest.GuestError, ValueError) as error:
        _say(f"{kernel}: {error}")
        return False
    if keep:
        kept = _kept(kernel)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(xml if before is None else with_again(before, xml))
    _say(f"{kernel}: {report.release}, {_counts(report)}, {(time.monotonic() - began) / 60:.0f} minutes")
    return bool(report.results) and not report.count(Outcome.FAILED)


def _guest(kernel: str, selected: Sequence[str]) -> bytes:
    image = packages.image(kernel)
    _say(f"{kernel}: booting {image.release}")
    words = [*CHOICE, f"--timeout={TEST_TIMEOUT_S}", "--durations=5", *selected]
    return guest.session(image, words, lambda line: _say(f"{kernel} | {line}"))


def _here(selected: Sequence[str]) -> bytes:
    if os.geteuid() != 0:
        raise packages.KernelError("the tests of this machine's own kernel need root")
    with tempfile.TemporaryDirectory(prefix="lineage-kernels-") as scratch:
        report = Path(scratch) / "report.xml"
        words = [sys.executable, "-m", "pytest", *CHOICE, f"--junitxml={report}"]
        words += ["-o", f"junit_suite_name={platform.release()}", *selected]
        subprocess.run(words, cwd=REPOSITORY, stdin=subprocess.DEVNULL, check=False)
        if not report.exists():
            raise packages.KernelError("pytest ended without a report")
        return report.read_bytes()


def _kept(kernel: str) -> Path:
    return REPORTS / f"{kernel}.xml"


def _write_page() -> None:
    missing = [kernel for kernel in KERNELS if not _kept(kernel).is_file()]
    if missing:
        _say(f"docs/kernels.md stays as it is: no report yet of {', '.join(missing)}")
        return
    reports = [parse(_kept(kernel).read_bytes()) for kernel in KERNELS]
    PAGE.write_text(table.page(reports, table.headings(TESTS)), encoding="utf-8")
    _say("docs/kernels.md is written")


def _counts(report: Report) -> str:
    return ", ".join(f"{report.count(outcome)} {outcome.value}" for outcome in Outcome)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C does: no guest is left
    sys.exit(main())
