"""Every container that turned up is asked for until it is answered or given up, whatever the runtime does meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from pipeline.counters import Counters
from pipeline.errors import ContainerRuntimeError
from pipeline.sources.containers.base import Facts
from pipeline.sources.containers.facts import TEXT_MAX_BYTES, facts
from pipeline.sources.containers.lookups import Lookups
from tests.timer import FakeTimer, settled


def _id(number: int) -> str:
    return f"{number:064x}"


WEB = _id(1)

Answer = Callable[[str], Awaitable[Facts | None]]


async def known(container_id: str) -> Facts | None:
    return facts(container_id, "docker", name="web")


async def unknown(container_id: str) -> Facts | None:
    return None


def failing(reason: str) -> Answer:
    async def fail(container_id: str) -> Facts | None:
        raise ContainerRuntimeError(reason, f"the runtime is {reason}")

    return fail


class ScriptedRuntime:
    """Does the next thing on its list; when the list is empty it knows every container."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.otherwise: Answer = known
        self.asked: list[tuple[float, str]] = []
        self.closed = 0
        self.timer = FakeTimer()

    async def describe(self, container_id: str) -> Facts | None:
        self.asked.append((self.timer.now() - 1000, container_id))
        answer = self.answers.pop(0) if self.answers else self.otherwise
        return await answer(container_id)

    async def aclose(self) -> None:
        self.closed += 1


class Bench:
    def __init__(self, *answers: Answer, **bounds: int) -> None:
        self.runtime = ScriptedRuntime(*answers)
        self.timer = self.runtime.timer
        self.counters = Counters()
        self.lookups = Lookups(self.runtime, self.counters, timer=self.timer, timeout_s=0.05, **bounds)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.lookups.run)
            await settled()
            yield
            tasks.cancel_scope.cancel()

    def times(self) -> list[float]:
        return [at for at, _ in self.runtime.asked]


async def test_an_answer_is_taken_once() -> None:
    bench = Bench()
    async with bench.running():
        assert bench.lookups.take() == []
        bench.lookups.want(WEB)
        await settled()
        assert bench.lookups.take() == [(WEB, {"container": {"id": WEB, "name": "web", "runtime": "docker"}})]
        assert bench.lookups.take() == []
    assert bench.counters.containers_described == 1


async def test_what_was_wanted_before_the_task_runs_is_not_forgotten() -> None:
    bench = Bench()
    bench.lookups.want(WEB)
    async with bench.running():
        assert len(bench.lookups.take()) == 1


async def test_a_container_is_asked_for_once_however_often_it_turns_up() -> None:
    bench = Bench()
    async with bench.running():
        for _ in range(3):
            bench.lookups.want(WEB)
            bench.lookups.want(WEB)
            await settled()
    assert len(bench.runtime.asked) == 1


@pytest.mark.parametrize(
    "name", ["", "web", "../images/json", WEB[:-1], WEB + "0", WEB.replace("0", "G"), WEB + "\n", "?all=1", "a" * 12]
)
async def test_what_no_runtime_calls_a_container_is_not_asked_for(name: str) -> None:
    bench = Bench()
    async with bench.running():
        bench.lookups.want(name)
        await settled()
    assert bench.runtime.asked == []
    assert bench.counters == Counters()


async def test_a_task_of_fargate_is_asked_for() -> None:
    bench = Bench()
    async with bench.running():
        bench.lookups.want(f"{WEB[:32]}-2532839421")
        await settled()
    assert len(bench.runtime.asked) == 1


async def test_a_container_that_is_listed_late_is_found_by_a_later_try() -> None:
    bench = Bench(unknown, unknown)
    async with bench.running():
        bench.lookups.want(WEB)
        await bench.timer.advance(0.4)
        assert bench.times() == [0]
        await bench.timer.advance(5)
        assert bench.times() == [0, 0.5, 1.5]
        assert [container_id for container_id, _ in bench.lookups.take()] == [WEB]
    assert bench.counters == Counters(containers_described=1)


async def test_a_container_that_nobody_knows_is_given_up_after_the_last_try_and_not_asked_for_again() -> None:
    bench = Bench(tries_max=4)
    bench.runtime.otherwise = unknown
    async with bench.running():
        bench.lookups.want(WEB)
        await bench.timer.advance(1000)
        bench.lookups.want(WEB)
        await bench.timer.advance(1000)
        assert bench.times() == [0, 0.5, 1.5, 3.5]
        assert bench.lookups.take() == []
    assert bench.counters == Counters(containers_unknown=1)


async def test_a_late_one_holds_up_no_other() -> None:
    bench = Bench(unknown)
    async with bench.running():
        bench.lookups.want(WEB)
        bench.lookups.want(_id(2))
        await settled()
        assert [container_id for container_id, _ in bench.lookups.take()] == [_id(2)]


async def test_a_runtime_that_is_away_uses_up_no_tries_and_is_asked_ever_more_seldom() -> None:
    bench = Bench(tries_max=2)
    bench.runtime.otherwise = failing("unreachable")
    async with bench.running():
        bench.lookups.want(WEB)
        bench.lookups.want(_id(2))
        await bench.timer.advance(400)
        assert bench.times() == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 63.5, 123.5, 183.5, 243.5, 303.5, 363.5]
        assert bench.lookups.trouble == "the runtime is unreachable"
        bench.runtime.otherwise = known
        await bench.timer.advance(60)
        assert sorted(container_id for container_id, _ in bench.lookups.take()) == [WEB, _id(2)]
        assert bench.lookups.trouble == ""
    assert bench.counters.container_lookups_failed == {"unreachable": 13}
    assert bench.counters.container_lookups_dropped == {}


async def test_after_a_success_the_pause_is_short_again() -> None:
    bench = Bench(failing("unreachable"), failing("unreachable"), known, failing("unreachable"))
    async with bench.running():
        bench.lookups.want(WEB)
        await bench.timer.advance(10)
        bench.lookups.want(_id(2))
        await bench.timer.advance(10)
        assert bench.times() == [0, 0.5, 1.5, 10, 10.5]


async def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_the_time_out() -> None:
    left = anyio.Event()

    async def never(container_id: str) -> Facts | None:
        try:
            await anyio.sleep_forever()
        finally:
            left.set()
        raise AssertionError

    bench = Bench(never)
    async with bench.running():
        bench.lookups.want(WEB)
        await left.wait()
        await settled()
        assert bench.lookups.trouble == "no answer within 0.05 s"
        await bench.timer.advance(1)
        assert len(bench.lookups.take()) == 1
    assert bench.counters.container_lookups_failed == {"timeout": 1}


@pytest.mark.parametrize("reason", ["garbage", "refused", "closed"])
async def test_one_that_goes_wrong_each_time_is_given_up_and_counted(reason: str) -> None:
    bench = Bench(tries_max=3)
    bench.runtime.otherwise = failing(reason)
    async with bench.running():
        bench.lookups.want(WEB)
        await bench.timer.advance(1000)
        bench.lookups.want(WEB)
        await bench.timer.advance(1000)
    assert len(bench.runtime.asked) == 3
    assert bench.counters.container_lookups_failed == {reason: 3}
    assert bench.counters.container_lookups_dropped == {"failed": 1}


async def test_what_is_wrong_with_one_container_holds_up_no_other() -> None:
    bench = Bench(failing("garbage"))
    async with bench.running():
        bench.lookups.want(WEB)
        bench.lookups.want(_id(2))
        await settled()
        assert [container_id for container_id, _ in bench.lookups.take()] == [_id(2)]


async def test_too_many_waiting_are_dropped_and_counted_and_may_come_again() -> None:
    bench = Bench(failing("unreachable"), waiting_max_ids=3)
    async with bench.running():
        for number in range(5):
            bench.lookups.want(_id(number))
        assert bench.counters.container_lookups_dropped == {"full": 2}
        await bench.timer.advance(1)
        assert len(bench.lookups.take()) == 3
        bench.lookups.want(_id(4))
        await settled()
        assert [container_id for container_id, _ in bench.lookups.take()] == [_id(4)]


async def test_answers_that_nobody_takes_stop_the_questions() -> None:
    bench = Bench(waiting_max_ids=2)
    async with bench.running():
        for number in (1, 2):
            bench.lookups.want(_id(number))
        await settled()
        bench.lookups.want(_id(3))
        await bench.timer.advance(100)
        assert len(bench.runtime.asked) == 2
        assert len(bench.lookups.take()) == 2
        await settled()
        assert len(bench.lookups.take()) == 1


async def test_what_is_remembered_is_bounded() -> None:
    bench = Bench(known_max_ids=2)
    async with bench.running():
        for number in (1, 2, 3):
            bench.lookups.want(_id(number))
        await settled()
        assert "3 to take, 2 known" in repr(bench.lookups)
        bench.lookups.want(_id(1))
        await settled()
    assert len(bench.runtime.asked) == 4


async def test_an_answer_is_kept_within_bounds() -> None:
    async def long(container_id: str) -> Facts | None:
        return facts(container_id, "docker", name="n" * 10_000)

    bench = Bench(long)
    async with bench.running():
        bench.lookups.want(WEB)
        await settled()
        ((_, answer),) = bench.lookups.take()
    assert answer["container"]["name"] == "n" * TEXT_MAX_BYTES
    assert bench.counters.container_facts_cut == 1


async def test_it_shows_how_it_stands() -> None:
    bench = Bench(failing("unreachable"))
    async with bench.running():
        bench.lookups.want(WEB)
        await settled()
        assert repr(bench.lookups) == "<Lookups 1 waiting, 0 to take, 0 known, the runtime is unreachable>"
        await bench.timer.advance(1)
        assert repr(bench.lookups) == "<Lookups 0 waiting, 1 to take, 1 known>"


async def test_the_runtime_is_closed_with_it() -> None:
    bench = Bench()
    await bench.lookups.aclose()
    assert bench.runtime.closed == 1
