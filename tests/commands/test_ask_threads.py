"""`lineage show`, `tree` and `ancestors` of a thread: by its tid, its id, while it lives and after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.commands import ask
from pipeline.commands.tree import tree
from pipeline.config import Config
from pipeline.query.agent import Refused
from tests.api.serving import Client, Host, serving

Capture = pytest.CaptureFixture[str]


def _config(client: Client | None, folder: Path) -> Config:
    return Config(api_socket="" if client is None else client.path, state_directory=folder)


async def test_threads_are_named_and_a_threads_id_shows_it_and_whose_it_is(tmp_path: Path, capsys: Capture) -> None:
    host = Host()
    host.stream.thread_start(host.shell, tid=900)
    host.tell()
    async with serving(host) as client:
        config = _config(client, tmp_path)
        assert await ask.show(config, "50", at=None, history=False, json=False) == 0
        shown = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
        assert shown["threads"] == "2 alive: 50 bash, 900 bash"
        threads = await client.ok(f"/processes/{host.id(host.shell)}/threads")
        thread = threads["threads"][1]["process"]["thread"]["entity_id"]
        assert await ask.show(config, thread, at=None, history=False, json=False) == 0
        shown = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
        assert (shown["tid"], shown["process"], shown["process id"]) == ("900", "bash 50", host.id(host.shell))
        assert await ask.show(config, thread, at=None, history=False, json=True) == 0
        assert json.loads(capsys.readouterr().out)["process"]["thread"]["id"] == 900


async def test_a_tid_shows_the_thread_and_whose_it_is_while_it_lives_and_after(tmp_path: Path, capsys: Capture) -> None:
    host = Host()
    tid, start_ns = host.stream.thread_start(host.shell)
    host.wait()
    host.tell()
    then = host.now
    host.wait()
    async with serving(host) as client:
        config = _config(client, tmp_path)

        async def shown(at: str | None = None) -> dict[str, str]:
            assert await ask.show(config, str(tid), at=at, history=False, json=False) == 0
            return dict(line.split("\t") for line in capsys.readouterr().out.splitlines())

        living = await shown()
        assert (living["tid"], living["process"]) == (str(tid), "bash 50")
        host.stream.thread_end(host.shell, tid, start_ns)
        host.tell()
        assert (await shown())["ended"]
        assert "ended" not in await shown(then)
        assert await ask.show(config, str(tid), at=None, history=True, json=False) == 0
        born, ended = capsys.readouterr().out.splitlines()
        assert born.split("\t")[1:] == ["kernel", "born of thread 50: bash; user 0"]
        assert ended.split("\t")[1:] == ["kernel", "ended"]
        for at, then in ((None, ""), (host.now, " to have lived then")):
            with pytest.raises(Refused, match=f"no process and no thread with the number 4194304 is known{then}$"):
                await ask.show(config, "4194304", at=at, history=False, json=False)
        assert await ask.show(config, str(tid), at=None, history=False, json=True) == 0
        assert json.loads(capsys.readouterr().out) == await client.ok("/threads", tid=tid)


async def test_who_asks_about_a_thread_as_if_it_were_a_process_is_told_whose_it_is(tmp_path: Path) -> None:
    host = Host()
    tid, _ = host.stream.thread_start(host.shell)
    host.wait()
    host.tell()
    async with serving(host) as client:
        config = _config(client, tmp_path)
        told = f"{tid} is a thread of bash 50: ask about that: lineage"
        with pytest.raises(Refused, match=f"{told} ancestors 50 --at {host.now}$"):
            await ask.ancestors(config, str(tid), at=host.now, depth=5, json=False)
        with pytest.raises(Refused, match=f"{told} tree 50$"):
            await tree(config, str(tid))
        with pytest.raises(Refused, match=r"no process with pid 4194304 is known$"):
            await ask.ancestors(config, "4194304", at=None, depth=5, json=False)


async def test_a_tid_that_was_two_threads_lists_them(tmp_path: Path, capsys: Capture) -> None:
    host = Host()
    host.wait()
    host.stream.now_ns = host.stream.now_ns // 10**9 * 10**9
    second = host.now.partition(".")[0] + "Z"
    host.stream.thread_end(host.shell, *host.stream.thread_start(host.shell, tid=777))
    host.stream.thread_start(host.shell, tid=777)
    host.wait(2)
    host.tell()
    async with serving(host) as client:
        config = _config(client, tmp_path)
        with pytest.raises(Refused, match="2 threads had tid 777 in that time: ask by id") as refused:
            await ask.show(config, "777", at=second, history=False, json=False)
        _, *rows = [line.split("\t") for line in capsys.readouterr().err.splitlines()]
        assert [row[3:] for row in rows] == [["bash", "bash 50"]] * 2
        assert str(refused.value).endswith(f"lineage show {rows[0][0]} --at {second}")
        for row in rows:
            assert await ask.show(config, row[0], at=second, history=False, json=False) == 0


@pytest.mark.parametrize("thread_first", [True, False])
@pytest.mark.parametrize("history", [False, True])
async def test_of_a_number_that_was_a_process_and_anothers_thread_in_one_second_both_are_told(
    tmp_path: Path, capsys: Capture, thread_first: bool, history: bool
) -> None:
    host = Host()
    host.wait()
    host.stream.now_ns = host.stream.now_ns // 10**9 * 10**9
    second = host.now.partition(".")[0] + "Z"
    if thread_first:
        host.stream.thread_end(host.shell, *host.stream.thread_start(host.shell, tid=777))
    brief = host.stream.spawn(host.shell, "/usr/bin/brief", pid=777)
    host.stream.exit(brief)
    if not thread_first:
        host.stream.thread_start(host.shell, tid=777)
    host.wait(2)
    host.tell()
    later = host.now
    async with serving(host) as client:
        config = _config(client, tmp_path)
        assert await ask.show(config, "777", at=second, history=history, json=False) == 0
        shown, said = capsys.readouterr()
        assert "brief" in shown
        options = ["--history"] if history else []
        told, _, again = said.strip().rpartition(": ")
        assert told == "thread 777 of bash 50 had the number too"
        assert again.split()[:2] == ["lineage", "show"]
        thread, *rest = again.split()[2:]
        assert rest == [*options, "--at", second]
        assert await ask.show(config, thread, at=second, history=history, json=False) == 0
        shown, said = capsys.readouterr()
        assert said == ""
        assert "brief" not in shown
        # Without a time the last process is meant. A thread that came after it is told, one that went before is not.
        assert await ask.show(config, "777", at=None, history=history, json=False) == 0
        again = " ".join(["lineage", "show", thread, *options])
        after = "" if thread_first else f"thread 777 of bash 50 had the number after it: {again}\n"
        assert capsys.readouterr().err == after
        # At a later time the thread alone has it.
        if not thread_first:
            assert await ask.show(config, "777", at=later, history=history, json=False) == 0
            shown, said = capsys.readouterr()
            assert "brief" not in shown
            assert said == ""


async def test_of_a_number_that_was_a_process_alone_no_thread_is_told(tmp_path: Path, capsys: Capture) -> None:
    host = Host()
    host.stream.thread_start(host.shell)
    host.tell()
    async with serving(host) as client:
        for at in (None, "now", host.now.partition(".")[0] + "Z"):
            assert await ask.show(_config(client, tmp_path), "50", at=at, history=False, json=False) == 0
            assert capsys.readouterr().err == ""
