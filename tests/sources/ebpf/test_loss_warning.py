"""A loss is told to people while it happens, and seldom enough to be read."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from pipeline import wire
from pipeline.sources.ebpf.losses import WARNED_EVERY_NS, LossWarning
from tests.sources.ebpf.scripted import Scripted

Said = list[MutableMapping[str, Any]]


@pytest.fixture
def said() -> Iterator[Said]:
    with capture_logs() as lines:
        yield lines


def _lost(said: Said) -> list[int]:
    return [line["lost"] for line in said if line["log_level"] == "warning"]


def test_without_a_loss_there_is_no_warning(said: Said) -> None:
    LossWarning().tell(10**12)
    assert said == []


def test_the_first_loss_is_warned_of_at_once_with_its_mend(said: Said) -> None:
    warning = LossWarning()
    warning.add(3)
    warning.tell(1)
    warning.tell(WARNED_EVERY_NS)
    assert said == [
        {
            "event": "records lost: the kernel's ring was full",
            "lost": 3,
            "mend": "raise ring_bytes",
            "log_level": "warning",
        }
    ]


def test_what_is_lost_within_the_bound_is_in_the_next_warnings_figure(said: Said) -> None:
    warning = LossWarning()
    for now_ns in (0, 1, WARNED_EVERY_NS - 1):
        warning.add(10)
        warning.tell(now_ns)
    assert _lost(said) == [10]
    warning.tell(WARNED_EVERY_NS)
    assert _lost(said) == [10, 20]


async def test_the_source_warns_when_it_tells_a_loss_and_of_the_rest_without_another_one(
    scripted: Scripted, said: Said
) -> None:
    for _ in range(2):  # the prelude, the snapshot
        await scripted.kinds()
    scripted.losses.lost = {wire.EXEC: 2, wire.FORK: 5}
    assert await scripted.kinds() == [wire.LOSS]
    assert _lost(said) == [7]
    await scripted.kinds()  # the repair
    scripted.losses.lost = {wire.EXEC: 4}
    assert wire.LOSS in await scripted.kinds()
    assert _lost(said) == [7]
    scripted.clock.now_ns += WARNED_EVERY_NS
    scripted.source.finish()
    await scripted.rest()
    assert _lost(said) == [7, 4]
    await scripted.source.aclose()
