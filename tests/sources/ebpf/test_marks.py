"""The marks of a repair in the stream of a source whose kernel is a script: never before what they stand behind."""

from __future__ import annotations

from pipeline import wire
from tests.sources.ebpf.scripted import Scripted


async def test_the_mark_at_the_end_of_a_walk_waits_for_a_record_that_is_still_being_written(scripted: Scripted) -> None:
    assert await scripted.kinds() == []  # the prelude
    assert await scripted.kinds() == [wire.SNAPSHOT_BEGIN, wire.SNAPSHOT_END]
    scripted.losses.lost = {wire.EXEC: 1}
    assert await scripted.kinds() == [wire.LOSS]
    scripted.program.tasks = 2
    scripted.ring.busy = 1  # the second, of another processor, is not finished
    assert await scripted.kinds() == [wire.SNAPSHOT_BEGIN, wire.RUNNING]
    scripted.ring.busy = None
    assert await scripted.kinds() == [wire.RUNNING, wire.SNAPSHOT_END]
    await scripted.source.aclose()


async def test_a_source_that_ends_during_a_walk_ends(scripted: Scripted) -> None:
    for _ in range(2):
        await scripted.kinds()
    scripted.losses.lost = {wire.EXEC: 1}
    await scripted.kinds()
    scripted.program.tasks = 1000
    assert (await scripted.kinds())[0] == wire.SNAPSHOT_BEGIN
    scripted.source.finish()
    assert wire.SNAPSHOT_END not in await scripted.rest()
    await scripted.source.aclose()
