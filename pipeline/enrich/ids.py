"""``event.id``: the name of one document, and its ``_id`` in every store.

A function of what happened and nothing else, so that a replay, a resend and a second look at the same record give the
same id, and every delivery is idempotent.
"""

from __future__ import annotations

from binascii import b2a_base64
from hashlib import blake2b
from struct import Struct

CLOSED = "closed"
"""Discriminator of an end that nobody saw and repair inferred."""

_SEED = Struct("<16sIIIIQQ")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def event_id(
    boot_id: bytes, kind: int, pid: int, tid: int, time_ns: int, cpu: int, sequence: int, discriminator: str = ""
) -> bytes:
    """base64url (22 characters) of 16 bytes of BLAKE2b over the record's own identity.

    ``kind`` is enum lineage_kind; ``discriminator`` is empty for what the kernel told, a rule's id for an alert,
    CLOSED for an inferred end.
    """
    seed = _SEED.pack(boot_id, kind, pid, tid, cpu, time_ns, sequence)
    if discriminator:
        seed += discriminator.encode()
    # b2a_base64 and one translate: half the time of base64.urlsafe_b64encode, 0.25 us a document.
    return b2a_base64(blake2b(seed, digest_size=16).digest()).translate(_URL_SAFE)[:22]
