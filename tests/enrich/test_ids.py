import re
import struct
from base64 import urlsafe_b64encode
from hashlib import blake2b

from pipeline import wire
from pipeline.enrich.ids import CLOSED, event_id
from tests.enrich.examples import BOOT_ID, describer, ended, executed, forked, process


def test_an_id_is_22_characters_of_base64url() -> None:
    for number in range(200):
        assert re.fullmatch(rb"[A-Za-z0-9_-]{22}", event_id(BOOT_ID, 1, 2, 3, number, 4, 5))


def test_an_id_is_the_same_for_ever() -> None:
    assert event_id(BOOT_ID, wire.EXEC, 9012, 9012, 10**13, 1, 8) == b"9fYuXSI75yHDlIbcgzsSLg"


def test_an_id_is_blake2b_as_the_standard_alphabet_for_urls_writes_it() -> None:
    for number in range(200):
        numbers = struct.pack("<IIIIQQ", 1, 2, 3, 5, number, 6)
        expected = urlsafe_b64encode(blake2b(BOOT_ID + numbers + b"rule", digest_size=16).digest()).rstrip(b"=")
        assert event_id(BOOT_ID, 1, 2, 3, number, 5, 6, "rule") == expected


def test_every_part_of_the_record_is_in_its_id() -> None:
    base = (BOOT_ID, 1, 2, 3, 4, 5, 6, "")
    others = [
        (*base[:at], changed, *base[at + 1 :]) for at, changed in enumerate((b"x" * 16, 9, 9, 9, 9, 9, 9, CLOSED))
    ]
    assert len({event_id(*arguments) for arguments in [base, *others]}) == 9  # type: ignore[arg-type]


def test_the_documents_of_one_process_have_one_entity_and_their_own_ids() -> None:
    by, of = describer(), process()
    made = [by.describe(event, of) for event in (forked(of), executed(of), ended(of))] + [by.describe_running(of)]
    assert len({document.id for document in made if document}) == 4
    for document in made:
        assert document is not None
        assert f'"id":"{document.id}"'.encode() in document.body
        assert document.stream == "process"
        assert b"\n" not in document.body
