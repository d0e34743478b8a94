"""What a guest may do, and what becomes of one that fails; a shell stands in for the emulator."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.kernels import guest
from tests.kernels.guest import READY, GuestError
from tests.kernels.packages import Image

IMAGE = Image("6.1", "6.1.0-1-amd64", Path("/cache/boot/vmlinuz-6.1.0-1-amd64"), Path("/cache"))


def _report_of(script: str, folder: Path) -> tuple[bytes, list[str]]:
    shown: list[str] = []
    report = guest.report_of(["sh", "-c", script], folder / "report.xml", shown.append)
    return report, shown


def test_a_guest_reads_the_host_writes_its_job_and_has_no_network() -> None:
    words = guest.command(IMAGE, Path("/scratch/initramfs"), Path("/scratch/job"))
    shares = [word for word in words if word.startswith("local,")]
    assert [share for share in shares if "readonly=on" not in share] == [
        "local,id=job,path=/scratch/job,security_model=none,readonly=off"
    ]
    assert any("path=/,security_model=none,readonly=on" in share for share in shares)
    assert "-nodefaults" in words
    assert not [word for word in words if word.startswith(("-net", "user,", "virtio-net"))]


def test_what_pytest_says_is_shown_as_it_comes_and_not_what_the_kernel_says_before(tmp_path: Path) -> None:
    script = f"echo booting; echo {READY}; printf 'one\\r\\n2 of\\rtwo\\r\\n'; echo '<xml/>' >{tmp_path}/report.xml"
    assert _report_of(script, tmp_path) == (b"<xml/>\n", ["one", "two"])


def test_a_guest_without_a_report_is_a_failure_that_shows_the_console(tmp_path: Path) -> None:
    script = f"seq 1 1000; echo {READY}; echo Kernel panic"
    with pytest.raises(GuestError, match="ended without a report") as failure:
        _report_of(script, tmp_path)
    lines = str(failure.value).splitlines()
    assert lines[-1] == "Kernel panic"
    assert len(lines) == 1 + guest.CONSOLE_LINES_SHOWN


def test_a_kernel_that_ends_before_pytest_did_not_boot(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match=r"did not boot; .*\nno root"):
        _report_of("echo no root", tmp_path)


def test_a_kernel_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "BOOT_TIMEOUT_S", 0)
    with pytest.raises(GuestError, match="did not boot within 0 s"):
        _report_of("exec sleep 600", tmp_path)


def test_tests_that_never_end_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "SESSION_TIMEOUT_S", 0)
    with pytest.raises(GuestError, match=r"tests did not end within 0 s; .*\n"):
        _report_of(f"echo {READY}; exec sleep 600", tmp_path)


def test_the_scripts_of_a_guest_are_shell() -> None:
    for name in ("boot.sh", "session.sh"):
        subprocess.run(["bash", "-n", guest.FOLDER / name], check=True)
    assert f'echo "{READY}"\n' in (guest.FOLDER / "session.sh").read_text()
