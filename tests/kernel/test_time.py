"""Times are the host's since boot, whatever clock a process sees, and a step of the wall clock changes no identity."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import anyio
import pytest

from pipeline.clock import SystemClock
from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.events import Clock, Event, Exec, Exit, Fork, HostFacts, Running, SnapshotEnd
from pipeline.sources.decode import decode
from pipeline.sources.ebpf import EbpfSource
from tests.kernel.grown import Grown, about
from tests.kernel.not_here import needs
from tests.kernel.programs import end_all, stat
from tests.kernel.puppet import Puppet
from tests.kernel.tracer import TICK_NS, Tracer

pytestmark = pytest.mark.kernel

NEWTIME = 0x80
HOUR_NS = 3600 * 10**9
DAY_S = 86_400
BATCHES_MAX = 10_000


class Stepped(SystemClock):
    """The host's clock, but for steps of the wall clock: the host's own is nobody's to set here."""

    step_ns = 0

    def wall_offset_ns(self) -> int:
        return super().wall_offset_ns() + self.step_ns


async def _until(source: EbpfSource, events: list[Event], kind: type, pid: int = 0) -> None:
    for _ in range(BATCHES_MAX):
        new = [decode(record) for record in await source.receive()]
        events += new
        if any(isinstance(event, kind) and pid in (0, about(event)[0]) for event in new):
            return
    raise AssertionError("the source never told")


def _run_true() -> int:
    child = subprocess.Popen(["/bin/true"])
    child.wait(30)
    return child.pid


def _traced(folder: Path, clock: Stepped, step_ns: int) -> list[Event]:
    """A process before the wall clock's step, and one after it."""
    config, counters = Config(state_directory=folder), Counters()
    source = EbpfSource.prepare(config, counters, clock)
    events: list[Event] = []

    async def follow() -> None:
        try:
            await _until(source, events, SnapshotEnd)
            await _until(source, events, Exit, _run_true())
            if step_ns:
                clock.step_ns += step_ns
                await _until(source, events, Clock)
            await _until(source, events, Exit, _run_true())
        finally:
            await source.aclose()

    anyio.run(follow)
    assert counters.clock_steps == (1 if step_ns else 0)
    return events


def test_a_step_of_the_wall_clock_is_told_once_and_holds_for_later_instants_only(tmp_path: Path) -> None:
    clock = Stepped()
    puppet = Puppet()
    events = _traced(tmp_path, clock, HOUR_NS)
    host = events[0]
    assert isinstance(host, HostFacts)
    (step,) = [event for event in events if isinstance(event, Clock)]
    assert abs(step.offset_ns - host.clock_offset_ns - HOUR_NS) < 10**9
    assert host.stamp.time_ns < step.stamp.time_ns < time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    at = events.index(step)
    births = [event for event in events if isinstance(event, Fork)]
    later = [event for event in events[at:] if isinstance(event, Fork)]
    assert later
    assert len(births) > len(later)
    for fork in births:  # times since boot know of no step
        assert host.stamp.time_ns - HOUR_NS // 60 < fork.task.start_ns < time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    again = _traced(tmp_path, clock, 0)  # a restart after the step: the same processes, by the same starts
    restarted = again[0]
    assert isinstance(restarted, HostFacts)
    assert restarted.clock_offset_ns == step.offset_ns
    first, second = (
        {event.task.pid: event.task.start_ns for event in stream if isinstance(event, Running)}
        for stream in (events, again)
    )
    assert first[puppet.pid] == second[puppet.pid]
    assert first[1] == second[1]
    end_all()


def test_in_a_time_namespace_starts_are_the_hosts(tracer: Tracer) -> None:
    needs("a time namespace", Path("/proc/self/timens_offsets").exists())
    puppet = Puppet()
    grown = Grown(tracer)
    assert puppet.ask(f"libc.unshare({NEWTIME})") == 0
    puppet.ask(f"open('/proc/self/timens_offsets', 'w').write('boottime {DAY_S} 0') and 0")
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    # Before 5.19 nobody who shares his memory, as posix_spawn does, may leave for another time namespace.
    child = puppet.ask("clone3(work=\"os.execv('/bin/sleep', ['sleep', '600'])\")")
    tracer.one(Exec, child)
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    fork = tracer.one(Fork, child)
    assert before <= fork.task.start_ns <= fork.stamp.time_ns <= after
    assert fork.task.start_ns // TICK_NS == int(stat(child)[19])  # as the host's /proc has it
    assert grown.of(child).start_ns == Grown(tracer).of(child).start_ns == fork.task.start_ns
    puppet.ask(f"end({child})")


def test_times_never_go_backwards_for_one_process(tracer: Tracer) -> None:
    puppet = Puppet()
    grown = Grown(tracer)
    puppet.ask("os.setsid()")
    puppet.ask("os.chdir('/usr')")
    puppet.ask("libc.prctl(15, b'other', 0, 0, 0)")
    puppet.order("os.execv('/bin/true', ['true'])")
    tracer.one(Exit, puppet.pid)
    times = [event.stamp.time_ns for event in grown.news(puppet.pid)]
    assert len(times) == 5
    assert times == sorted(times)
