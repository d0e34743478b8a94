"""The whole tree at a time, below a pid, by level; health and metrics."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from pipeline.counters import Counters
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
    assert health["processes"] == {"alive": 2, "ended": 1}
    assert health["lost_records"] == {"exec": 2}
    assert health["host"]["name"] == "web-1"


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
    sizes = {name: families[f"lineage_{name}"].samples[0].value for name in ("processes_alive", "processes_ended")}
    assert sizes == {"processes_alive": 2, "processes_ended": 0}
    assert families["lineage_last_event_timestamp_seconds"].samples[0].value > 1_700_000_000


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
