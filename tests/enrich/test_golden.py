import pytest

from tests.enrich.examples import every_document
from tests.enrich.golden import FOLDER, NAMES, readable


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_document_is_what_it_was(name: str) -> None:
    assert readable(every_document()[name]) == (FOLDER / f"{name}.json").read_text(encoding="utf-8")
