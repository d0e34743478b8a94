"""Generates Python messages and their types from the .proto files here; ``--check`` says whether they are up to date.

protoc comes with grpcio-tools, one of the packages for development: the messages of the product, and those with which
the tests start pods.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

REPOSITORY = Path(__file__).resolve().parents[1]
PRODUCT = REPOSITORY / "pipeline" / "sources" / "containers" / "messages"
TESTS = REPOSITORY / "tests" / "stack" / "messages"
TARGETS = {"containerd.proto": PRODUCT, "cri.proto": PRODUCT, "pods.proto": TESTS}


def generated() -> dict[Path, str]:
    """Path -> content of every file that is made."""
    made: dict[Path, str] = {}
    for name, folder in TARGETS.items():
        with tempfile.TemporaryDirectory() as scratch:
            here = Path(__file__).parent
            code = protoc.main(["protoc", f"-I{here}", f"--python_out={scratch}", f"--pyi_out={scratch}", name])
            if code != 0:
                raise SystemExit(code)
            made |= {folder / path.name: path.read_text(encoding="utf-8") for path in Path(scratch).iterdir()}
    return made


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: generate.py [--check]\n")
        return 2
    made = generated()
    stale = [path for path, text in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if arguments:
            sys.stderr.write(f"{path.relative_to(REPOSITORY)} is not what protocols/ says: make generate\n")
        else:
            path.write_text(made[path], encoding="utf-8")
    return 1 if stale and arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
