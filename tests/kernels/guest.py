"""One kernel in an emulator, over this machine's own file system, that runs pytest and is gone.

Rules:
- the guest reads the host's files and can write none, but for one folder of the job; it has no network;
- no hardware virtualisation is asked for: it is seldom there where tests run, and what is slow everywhere is the same
  everywhere;
- every end is one of two: a report, or a GuestError with what the console said last.
"""

from __future__ import annotations

import lzma
import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.kernels.packages import TOOLS_PATH, Image, KernelError, run

BOOT_TIMEOUT_S = 300  # four seconds where nothing else runs
SESSION_TIMEOUT_S = 3 * 3600
MEMORY_MIB = 3072
PROCESSORS = 2
CONSOLE_LINES_SHOWN = 60
READY = "the guest is ready"  # session.sh says it before pytest begins
FOLDER = Path(__file__).parent
MODULES = ("virtio_pci", "9p", "9pnet_virtio")  # what the root is reached through, where it is not built in


class GuestError(RuntimeError):
    """The guest ended without a report; the message has the end of its console."""


def session(image: Image, arguments: Sequence[str], show: Callable[[str], None]) -> bytes:
    """Run pytest with these arguments on that kernel; its report, as JUnit's XML.

    ``show`` gets each line as it comes, from pytest's first on. Raises GuestError.
    """
    with tempfile.TemporaryDirectory(prefix="lineage-guest-") as scratch:
        job = Path(scratch) / "job"
        job.mkdir()
        (job / "arguments").write_text("".join(f"{argument}\n" for argument in arguments))
        (job / "modules").write_text(f"{image.root}/lib/modules/{image.release}\n")
        memory_file = Path(scratch) / "initramfs"
        memory_file.write_bytes(initramfs(image))
        return report_of(command(image, memory_file, job), job / "report.xml", show)


def report_of(words: Sequence[str], report: Path, show: Callable[[str], None]) -> bytes:
    """What the emulator, started with these words, has left in ``report``. Raises GuestError."""
    console, problem = _followed(words, show)
    if problem or not report.exists():
        last = "\n".join(console.splitlines()[-CONSOLE_LINES_SHOWN:])
        raise GuestError(f"{problem or 'it ended without a report'}; its console said last:\n{last}")
    return report.read_bytes()


def command(image: Image, memory_file: Path, job: Path) -> list[str]:
    """The emulator's command line."""
    words = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    words += ["-accel", "tcg,thread=multi", "-cpu", "max,la57=off"]  # five levels of page tables cost, and serve nobody
    words += ["-smp", str(PROCESSORS), "-m", f"{MEMORY_MIB}M", "-serial", "stdio"]
    words += ["-kernel", str(image.kernel), "-initrd", str(memory_file)]
    for tag, path, options in (("root", Path("/"), "readonly=on,multidevs=remap"), ("job", job, "readonly=off")):
        words += ["-fsdev", f"local,id={tag},path={path},security_model=none,{options}"]
        words += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    # The emulated time stamp counter is the host's, and read at once; any other clock is an exit into the emulator.
    kernel = "console=ttyS0,115200 panic=-1 tsc=reliable clocksource=tsc rdinit=/init"
    return [*words, "-append", kernel]


def initramfs(image: Image) -> bytes:
    """A busybox, ``boot.sh`` and the modules that the root file system needs, in the order of loading."""
    busybox = shutil.which("busybox", path=TOOLS_PATH)
    if busybox is None:
        raise KernelError("busybox is missing: apt-get install busybox-static")
    with tempfile.TemporaryDirectory(prefix="lineage-initramfs-") as scratch:
        tree = Path(scratch)
        for folder in ("bin", "dev", "modules", "root"):
            (tree / folder).mkdir()
        shutil.copy(busybox, tree / "bin" / "busybox")
        shutil.copy(FOLDER / "boot.sh", tree / "init")
        (tree / "init").chmod(0o755)
        (tree / "session").write_text(str(FOLDER / "session.sh"))
        order = []
        for path in _modules(image):
            content = path.read_bytes()
            order.append(path.name.removesuffix(".xz"))
            (tree / "modules" / order[-1]).write_bytes(lzma.decompress(content) if path.suffix == ".xz" else content)
        (tree / "modules" / "order").write_text("".join(f"{name}\n" for name in order))
        names = "".join(f"{path.relative_to(tree)}\n" for path in sorted(tree.rglob("*")))
        packed = Path(scratch).with_suffix(".cpio")
        try:
            run([busybox, "cpio", "-o", "-H", "newc", "-F", packed], cwd=tree, input=names)
            return packed.read_bytes()
        finally:
            packed.unlink(missing_ok=True)


def _modules(image: Image) -> list[Path]:
    found: dict[Path, None] = {}
    for name in MODULES:
        told = run(["modprobe", "-C", "/dev/null", "-d", image.root, "-S", image.release, "--show-depends", name])
        found |= {Path(line.split()[1]): None for line in told.splitlines() if line.startswith("insmod ")}
    return list(found)


def _followed(words: Sequence[str], show: Callable[[str], None]) -> tuple[str, str]:
    """All that the console said, and what is wrong if it had to be stopped."""
    said = ""
    shown = 0
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as qemu:
        assert qemu.stdout is not None
        limit_s, what = BOOT_TIMEOUT_S, "it did not boot"
        deadline = time.monotonic() + limit_s
        try:
            while True:
                if not select.select([qemu.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                    return said, f"{what} within {limit_s} s"
                new = os.read(qemu.stdout.fileno(), 1 << 16)
                if not new:
                    return said, "" if shown else "it did not boot"
                said += new.decode("utf-8", "replace")
                if not shown and (ready := re.search(rf"{READY}\r?\n", said)):
                    shown = ready.end()
                    limit_s, what = SESSION_TIMEOUT_S, "its tests did not end"
                    deadline = time.monotonic() + limit_s
                while shown and (end := said.find("\n", shown)) >= 0:
                    show(said[shown:end].rstrip("\r").rpartition("\r")[2])  # what a line was written over with
                    shown = end + 1
        finally:
            qemu.kill()
