"""Each thing the host may lack is one line with the mend; nothing of it is BCC's or the kernel's own words alone."""

from __future__ import annotations

import ast
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import HostError
from pipeline.sources.ebpf import headers, launch


@pytest.fixture(autouse=True)
def _as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(headers, "find", lambda _wanted=None: ())


def _python(folder: Path, name: str, script: str) -> Path:
    """An interpreter that answers the loader's part: ``script`` has FD, the request and the socket."""
    path = folder / name
    path.write_text(
        "#!/usr/bin/python3\n"
        "import json, os, socket, sys\n"
        "link = socket.socket(fileno=int(sys.argv[3]))\n"
        "request = json.loads(link.recv(1 << 20))\n" + script
    )
    path.chmod(0o755)
    return path


def _answering(folder: Path, name: str, **answer: Any) -> Path:
    return _python(folder, name, f"link.send(json.dumps({answer!r}).encode())\n")


def _fails(*pythons: Path, debug: bool = False) -> HostError:
    with pytest.raises(HostError) as caught:
        launch.start({}, pythons=pythons, text="", debug=debug)
    assert "\n" not in str(caught.value)
    return caught.value


def test_without_root_it_says_how_to_start_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "sudo" in _fails().mend


@pytest.mark.parametrize("release", ["5.9.16", "4.19.0-27-amd64", "nonsense"])
def test_an_old_kernel_is_told_what_it_takes(release: str) -> None:
    with pytest.raises(HostError, match=r"5\.10 or later"):
        launch.require_kernel(release)


@pytest.mark.parametrize("release", ["5.10.0", "6.1.0-56-amd64", "10.0"])
def test_a_later_kernel_is_taken(release: str) -> None:
    launch.require_kernel(release)


def test_without_bcc_in_any_interpreter_it_names_the_package(tmp_path: Path) -> None:
    first = _answering(tmp_path, "python3", error="bcc", detail="No module named 'bcc'")
    second = _answering(tmp_path, "python3.9", error="bcc", detail="No module named 'bcc'")
    assert _fails(first, second).mend == "apt-get install python3-bpfcc"


def test_the_next_interpreter_is_asked_where_the_first_has_no_bcc(tmp_path: Path) -> None:
    first = _answering(tmp_path, "python3", error="bcc", detail="No module named 'bcc'")
    second = _answering(tmp_path, "python3.9", error="compile", detail="Failed to compile")
    assert "do not compile" in _fails(first, second).message


def test_a_real_interpreter_without_bcc_says_so() -> None:
    """This virtual environment's: BCC is the distribution's alone."""

    assert _fails(Path(sys.executable)).mend == "apt-get install python3-bpfcc"


def test_without_any_interpreter_it_names_the_package() -> None:
    assert "python3-bpfcc" in _fails().mend


def test_a_loader_that_dies_is_told_with_its_status(tmp_path: Path) -> None:
    assert "exit status 7" in _fails(_python(tmp_path, "python3", "sys.exit(7)")).message


def test_a_loader_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "LOADER_TIMEOUT_S", 0.3)
    assert "did not answer" in _fails(_python(tmp_path, "python3", "link.recv(1)")).message


@pytest.mark.parametrize(
    ("mode", "mend"), [("none", "capabilities"), ("integrity", "capabilities"), ("confidentiality", "lockdown")]
)
def test_a_kernel_that_refuses_bpf_is_told_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, mend: str
) -> None:
    monkeypatch.setattr(launch, "lockdown", lambda: mode)
    detail = "Failed to load BPF program b'on_exit': Operation not permitted"
    assert mend in _fails(_answering(tmp_path, "python3", error="load", detail=detail)).mend


def test_the_lockdown_mode_is_the_one_in_brackets(tmp_path: Path) -> None:
    (tmp_path / "lockdown").write_text("none integrity [confidentiality]\n")
    assert launch.lockdown(tmp_path / "lockdown") == "confidentiality"
    assert launch.lockdown(tmp_path / "missing") == ""


def test_the_verifiers_log_is_shown_with_debug_alone(tmp_path: Path) -> None:
    script = "print('0: R1=ctx()', flush=True); print('invalid access', file=sys.stderr, flush=True)\n"
    answer = {"error": "load", "detail": "Failed to load BPF program b'on_exec':\nPermission denied"}
    python = _python(tmp_path, "python3", script + f"link.send(json.dumps({answer!r}).encode())\n")
    assert not hasattr(_fails(python), "__notes__")
    error = _fails(python, debug=True)
    assert "verifier" in error.mend
    assert error.__notes__ == ["0: R1=ctx()\ninvalid access"] or error.__notes__ == ["invalid access\n0: R1=ctx()"]


def test_of_a_long_log_the_end_is_shown_where_the_reason_stands(tmp_path: Path) -> None:
    script = "print('0: R1=ctx()' * 100_000); print('the reason', flush=True)\n"
    answer = {"error": "load", "detail": "Permission denied"}
    python = _python(tmp_path, "python3", script + f"link.send(json.dumps({answer!r}).encode())\n")
    (note,) = _fails(python, debug=True).__notes__
    assert note.endswith("ctx()\nthe reason")
    assert 1000 < len(note) < 100_000


def test_the_loader_gets_nothing_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("BCC_KERNEL_SOURCE", "/elsewhere")
    seen = tmp_path / "environment"
    _fails(_python(tmp_path, "python3", f"open({str(seen)!r}, 'w').write(json.dumps(dict(os.environ)))"))
    assert set(json.loads(seen.read_text())) <= {"PATH", "LANG", "LC_CTYPE"}


def test_the_loader_imports_the_standard_library_and_bcc_alone() -> None:

    tree = ast.parse(launch.LOADER.read_text())
    imported = {
        name.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    } | {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert imported == {"bcc", "ctypes", "json", "os", "socket", "sys", "typing"}


def test_the_programs_are_one_text_in_which_each_file_stands_once() -> None:
    text = launch.source()
    assert '#include "' not in text
    assert text.count("struct lineage_task {") == 1


def test_the_distributions_default_interpreter_is_asked_first(tmp_path: Path) -> None:
    for name in ("python3.12", "python3", "python3.9", "python3-config", "python3.11-config"):
        (tmp_path / name).touch()
    assert [path.name for path in launch.interpreters(tmp_path)] == ["python3", "python3.12", "python3.9"]
