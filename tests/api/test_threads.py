"""Who had a tid, now or at a moment: threads, group leaders among them, also those that have ended."""

from __future__ import annotations

import pytest

from tests.api.serving import Host, serving


async def test_a_tid_names_a_thread_while_it_lives_and_after() -> None:
    host = Host()
    host.wait()
    before = host.now
    host.wait()
    tid, start_ns = host.stream.thread_start(host.shell)
    host.wait()
    host.tell()
    then = host.now
    host.wait()
    async with serving(host) as client:
        living = await client.ok("/threads", tid=tid)
        assert (living["process"]["thread"]["id"], living["alive"]) == (tid, True)
        host.stream.thread_end(host.shell, tid, start_ns)
        host.tell()
        ended = await client.ok("/threads", tid=tid)
        assert (ended["alive"], ended["process"]["entity_id"]) == (False, host.id(host.shell))
        assert (await client.ok("/threads", tid=tid, at=then))["alive"]
        history = await client.ok("/threads", tid=tid, history="true")
        assert history["entity_id"] == living["process"]["thread"]["entity_id"]
        host.wait()
        assert await client.refused("/threads", tid=tid, at=before) == (404, "no_such_tid")
        assert await client.refused("/threads", tid=tid, at=host.now) == (404, "no_such_tid")
        assert await client.refused("/threads", tid=4194304) == (404, "no_such_tid")
        assert await client.refused("/threads", tid=tid, at="-1h") == (404, "before_memory")
        for tid_written in ("0", "x", "4194305"):
            assert await client.refused("/threads", tid=tid_written) == (400, "bad_parameter")
        assert await client.refused("/threads") == (400, "bad_parameter")
        assert await client.refused("/threads/" + "A" * 22, tid=tid) == (400, "bad_parameter")


async def test_a_group_leader_has_its_processs_pid_for_a_tid() -> None:
    host = Host()
    async with serving(host) as client:
        leader = await client.ok("/threads", tid=50)
        assert leader["process"]["thread"]["entity_id"] == leader["process"]["entity_id"] == host.id(host.shell)


@pytest.mark.parametrize("fraction", ["", ".5"])
async def test_a_tid_that_was_two_threads_within_the_second_is_both_of_them(fraction: str) -> None:
    host = Host()
    host.wait()
    host.stream.now_ns = host.stream.now_ns // 10**9 * 10**9
    second = host.now.partition(".")[0]
    process = host.stream.spawn(host.shell, "/usr/bin/first", pid=777)
    host.stream.exit(process)
    host.wait(0.2)
    host.stream.thread_start(host.shell, tid=777)
    host.wait(2)
    host.tell()
    async with serving(host) as client:
        status, body = await client.get("/threads", tid=777, at=f"{second}{fraction}Z")
        if fraction:
            assert (status, body["process"]["pid"]) == (200, 50)
            return
        assert (status, body["reason"]) == (300, "ambiguous")
        assert body["message"] == "2 threads had tid 777 in that time"
        assert [one["process"]["pid"] for one in body["candidates"]] == [50, 777]
        assert (await client.ok("/threads", tid=777))["process"]["pid"] == 50


async def test_a_tid_whose_thread_is_forgotten_is_not_one_that_never_was() -> None:
    host = Host(processes_max=64, threads_max=8)
    tids = [host.stream.thread_start(host.shell) for _ in range(10)]
    for tid, start_ns in tids:
        host.stream.thread_end(host.shell, tid, start_ns)
    gone = host.stream.spawn(host.shell, "/usr/bin/gone")
    in_gone = host.stream.thread_start(gone)
    host.tell()
    host.wait()
    then = host.now
    host.stream.exit(gone)
    host.tell()
    async with serving(host) as client:
        assert await client.refused("/threads", tid=tids[0][0]) == (404, "forgotten")
        assert (await client.ok("/threads", tid=tids[-1][0]))["alive"] is False
        threads = await client.ok(f"/processes/{host.id(host.shell)}/threads")
        assert (threads["count"], threads["forgotten"]) == (1 + 7, 3)
        for _ in range(90):
            host.stream.exit(host.stream.spawn(host.shell, "/usr/bin/true"))
        host.tell()
        for number in (gone.pid, in_gone[0]):
            assert await client.refused("/threads", tid=number) == (404, "forgotten")
            assert await client.refused("/threads", tid=number, at=then) == (404, "forgotten")
