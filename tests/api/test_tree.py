"""The whole tree at a time, below a pid, by level; health and metrics."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline import wire
from pipeline.api.problems import STATUS
from pipeline.api.rows import LOOKS_A_PIECE, PIECE_BYTES_MAX, Rows, pieces
from pipeline.counters import Counters
from pipeline.sources.ebpf.losses import NAMES, count_lost
from pipeline.tree import ProcessKey
from tests.api.serving import Host, serving


def _names(answer: Any) -> list[str]:
    return [one["process"]["name"] for one in answer["processes"]]


async def test_the_tree_has_what_lived_then_parents_before_their_children() -> None:
    host = Host()
    host.wait()
    before = host.now
    host.wait()
    parent = host.stream.spawn(host.shell, "/usr/bin/parent")
    child = host.stream.spawn(parent, "/usr/bin/child")
    host.wait()
    between = host.now
    host.wait()
    host.stream.exit(parent)
    host.stream.exec(child, "/usr/bin/other")
    host.tell()
    async with serving(host) as client:
        assert _names(await client.ok("/tree", at=before)) == ["systemd", "bash"]
        assert _names(await client.ok("/tree", at=between)) == ["systemd", "bash", "parent", "child"]
        now = await client.ok("/tree")
        assert _names(now) == ["systemd", "bash", "other"]
        assert now["at"] == host.now
        assert _names(await client.ok("/tree", depth=1)) == ["systemd", "bash"]
        assert _names(await client.ok("/tree", pid=parent.pid, at=between)) == ["parent", "child"]
        assert _names(await client.ok("/tree", pid=50)) == ["bash", "other"]
        assert _names(await client.ok("/tree", pid=50, ended="true")) == ["bash", "parent", "other"]
        assert _names(await client.ok("/tree", pid=50, depth=1, ended="true")) == ["bash", "parent"]


async def test_health_says_how_far_the_agent_has_come() -> None:
    host = Host()
    host.counters.lost_records["exec"] += 2
    host.stream.exit(host.stream.spawn(host.shell, "/usr/bin/true"))
    host.tell()
    async with serving(host) as client:
        health = await client.ok("/health")
    assert health["ok"] is True
    assert health["began"] < health["last_event"] == host.now
    assert health["processes"] == {"alive": 2, "ended": 1, "pinned": 2, "max": 1000, "over_bound": False}
    assert health["threads"] == {"alive": 0, "ended": 0, "max": 1000, "over_bound": False}
    assert health["lost_records"] == {"exec": 2}
    assert health["host"]["name"] == "web-1"


async def test_health_says_when_more_live_than_the_bound() -> None:
    host = Host(processes_max=10)
    parent = host.stream.spawn(host.shell, "/usr/bin/parent")
    for _ in range(9):
        host.stream.spawn(parent, "/usr/bin/sleep")
    host.stream.exit(parent)
    host.stream.thread_start(host.shell)
    host.stream.thread_end(host.shell, *host.stream.thread_start(host.shell))
    host.tell()
    async with serving(host) as client:
        health = await client.ok("/health")
    # The parent has ended, and is an ancestor of what lives.
    assert health["processes"] == {"alive": 11, "ended": 1, "pinned": 12, "max": 10, "over_bound": True}
    assert health["threads"] == {"alive": 1, "ended": 1, "max": 1000, "over_bound": False}


async def test_metrics_have_every_counter_and_the_sizes_of_the_tree() -> None:
    host = Host()
    host.counters.bad_transitions["exit_of_unknown"] += 3
    host.counters.outbox_bytes = 17
    async with serving(host) as client, client.session.get(client.base + "/metrics") as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = {family.name: family for family in text_string_to_metric_families(await response.text())}
    for name, sentence in Counters.described().items():
        assert families[f"lineage_{name}"].documentation == sentence
    (bad,) = families["lineage_bad_transitions"].samples
    assert (bad.name, bad.labels, bad.value) == ("lineage_bad_transitions_total", {"reason": "exit_of_unknown"}, 3)
    assert families["lineage_outbox_bytes"].type == "gauge"
    assert families["lineage_outbox_bytes"].samples[0].value == 17
    bounds = ("processes_max", "threads_max")
    known = ("processes_alive", "processes_ended", "processes_pinned", "threads_alive", "threads_ended")
    sizes = {name: families[f"lineage_{name}"].samples[0].value for name in (*known, *bounds)}
    assert sizes == {
        "processes_alive": 2,
        "processes_ended": 0,
        "processes_pinned": 2,
        "processes_max": 1000,
        "threads_alive": 0,
        "threads_ended": 0,
        "threads_max": 1000,
    }
    assert families["lineage_last_event_timestamp_seconds"].samples[0].value > 1_700_000_000


async def test_metrics_have_reasons_that_are_known_beforehand_before_they_come() -> None:
    host = Host()
    count_lost(host.counters, {wire.EXEC: 2})
    async with serving(host) as client, client.session.get(client.base + "/metrics") as response:
        families = {family.name: family for family in text_string_to_metric_families(await response.text())}
    lost = {one.labels["reason"]: one.value for one in families["lineage_lost_records"].samples}
    assert lost == dict.fromkeys(NAMES.values(), 0) | {"exec": 2}
    refused = {one.labels["reason"]: one.value for one in families["lineage_api_refused"].samples}
    assert refused == dict.fromkeys(("connections", "no_request", *STATUS), 0)


async def test_a_whole_second_is_its_end_to_whoever_asks_and_however() -> None:
    host = Host()
    host.wait(2)
    host.stream.now_ns = host.describer.tables.boot_ns(
        host.describer.tables.wall_ns(host.stream.now_ns) // 10**9 * 10**9 + 2 * 10**8
    )
    second = host.now.partition(".")[0]
    child = host.stream.spawn(host.shell, "/usr/bin/first")
    host.wait(0.2)
    host.stream.exec(child, "/usr/bin/second")
    host.wait(2)
    host.tell()
    identity = host.id(child)
    async with serving(host) as client:
        for path, parameters in (
            (f"/processes/{identity}", {}),
            ("/processes", {"pid": child.pid}),
            (f"/lineage/{identity}", {}),
            ("/lineage", {"pid": child.pid}),
        ):
            answer = await client.ok(path, at=f"{second}Z", **parameters)
            assert (answer["at"], answer["process"]["name"]) == (f"{second}.999999999Z", "second"), path
        for path, parameters in (
            ("/tree", {}),
            ("/tree", {"pid": 50}),
            (f"/processes/{host.id(host.shell)}/children", {}),
            (f"/processes/{host.id(host.shell)}/descendants", {}),
            (f"/processes/{identity}/session", {}),
        ):
            answer = await client.ok(path, at=f"{second}Z", **parameters)
            assert (answer["at"], _names(answer)[-1]) == (f"{second}.999999999Z", "second"), path
        for path in (f"/processes/{identity}/threads", f"/processes/{identity}/artifacts", f"/threads/{identity}"):
            assert (await client.ok(path, at=f"{second}Z"))["at"] == f"{second}.999999999Z"
        exact = await client.ok(f"/processes/{identity}", at=f"{second}.300Z")
        assert (exact["at"], exact["process"]["name"]) == (f"{second}.300000000Z", "first")


async def test_what_was_just_born_is_there_whatever_is_asked_of_it() -> None:
    host = Host()
    child = host.stream.fork(host.shell)
    host.tell()
    host.flow.last_ns = child.start_ns - 1  # as if its record had been told behind one of before
    shell, path = f"/processes/{host.id(host.shell)}", f"/processes/{host.id(child)}"
    async with serving(host) as client:
        for which in ("parents", "children", "descendants", "siblings", "session", "threads", "artifacts"):
            assert (await client.ok(f"{path}/{which}"))["at"] >= (await client.ok(path))["since"], which
        for answer in (await client.ok(path), await client.ok("/processes", pid=child.pid)):
            assert answer["at"] == answer["since"]
        assert _names(await client.ok("/tree", pid=child.pid)) == ["bash"]
        assert len((await client.ok(f"{shell}/children", at=host.now))["processes"]) == 1


async def test_without_a_time_an_answer_is_the_trees_own_of_now() -> None:
    host = Host()
    leader = host.stream.spawn(host.shell, "/usr/bin/leader")
    host.stream.spawn(leader, "/usr/bin/adopted")
    host.stream.exit(leader)
    later = host.stream.spawn(host.shell, "/usr/bin/curl")
    early = host.stream.events.pop()
    host.stream.exec(later, "/usr/bin/later")
    host.stream.events.append(early)  # two processors exchanged
    host.tell()
    async with serving(host) as client:
        assert (await client.ok("/processes", pid=later.pid))["process"]["name"] == "later"
        assert _ids(await client.ok("/tree")) == [one.process.entity_id for one in host.tree.alive_at()]
        assert "later" in _names(await client.ok("/tree"))
        for process in (host.init, host.shell, later):
            key = ProcessKey(host.id(process))
            path = f"/processes/{key.entity_id}"
            for answer, expected in (
                (await client.ok(f"{path}/children"), host.tree.children(key)),
                (await client.ok(f"{path}/children", edge="reaper"), host.tree.children(key, "reaper")),
                (await client.ok(f"{path}/descendants"), host.tree.descendants(key)),
                (await client.ok(f"{path}/siblings"), host.tree.siblings(key)),
                (await client.ok(f"{path}/session"), host.tree.session_members(key)),
            ):
                assert _ids(answer) == [one.process.entity_id for one in expected]


def _ids(answer: Any) -> list[str]:
    return [one["process"]["entity_id"] for one in answer["processes"]]


async def test_a_tree_of_the_past_says_how_many_of_it_are_forgotten() -> None:
    host = Host(processes_max=64)
    lived = [host.stream.spawn(host.shell, "/usr/bin/true") for _ in range(10)]
    host.tell()
    then = host.now
    for process in lived:
        host.stream.exit(process)
    host.tell()
    async with serving(host) as client:
        whole = await client.ok("/tree", at=then)
        assert (whole["count"], whole["forgotten"]) == (12, 0)
        for _ in range(100):
            host.stream.exit(host.stream.spawn(host.shell, "/usr/bin/true"))
        host.tell()
        short = await client.ok("/tree", at=then)
        assert (short["count"], short["forgotten"]) == (2, 10)
        assert (await client.ok("/tree", at=then, pid=1))["forgotten"] == 10
        assert (await client.ok(f"/processes/{host.id(host.init)}/session", at=then))["forgotten"] == 10
        assert (await client.ok("/tree"))["forgotten"] == 0


def test_what_does_not_fit_is_a_moment_to_pause_at() -> None:
    host = Host()
    for _ in range(20):
        one = host.stream.spawn(host.shell, "/usr/bin/sleep")
        two = host.stream.spawn(one, "/usr/bin/sleep")
        host.stream.exit(two)
    host.tell()
    identity = host.id(host.init)
    for rows in (
        host.questions.family(identity, "session", {}),
        host.questions.family(host.id(one), "children", {"edge": "reaper"}),
        host.questions.tree({"pid": "50"}),
        host.questions.tree({"depth": "1"}),
    ):
        assert None in list(rows.found)
    looks = 5 * LOOKS_A_PIECE
    some = list(pieces(Rows({}, "none", iter([None] * looks), dict), 100, 64))
    assert (len(some), [row for piece in some for row in piece.rows]) == (6, [])


def test_a_piece_ends_by_its_bytes_as_well() -> None:
    host = Host()
    child = host.stream.fork(host.shell)
    for _ in range(100):
        host.stream.exec(child, "/usr/bin/curl", ("word",) * 2500)
    host.tell()
    rows = host.questions.process(host.id(child), {"history": "true"})
    assert isinstance(rows, Rows)
    told = [piece.rows for piece in pieces(rows, 1000, 64)]
    assert sum(map(len, told)) == rows.head["versions_known"] == 101
    one = max(len(row) for rows in told for row in rows)
    assert one > PIECE_BYTES_MAX // 8
    assert max(sum(map(len, rows)) for rows in told) < PIECE_BYTES_MAX + one


async def test_rows_between_those_that_do_not_fit_make_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.api.rows.LOOKS_A_PIECE", 2)
    host = Host()
    for number in range(30):
        process = host.stream.spawn(host.shell, f"/usr/bin/{number}")
        if number % 7:
            host.stream.exit(process)
    host.tell()
    expected = ["bash", *(str(number) for number in range(0, 30, 7))]
    for rows_max, missing in ((100, 0), (6, 0), (5, 1), (1, 5)):
        async with serving(host, api_rows_max=rows_max) as client:
            answer = await client.ok("/tree", pid=50)
        assert (_names(answer), answer["truncated"]) == (expected[:rows_max], missing > 0)
        assert answer["missing"] == missing


async def test_kernel_threads_are_left_out_where_that_is_asked_for_and_their_number_told() -> None:
    host = Host(begin=False)
    kthreadd = host.stream.running("", pid=2, kernel_thread=True)
    host.stream.snapshot_end()
    workers = [host.stream.fork(kthreadd, kernel_thread=True) for _ in range(5)]
    helper = host.stream.spawn(workers[0], "/usr/sbin/modprobe")
    host.tell()
    async with serving(host) as client:
        whole = await client.ok("/tree")
        assert whole["count"] == 9
        assert "kernel_threads" not in whole
        others = await client.ok("/tree", kernel_threads="false")
        assert [one["process"]["pid"] for one in others["processes"]] == [1, 50, 2, helper.pid]
        assert others["kernel_threads"] == 5
        below = await client.ok("/tree", kernel_threads="false", pid=2)
        assert ([one["process"]["pid"] for one in below["processes"]], below["kernel_threads"]) == ([2, helper.pid], 5)
        worker = await client.ok("/tree", kernel_threads="false", pid=workers[1].pid)
        assert (worker["count"], worker["kernel_threads"]) == (1, 0)


async def test_a_tree_is_asked_by_id_as_it_is_by_pid() -> None:
    host = Host()
    sh = host.stream.spawn(host.shell, "/usr/bin/sh")
    host.stream.exit(host.stream.spawn(sh, "/usr/bin/true"))
    host.stream.spawn(sh, "/usr/bin/sleep")
    host.tell()
    async with serving(host) as client:
        for asked in ({}, {"ended": "true"}, {"depth": 1}, {"at": host.now}):
            by_id = await client.ok("/tree", entity_id=host.id(sh), **asked)
            assert by_id == await client.ok("/tree", pid=sh.pid, **asked)
            assert len(by_id["processes"]) == 2 + ("ended" in asked)
        assert await client.refused("/tree", entity_id=host.id(sh), pid=sh.pid) == (400, "bad_parameter")
        assert await client.refused("/tree", entity_id="A" * 22) == (404, "never_known")


async def test_what_is_forgotten_is_counted_where_it_belongs() -> None:
    host = Host(processes_max=64)
    one, other = (host.stream.spawn(host.shell, f"/usr/bin/{name}") for name in ("one", "other"))
    middle = host.stream.spawn(one, "/usr/bin/middle")
    for _ in range(3):
        host.stream.exit(host.stream.spawn(middle, "/usr/bin/true"))
    host.stream.exit(host.stream.spawn(one, "/usr/bin/true"))
    host.tell()
    host.wait()
    then = host.now
    host.wait()
    host.stream.exit(middle)
    host.tell()
    for _ in range(90):
        host.stream.exit(host.stream.spawn(other, "/usr/bin/true"))
    host.tell()

    async with serving(host) as client:

        async def forgotten(which: str, **asked: Any) -> int:
            number: int = (await client.ok(f"/processes/{host.id(one)}/{which}", **asked))["forgotten"]
            return number

        assert (await forgotten("children"), await forgotten("children", at=then)) == (2, 2)
        assert (await forgotten("descendants"), await forgotten("siblings")) == (5, 0)
        born_later = (await client.ok(f"/processes/{host.id(other)}/children"))["forgotten"]
        assert born_later > 20
        assert (await client.ok(f"/processes/{host.id(other)}/children", at=then))["forgotten"] == 0
        assert (await client.ok(f"/processes/{host.id(host.shell)}/descendants"))["forgotten"] == 5 + born_later
        below = await client.ok("/tree", pid=one.pid, at=then)
        assert (_names(below), below["forgotten"]) == (["one"], 1)  # the one in the middle lived then
        assert (await client.ok("/tree", pid=one.pid, at=then, ended="true"))["forgotten"] == 5
        assert (await client.ok("/tree", pid=other.pid, at=then))["forgotten"] == 0
