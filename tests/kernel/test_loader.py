"""What the real loader says when the real compiler or kernel refuses, and that it leaves nothing behind."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.errors import HostError
from pipeline.sources.ebpf import launch, macros
from tests.kernel.tracer import Tracer

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def defines() -> dict[str, str | int]:
    return macros.macros(Config(state_directory=Path("/nowhere"))) | macros.sizes(mmap.PAGESIZE)


def test_a_program_that_does_not_compile_is_told_with_the_compilers_words_for_debug(
    defines: dict[str, str | int],
) -> None:
    with pytest.raises(HostError, match="do not compile") as caught:
        launch.start(defines, text=launch.source() + "int broken(", debug=True)
    assert "error:" in caught.value.__notes__[0]


def test_a_program_the_verifier_refuses_is_told_with_its_log_for_debug(defines: dict[str, str | int]) -> None:
    wrong = launch.source().replace("bprm = ctx->args[2],", "bprm = ctx->args[90],")
    with pytest.raises(HostError, match="does not take the BPF programs") as caught:
        launch.start(defines, text=wrong, debug=True)
    assert "on_exec" in caught.value.message
    assert "invalid bpf_context access" in caught.value.__notes__[0]


def test_an_offset_that_was_forgotten_is_no_program(defines: dict[str, str | int]) -> None:
    without = {name: value for name, value in defines.items() if name != "TASK_PID"}
    with pytest.raises(HostError, match="do not compile"):
        launch.start(without)


def test_it_leaves_no_file_and_no_descriptor_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(os.listdir("/proc/self/fd"))
    tracer = Tracer(mmap.PAGESIZE)
    assert len(tracer.handover.links) == 5
    assert len(tracer.handover.calls) == 21 + launch.needs_snapshot_call()
    assert not any(os.get_inheritable(link) for link in (*tracer.handover.links, *tracer.handover.calls))
    tracer.close()
    assert set(os.listdir("/proc/self/fd")) == before
    assert not list(tmp_path.iterdir())


def test_headers_named_in_the_configuration_are_taken(defines: dict[str, str | int], tmp_path: Path) -> None:
    with pytest.raises(HostError, match="kernel_headers"):
        launch.start(defines, kernel_headers=tmp_path)


def test_root_without_the_capabilities_is_told_which() -> None:
    script = (
        "from pathlib import Path; from pipeline.config import Config; from pipeline.errors import HostError\n"
        "from pipeline.sources.ebpf import launch, macros\n"
        "try: launch.start(macros.macros(Config(state_directory=Path('/nowhere'))))\n"
        "except HostError as error: print(error)\n"
    )
    done = subprocess.run(
        ["setpriv", "--bounding-set", "-sys_admin,-bpf", sys.executable, "-c", script],
        cwd=Path(launch.__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith("the kernel refuses BPF (")
    assert "capabilities BPF, PERFMON" in line
