"""Processes, their histories and their lineages over a real socket, at any moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from pipeline import wire
from pipeline.sources.synthetic import Process
from tests.api.serving import Host, serving


class FourImages(Host):
    """One process that executes four times; ``times``: between its birth and each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[str] = []
        self.child = self.stream.fork(self.shell)
        for name in ("one", "two", "three", "four"):
            self._pause()
            self.stream.exec(self.child, f"/usr/bin/{name}", (name, "--password=hunter2"))
        self._pause()

    def _pause(self) -> None:
        self.wait()
        self.times.append(self.now)
        self.wait()
        self.tell()


async def test_each_moment_has_the_image_of_that_moment() -> None:
    host = FourImages()
    async with serving(host) as client:
        identity = host.id(host.child)
        names = [(await client.ok(f"/processes/{identity}", at=at))["process"]["name"] for at in host.times]
        assert names == ["bash", "one", "two", "three", "four"]
        by_pid = [(await client.ok("/processes", pid=host.child.pid, at=at))["process"]["name"] for at in host.times]
        assert by_pid == names
        now = await client.ok(f"/processes/{identity}")
        assert now["process"]["name"] == "four"
        assert (now["at"], now["until"], now["alive"]) == (host.describer.tables.date(host.flow.last_ns), None, True)


async def test_a_version_is_what_a_document_of_that_moment_says() -> None:
    host = Host()
    child = host.stream.spawn(host.shell, "/usr/bin/curl", ("curl", "http://x"))
    (_, executed) = host.flow.work(host.stream.events)
    document = orjson.loads(executed.body)
    async with serving(host) as client:
        answer = await client.ok(f"/processes/{host.id(child)}")
    for name in ("process", "user", "related", "lineage", "host"):
        assert answer[name] == document[name], name
    assert answer["since"] == document["@timestamp"]


async def test_a_history_has_every_version_from_when_to_when_and_how_it_was_learnt() -> None:
    host = FourImages()
    async with serving(host) as client:
        answer = await client.ok(f"/processes/{host.id(host.child)}", history="true")
        versions = answer["versions"]
    assert [version["process"]["name"] for version in versions] == ["bash", "one", "two", "three", "four"]
    assert [version["until"] for version in versions] == [version["since"] for version in versions[1:]] + [None]
    assert {version["how"] for version in versions} == {"kernel"}
    assert "birth" in versions[0]["told"]
    assert all("image" in version["told"] for version in versions[1:])
    assert (answer["versions_known"], answer["count"], answer["truncated"]) == (5, 5, False)


async def test_a_history_up_to_a_time_has_what_had_begun_by_then_and_no_end_that_was_to_come() -> None:
    host = FourImages()
    host.stream.exit(host.child)
    host.tell()
    identity = host.id(host.child)
    async with serving(host) as client:
        for path, parameters in ((f"/processes/{identity}", {}), ("/processes", {"pid": host.child.pid})):
            answer = await client.ok(path, history="true", at=host.times[2], **parameters)
            names = [version["process"]["name"] for version in answer["versions"]]
            assert (names, answer["versions_known"], answer["at"]) == (["bash", "one", "two"], 3, host.times[2])
            assert answer["versions"][-1]["alive"]
            last = await client.ok(path, history="true", at=host.times[4], **parameters)
            assert last["versions"][-1]["process"]["name"] == "four"
            assert last["versions"][-1]["alive"]
            assert "exit_code" not in last["versions"][-1]["process"]
            whole = await client.ok(path, history="true", **parameters)
            assert not whole["versions"][-1]["alive"]
            before = host.describer.tables.date(host.child.start_ns - 1)
            reason = "no_such_pid" if parameters else "not_yet_born"
            assert await client.refused(path, history="true", at=before, **parameters) == (404, reason)
        thread = f"/threads/{identity}"
        answer = await client.ok(thread, history="true", at=host.times[1])
        assert [one["process"]["thread"]["name"] for one in answer["versions"]] == ["bash", "one"]
        assert answer["at"] == host.times[1]


async def test_what_versions_tell_and_no_document_has_is_there() -> None:
    host = Host()
    host.stream.account(33, "www-data")
    host.stream.account(34, "backup", group=True)
    child = host.stream.spawn(host.shell, "/usr/bin/curl", uid=33, gid=34, cgroup_id=77)
    there = host.stream.spawn(host.shell, "/usr/bin/curl", uid=33, pid_ns=5)
    host.tell()
    async with serving(host) as client:
        answer = await client.ok(f"/processes/{host.id(child)}")
        contained = await client.ok(f"/processes/{host.id(there)}")
    assert answer["namespaces"] == {
        "pid": "4026531836",
        "user": "4026531837",
        "mnt": "4026531841",
        "net": "4026531840",
        "cgroup": "4026531835",
    }
    assert answer["cgroup"] == {"id": "77"}
    assert answer["filesystem"] == {"user": {"id": "33", "name": "www-data"}, "group": {"id": "34", "name": "backup"}}
    assert contained["namespaces"]["pid"] == "5"
    assert contained["filesystem"]["user"] == {"id": "33"}  # the host's names are not the container's


async def test_what_the_snapshot_found_says_so() -> None:
    host = Host()
    async with serving(host) as client:
        assert (await client.ok("/processes", pid=50))["how"] == "snapshot"


async def test_secrets_are_masked_as_in_documents() -> None:
    host = FourImages()
    async with serving(host) as client:
        for path in (f"/processes/{host.id(host.child)}", f"/lineage/{host.id(host.child)}", "/tree"):
            answer = orjson.dumps(await client.ok(path))
            assert b"hunter2" not in answer
            assert b"--password=***" in answer


async def test_an_end_is_told_with_its_code_and_before_it_nothing_is() -> None:
    host = Host()
    child = host.stream.spawn(host.shell, "/usr/bin/false")
    host.wait()
    before = host.now
    host.wait()
    host.stream.exit(child, 3 << 8)
    host.tell()
    async with serving(host) as client:
        ended = await client.ok(f"/processes/{host.id(child)}")
        assert (ended["alive"], ended["process"]["exit_code"]) == (False, 3)
        assert ended["until"] == ended["process"]["end"]
        lived = await client.ok(f"/processes/{host.id(child)}", at=before)
        assert lived["alive"]
        assert not {"end", "exit_code"} & lived["process"].keys()
        killed = host.stream.spawn(host.shell, "/usr/bin/yes")
        host.stream.exit(killed, 9)
        host.tell()
        answer = await client.ok(f"/processes/{host.id(killed)}")
        assert (answer["process"]["exit_code"], answer["lineage"]["exit"]) == (137, {"signal": 9})


def _a_parent_that_went_on() -> tuple[Host, Process, Process]:
    """It was nginx when its child was born, and is sleep."""
    host = Host()
    parent = host.stream.spawn(host.shell, "/usr/sbin/nginx")
    child = host.stream.spawn(parent, "/usr/bin/id")
    host.stream.exec(parent, "/usr/bin/sleep")
    host.tell()
    return host, parent, child


async def test_a_lineage_has_each_ancestor_as_it_was_when_its_child_was_born() -> None:
    host, _, child = _a_parent_that_went_on()
    async with serving(host) as client:
        path = f"/lineage/{host.id(child)}"
        answer = await client.ok(path)
        assert _names(answer) == ["nginx", "bash", "systemd"]
        assert answer["lineage"]["chain"] == "systemd → bash → nginx → id"
        assert (answer["lineage"]["depth"], answer["lineage"]["complete"]) == (3, True)
        assert _names(await client.ok(path, as_of="time")) == ["sleep", "bash", "systemd"]
        assert _names(await client.ok(path, depth=1)) == ["nginx"]
        assert (await client.ok("/lineage", pid=child.pid))["ancestors"] == answer["ancestors"]


async def test_each_ancestor_says_how_it_was_learnt_and_until_when_it_was_so() -> None:
    host, parent, child = _a_parent_that_went_on()
    async with serving(host) as client:
        born_of, shell, init = (await client.ok(f"/lineage/{host.id(child)}"))["ancestors"]
        slept = await client.ok(f"/processes/{host.id(parent)}")
        assert (born_of["until"], born_of["how"]) == (slept["since"], "kernel")
        assert (shell["until"], shell["how"], init["how"]) == (None, "snapshot", "snapshot")
        assert [one["cut"] for one in (born_of, shell, init)] == [[], [], []]
        now = (await client.ok(f"/lineage/{host.id(child)}", as_of="time"))["ancestors"][0]
        assert (now["since"], now["until"]) == (slept["since"], None)


async def test_of_an_ancestor_that_is_forgotten_nothing_is_made_up() -> None:
    host = Host(processes_max=64)
    parent = host.stream.spawn(host.shell, "/usr/sbin/nginx")
    child = host.stream.spawn(parent, "/usr/bin/id")
    host.stream.exit(child)
    host.stream.exit(parent)
    host.tell()
    async with serving(host) as client:
        path = f"/lineage/{host.id(child)}"
        for _ in range(70):
            host.stream.exit(host.stream.spawn(host.shell, "/usr/bin/true"))
            host.tell()
            host.id(child)  # asked for again and again, and so it stays
        assert host.tree.get(parent.pid, parent.start_ns) is None
        answer = await client.ok(path)
        assert _names(answer) == ["nginx", "bash", "systemd"]
        assert "until" not in answer["ancestors"][0]
        assert answer["ancestors"][1]["how"] == "snapshot"


def _names(answer: Any) -> list[str]:
    return [ancestor["process"]["name"] for ancestor in answer["ancestors"]]


async def test_a_family_is_told_by_who_it_is() -> None:
    host = Host()
    first, second = (host.stream.spawn(host.shell, f"/usr/bin/{name}") for name in ("first", "second"))
    grandchild = host.stream.spawn(first, "/usr/bin/grandchild")
    host.stream.exit(first)
    host.tell()
    shell = f"/processes/{host.id(host.shell)}"

    async with serving(host) as client:

        async def told(path: str, **parameters: str) -> list[str]:
            answer = await client.ok(path, **parameters)
            assert answer["count"] == len(answer["processes"])
            return [one["process"]["name"] for one in answer["processes"]]

        assert await told(f"{shell}/children") == ["first", "second"]
        assert await told(f"{shell}/children", edge="reaper") == ["second"]
        assert sorted(await told(f"{shell}/descendants")) == ["first", "grandchild", "second"]
        assert await told(f"/processes/{host.id(second)}/siblings") == ["first"]
        assert await told(f"/processes/{host.id(grandchild)}/children") == []
        assert "grandchild" in await told(f"/processes/{host.id(second)}/session")


async def test_threads_are_told_while_they_live_and_after() -> None:
    host = Host()
    tid, start_ns = host.stream.thread_start(host.shell)
    host.wait()
    host.stream.thread_end(host.shell, tid, start_ns)
    host.tell()
    async with serving(host) as client:
        answer = await client.ok(f"/processes/{host.id(host.shell)}/threads")
        leader, worker = answer["threads"]
        assert leader["process"]["thread"]["entity_id"] == leader["process"]["entity_id"] == host.id(host.shell)
        thread = worker["process"]["thread"]
        assert (thread["id"], worker["alive"], thread["end"]) == (tid, False, worker["until"])
        one = await client.ok(f"/threads/{thread['entity_id']}")
        assert one["process"] == worker["process"]
        assert one["process"]["user"]["id"] == "0"
        assert one["process"]["pid"] == leader["process"]["pid"] == host.shell.pid
        assert one["process"]["thread"]["capabilities"].keys() == {"permitted", "effective"}
        assert (one["how"], one["told"], one["end_how"]) == ("kernel", ["birth", "thread_name"], "kernel")
        assert (one["versions_dropped"], one["versions_dropped_after"]) == (0, 0)
        assert (await client.ok(f"/threads/{thread['entity_id']}", at=thread["start"]))["alive"]
        history = await client.ok(f"/threads/{thread['entity_id']}", history="true")
        assert history["versions"][-1]["process"] == worker["process"]
        assert await client.refused(f"/threads/{thread['entity_id'][::-1]}") == (404, "never_known")


async def test_what_a_process_did_is_told_by_kind_up_to_that_moment() -> None:
    host = FourImages()
    async with serving(host) as client:
        path = f"/processes/{host.id(host.child)}/artifacts"
        executed = await client.ok(path, kind="files", at=host.times[2])
        assert [artifact["file"]["path"] for artifact in executed["artifacts"]] == ["/usr/bin/one", "/usr/bin/two"]
        assert (executed["kind"], executed["dropped"]) == ("files", 0)
        assert (await client.ok(path))["artifacts"] == []
        assert await client.refused(path, kind="thoughts") == (400, "bad_parameter")


async def test_ids_of_artifacts_are_written_as_everywhere_else() -> None:
    host = Host()
    host.stream.account(33, "www-data")
    child = host.stream.spawn(host.shell, "/usr/bin/curl")
    child.uid = 33
    host.stream.new_credentials(child)
    host.tell()
    async with serving(host) as client:
        version = await client.ok(f"/processes/{host.id(child)}")
        path = f"/processes/{host.id(child)}/artifacts"
        (changed,) = (await client.ok(path))["artifacts"]
        assert (changed["time"], changed["action"]) == (version["since"], "changed")
        assert changed["process"]["real_user"] == {"id": "33", "name": "www-data"}
        for name in ("user", "group", "real_user", "saved_user", "real_group", "saved_group"):
            assert changed["process"][name] == version["process"][name], name
        assert changed["process"]["thread"] == {
            "id": child.pid,
            "capabilities": version["process"]["thread"]["capabilities"],
        }
        (executed,) = (await client.ok(path, kind="files"))["artifacts"]
        assert executed["file"] == {"path": "/usr/bin/curl", **version["lineage"]["executable"]}
        for kind in ("connections", "mounts", "modules"):
            assert await client.refused(path, kind=kind) == (404, "no_source")


async def test_names_that_carry_control_characters_stay_json() -> None:
    host = Host()
    child = host.stream.spawn(host.shell, '/tmp/\x1b[31m\n"x', ("\x00\u202e", "\x07"))
    host.tell()
    async with serving(host) as client:
        assert (await client.ok(f"/processes/{host.id(child)}"))["process"]["name"] == '\x1b[31m\n"x'


async def test_after_a_loss_what_a_repair_found_says_so() -> None:
    host = Host()
    host.stream.loss({wire.EXEC: 1})
    host.stream.snapshot_begin()
    for process in (host.init, host.shell):
        _seen_again(host, process)
    host.stream.snapshot_end()
    host.tell()
    async with serving(host) as client:
        answer = await client.ok("/processes", pid=50)
        assert (answer["process"]["name"], answer["how"]) == ("dash", "repair")


def _seen_again(host: Host, process: Process) -> None:
    executable = "/usr/bin/dash" if process is host.shell else process.executable
    exec_id = process.exec_id + (process is host.shell)
    host.stream.running(executable, parent=process.parent, pid=process.pid, start_ns=process.start_ns, exec_id=exec_id)


async def test_a_leader_that_has_ended_and_is_known_is_told_in_full() -> None:
    host = Host()
    leader = host.stream.spawn(host.shell, "/usr/bin/leader")
    leader.session = leader.group = leader
    host.stream.exec(leader, "/usr/bin/leads")
    member = host.stream.spawn(leader, "/usr/bin/member", session=leader, group=leader)
    host.stream.exit(leader)
    # From now on the kernel has its number alone.
    member.session = member.group = replace(leader, start_ns=0)
    host.stream.exec(member, "/usr/bin/later")
    child = host.stream.fork(member)
    host.tell()
    async with serving(host) as client:
        for process in (member, child):
            told = (await client.ok(f"/processes/{host.id(process)}"))["process"]
            for which in ("group_leader", "session_leader"):
                assert told[which]["entity_id"] == host.id(leader), which
                assert told[which]["name"] == "leads"
            members = await client.ok(f"/processes/{host.id(process)}/session")
            assert [one["process"]["pid"] for one in members["processes"]] == [member.pid, child.pid]


@pytest.mark.parametrize("fraction", ["", ".5"])
async def test_a_pid_that_was_two_processes_within_the_second_is_both_of_them(fraction: str) -> None:
    host = Host()
    host.wait()
    host.stream.now_ns = host.stream.now_ns // 10**9 * 10**9
    second = host.now.partition(".")[0]
    old = host.stream.spawn(host.shell, "/usr/bin/old", pid=777)
    host.wait(0.1)
    host.stream.exit(old)
    host.wait(0.1)
    young = host.stream.spawn(host.shell, "/usr/bin/young", pid=777)
    host.wait(2)
    host.tell()
    async with serving(host) as client:
        status, body = await client.get("/processes", pid=777, at=f"{second}{fraction}Z")
        if fraction:
            assert (status, body["process"]["name"]) == (200, "young")
            return
        assert (status, body["reason"]) == (300, "ambiguous")
        assert [one["process"]["entity_id"] for one in body["candidates"]] == [host.id(young), host.id(old)]
        assert await client.refused("/tree", pid=777, at=f"{second}Z") == (300, "ambiguous")
        assert await client.refused("/lineage", pid=777, at=f"{second}Z") == (300, "ambiguous")


async def test_parents_are_told_from_when_to_when() -> None:
    host = Host()
    parent = host.stream.spawn(host.shell, "/usr/bin/parent")
    child = host.stream.spawn(parent, "/usr/bin/child")
    host.wait()
    between = host.now
    host.wait()
    host.stream.exit(parent)
    child.parent = host.shell.parent  # which its next record says
    host.stream.exec(child, "/usr/bin/other")
    host.tell()
    path = f"/processes/{host.id(child)}/parents"
    async with serving(host) as client:
        answer = await client.ok(path)
        then = await client.ok(path, at=between)
    told = [(one["edge"], one["process"]["name"], one["how"], one["unsure"]) for one in answer["parents"]]
    assert told == [
        ("birth", "parent", "kernel", False),
        ("reaper", "parent", "kernel", False),
        ("reaper", "systemd", "kernel", False),
    ]
    birth, first, adopted = answer["parents"]
    assert birth["since"] == first["since"] < between < first["until"] == adopted["since"]
    assert birth["until"] is adopted["until"] is None
    assert (answer["count"], then["count"]) == (3, 2)
