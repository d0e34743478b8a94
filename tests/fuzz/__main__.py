"""Feeds the decoder, the tree and the describer with what a fuzzer makes up, guided by which lines it reached.

    python -m tests.fuzz [--seconds N] [--corpus FOLDER] [INPUT ...]

An input that breaks a promise is left in the corpus's folder as crash-...; given as INPUT it is tried again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pipeline.sources.decode", "pipeline.tree", "pipeline.enrich"]):
    from tests.fuzz import corpus, target

INPUT_BYTES_MAX = 16 * 1024
MEMORY_MAX_MB = 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long, 60 unless told")
    parser.add_argument("--corpus", type=Path, help="where inputs are kept; a folder that is removed unless told")
    parser.add_argument("inputs", nargs="*", type=Path, help="try these and nothing else")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lineage-fuzz-") as folder:
        kept = given.corpus or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        for number, records in enumerate(corpus.streams()):
            (kept / f"stream-{number}").write_bytes(target.frame(records))
        options = [f"-max_total_time={given.seconds}", f"-max_len={INPUT_BYTES_MAX}", f"-rss_limit_mb={MEMORY_MAX_MB}"]
        where = [f"-artifact_prefix={given.corpus or Path.cwd()}/", "-print_final_stats=1"]
        inputs = [str(path) for path in given.inputs] or [str(kept)]
        atheris.Setup([sys.argv[0], *options, *where, *inputs], _one)
        atheris.Fuzz()


def _one(raw: bytes) -> None:
    target.try_out(target.unframe(raw))


if __name__ == "__main__":
    main()
