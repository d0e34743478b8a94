"""``python -m pipeline`` and the ``lineage`` command."""

from __future__ import annotations

import sys

from pipeline.cli import invoke, output


def main() -> int:
    """Run the command line; the process's exit code."""
    output.install()
    return invoke(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
