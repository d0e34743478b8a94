"""Programs that others interpret: what was asked for keeps its name, and the interpreter is told beside it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pipeline.events import Exec
from tests.kernel.tracer import Tracer

pytestmark = pytest.mark.kernel


def test_a_script_keeps_the_name_it_was_asked_for_by(tracer: Tracer, tmp_path: Path) -> None:
    script = tmp_path / "work.sh"
    script.write_text("#!/bin/sh -e\nexit 3\n")
    script.chmod(0o755)
    child = subprocess.Popen([script, "x"])
    child.wait()
    told = tracer.one(Exec, child.pid)
    assert told.filename == str(script)
    assert told.executable == os.path.realpath("/bin/sh")
    assert told.args == ("/bin/sh", "-e", str(script), "x")
    assert told.task.comm == "work.sh"
