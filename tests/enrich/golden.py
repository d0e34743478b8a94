"""Whole documents as people read them, in tests/data/documents; ``python -m tests.enrich.golden`` writes them anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.enrich.examples import every_document

FOLDER = Path(__file__).resolve().parents[1] / "data" / "documents"
NAMES = ("exec", "script", "confined", "killed", "gone", "container", "orphan", "running")


def readable(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    documents = every_document()
    for name in NAMES:
        (FOLDER / f"{name}.json").write_text(readable(documents[name]), encoding="utf-8")


if __name__ == "__main__":
    main()
