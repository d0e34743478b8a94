"""`lineage tree`, `show` and `ancestors` of a running agent: whom they ask, and what they say when it cannot tell."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands import ask
from pipeline.commands.tree import tree
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.query.agent import NoAgentError, Refused, refused_by
from pipeline.wire import EXEC
from tests.api.serving import Client, Host, serving
from tests.commands.stored import fill

Capture = pytest.CaptureFixture[str]


def _config(client: Client | None, folder: Path) -> Config:
    return Config(api_socket="" if client is None else client.path, state_directory=folder)


async def test_the_agent_is_asked_where_one_answers(tmp_path: Path, capsys: Capture) -> None:
    host = Host()
    host.stream.spawn(host.shell, "/usr/bin/sleep", ("sleep", "\x1b[2J"))
    host.tell()
    async with serving(host) as client:
        assert await tree(_config(client, tmp_path), None) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["systemd", "bash", "sleep"]


async def test_below_a_pid_ended_ones_are_drawn_where_all_is_asked_for(tmp_path: Path, capsys: Capture) -> None:
    host = Host()
    host.stream.exit(host.stream.spawn(host.shell, "/usr/bin/true"), 1 << 8)
    host.tell()
    async with serving(host) as client:
        assert await tree(_config(client, tmp_path), "50") == 0
        assert capsys.readouterr().out == "bash 50  root  bash\n".replace("root", "0")
        assert await tree(_config(client, tmp_path), "50", everything=True) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[1:] == [f"  true {host.stream.next_pid}  0  (ended, exit code 1)  true"]


async def test_json_is_a_process_a_line_parents_first(tmp_path: Path, capsys: Capture) -> None:
    async with serving(Host()) as client:
        assert await tree(_config(client, tmp_path), None, json=True) == 0
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [document["process"]["name"] for document in documents] == ["systemd", "bash"]
    assert {document["host"]["name"] for document in documents} == {"web-1"}
    assert {document["how"] for document in documents} == {"snapshot"}


async def test_that_there_are_more_is_told(tmp_path: Path, capsys: Capture) -> None:
    async with serving(Host(), api_rows_max=1) as client:
        assert await tree(_config(client, tmp_path), None) == 0
        told = "1 more process had no room in an answer of 1: ask below a PID, at a lower --depth"
        assert f"{told}, or raise the agent's api_rows_max" in capsys.readouterr().err.splitlines()
        assert await tree(_config(client, tmp_path), None, everything=True) == 0
        assert f"{told}, without --all, or raise" in capsys.readouterr().err


async def test_doubt_is_told_of_an_agents_tree_and_of_its_ancestors(tmp_path: Path, capsys: Capture) -> None:
    host = Host()
    host.stream.spawn(host.shell, "/usr/bin/sleep")
    host.stream.loss({EXEC: 1})
    host.tell()
    async with serving(host) as client:
        assert await tree(_config(client, tmp_path), None) == 0
        assert re.search(
            r"^3 of these may not be the whole truth \(.*loss 3.*\)", capsys.readouterr().err, re.MULTILINE
        )
        assert await ask.ancestors(_config(client, tmp_path), "50", at=None, depth=5, json=False) == 0
        assert re.fullmatch(r"this may not be the whole truth \(.*loss.*\)\n", capsys.readouterr().err)


async def test_an_ended_ancestor_of_what_lives_is_drawn_as_it_ended(tmp_path: Path, capsys: Capture) -> None:
    host = Host()
    above = host.stream.spawn(host.shell, "/usr/bin/make", ("make", "-j"))
    middle = host.stream.spawn(above, "/usr/bin/sh", ("sh",))
    host.stream.spawn(middle, "/usr/bin/sleep", ("sleep", "9"))
    host.tell()
    host.wait()
    then = host.now
    host.stream.exit(middle, 11)
    host.stream.exit(above, 7 << 8)
    host.wait()
    host.tell()
    async with serving(host) as client:
        assert await tree(_config(client, tmp_path), "50") == 0
        states = [" ".join(line.split()[2:]) for line in capsys.readouterr().out.splitlines()]
        assert states == ["0 bash", "0 (ended, exit code 7) make -j", "0 (killed by SIGSEGV) sh", "0 sleep 9"]
        assert await tree(_config(client, tmp_path), "50", at=then) == 0
        assert "(" not in capsys.readouterr().out


async def test_a_tree_below_an_id_and_of_a_depth(tmp_path: Path, capsys: Capture) -> None:
    host = Host()
    sh = host.stream.spawn(host.shell, "/usr/bin/sh", ("sh",))
    host.stream.exit(host.stream.spawn(sh, "/usr/bin/true"))
    host.stream.spawn(sh, "/usr/bin/sleep", ("sleep",))
    host.tell()
    async with serving(host) as client:
        config = _config(client, tmp_path)

        async def names(process: str | None, **asked: Any) -> list[str]:
            assert await tree(config, process, **asked) == 0
            return [line.split()[0] for line in capsys.readouterr().out.splitlines()]

        assert await names(host.id(host.shell)) == ["bash", "sh", "sleep"]
        assert await names(host.id(host.shell), everything=True) == ["bash", "sh", "true", "sleep"]
        assert await names(host.id(sh), at=host.now) == ["sh", "sleep"]
        assert await names(host.id(host.shell), depth=1) == ["bash", "sh"]
        assert await names("50", depth=1) == ["bash", "sh"]
        assert await names(None, depth=1) == ["systemd", "bash"]
        with pytest.raises(Refused, match="nobody has told of"):
            await tree(config, "A" * 22)


async def test_how_many_are_forgotten_that_lived_then_is_told(tmp_path: Path, capsys: Capture) -> None:
    host = Host(processes_max=64)
    gone = [host.stream.spawn(host.shell, "/usr/bin/true") for _ in range(100)]
    host.tell()
    host.wait()
    then = host.now
    for process in gone:
        host.stream.exit(process)
    host.stream.exit(host.stream.spawn(host.shell, "/usr/bin/true"))
    host.tell()
    async with serving(host) as client:
        assert await tree(_config(client, tmp_path), None, at=then) == 0
        assert re.search(r"not known any more of what lived then: \d+ processes\n", capsys.readouterr().err)
        assert await tree(_config(client, tmp_path), None) == 0
        assert "not known any more" not in capsys.readouterr().err
        assert await tree(_config(client, tmp_path), host.id(host.shell)) == 0
        assert "not known any more" not in capsys.readouterr().err
        for who in ("50", host.id(host.shell)):
            assert await tree(_config(client, tmp_path), who, everything=True) == 0
            assert re.search(r"not known any more of what was born below it: \d+ processes\n", capsys.readouterr().err)


async def test_of_kernel_threads_the_number_is_told_unless_all_are_asked_for(tmp_path: Path, capsys: Capture) -> None:
    host = Host(begin=False)
    kthreadd = host.stream.running("kthreadd", pid=2, kernel_thread=True)
    worker = host.stream.running("kworker/0:1", parent=kthreadd, kernel_thread=True)
    for _ in range(40):
        host.stream.running("kworker/u8:1", parent=kthreadd, kernel_thread=True)
    host.stream.snapshot_end()
    host.tell()
    async with serving(host, api_rows_max=10) as client:
        config = _config(client, tmp_path)
        assert await tree(config, None) == 0
        out, err = capsys.readouterr()
        assert [line.split()[0] for line in out.splitlines()] == ["systemd", "bash", "kthreadd"]
        assert "kthreadd 2  0  (and 41 kernel threads: --all)" in out
        assert "no room" not in err
        assert await tree(config, None, json=True) == 0
        out, err = capsys.readouterr()
        assert (len(out.splitlines()), "41 kernel threads left out: --all\n" in err) == (3, True)
        assert await tree(config, "2") == 0
        out, err = capsys.readouterr()
        assert (len(out.splitlines()), "32 more processes had no room in an answer of 10" in err) == (10, True)
        host.stream.spawn(worker, "/usr/sbin/modprobe")
        host.tell()
        assert await tree(config, None) == 0
        assert [line.split("  (")[0].strip() for line in capsys.readouterr().out.splitlines()[2:]] == [
            "kthreadd 2  0",
            f"0:1 {worker.pid}  0",  # the name is the last part of the path, as the stream has made it
            f"modprobe {host.stream.next_pid}  0  modprobe",
        ]


async def test_that_more_lives_than_there_is_room_for_is_told_beside_every_answer(
    tmp_path: Path, capsys: Capture
) -> None:
    host = Host(processes_max=10, threads_max=1)
    for _ in range(11):
        sleep = host.stream.spawn(host.shell, "/usr/bin/sleep")
    thread, _ = host.stream.thread_start(sleep)
    host.stream.thread_start(sleep)
    host.tell()
    processes = (
        "13 processes must be kept, more than processes_max (10): of each only the first and the present version are"
    )
    threads = "2 threads must be kept, more than threads_max (1): of each only the first and the present version are"
    async with serving(host) as client:
        config = _config(client, tmp_path)

        async def told(question: Awaitable[int]) -> list[str]:
            assert await question == 0
            return [line for line in capsys.readouterr().err.splitlines() if "must be kept" in line]

        for json in (False, True):
            assert await told(tree(config, None, json=json)) == [processes]
            assert await told(ask.ancestors(config, "50", at=None, depth=5, json=json)) == [processes]
            for history in (False, True):
                assert await told(ask.show(config, "50", at=None, history=history, json=json)) == [processes]
                asked = ask.show(config, str(thread), at=None, history=history, json=json)
                assert await told(asked) == [processes, threads]
    async with serving(Host()) as client:
        assert await told(tree(_config(client, tmp_path), None)) == []


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A state directory with an empty store."""
    fill(tmp_path / "events.db")
    return tmp_path


async def test_what_was_kept_is_asked_where_the_agent_knows_nothing_of_then(kept: Path, capsys: Capture) -> None:
    async with serving(Host()) as client:
        assert await tree(_config(client, kept), None, at="1h") == 1
        told = capsys.readouterr().err
        assert "as of --at 1h" in told
        assert "in the store" in told
        assert "nobody looked then: the agent knows what ran since" in told
        assert "--since 24h" not in told
        with pytest.raises(Refused, match="nobody looked then"):
            await tree(_config(client, kept), None, at="1h", origin="agent")


async def test_what_was_kept_is_asked_where_the_agent_has_forgotten_or_keeps_no_tree(
    kept: Path, capsys: Capture
) -> None:
    host = Host(processes_max=64)
    gone = [host.stream.spawn(host.shell, "/usr/bin/true") for _ in range(100)]
    for process in gone:
        host.stream.exit(process)
    host.tell()
    first = gone[0]
    async with serving(host) as client:
        assert await tree(_config(client, kept), str(first.pid)) == 1
        told = capsys.readouterr().err
        assert f"no process with pid {first.pid}" in told
        assert f"in the store {kept}" in told
        assert f"who had pid {first.pid} last has ended and was forgotten" in told
    async with serving(Host(remembers=False)) as client:
        assert await tree(_config(client, kept), None) == 1
        assert "this agent remembers no process" in capsys.readouterr().err


async def test_what_was_kept_is_asked_where_no_agent_answers_or_nobody_wants_it(kept: Path, capsys: Capture) -> None:
    stale = kept / "s"
    stale.touch()
    whys = ("api_socket is empty", "no agent answers on", "no agent answers on")
    configs = (_config(None, kept), *(Config(api_socket=str(kept / name), state_directory=kept) for name in ("s", "x")))
    for config, why in zip(configs, whys, strict=True):
        assert await tree(config, None) == 1
        told = capsys.readouterr().err
        assert "in the store" in told
        assert why in told
    async with serving(Host()) as client:
        for asked in ({"origin": "store"}, {"since": "1h"}):
            assert await tree(_config(client, kept), None, **asked) == 1  # type: ignore[arg-type]
            assert "in the store" in capsys.readouterr().err


async def test_whom_nobody_can_ask_is_told(tmp_path: Path) -> None:
    config = _config(None, tmp_path)
    with pytest.raises(UsageError, match=r"--from: 'oracle' is nobody to ask"):
        await tree(config, None, origin="oracle")
    with pytest.raises(UsageError, match="no Elasticsearch is configured"):
        await tree(config, None, origin="elasticsearch")
    with pytest.raises(UsageError, match="--since is no question for an agent"):
        await tree(config, None, origin="agent", since="1h")
    with pytest.raises(NoAgentError, match="api_socket is empty"):
        await tree(config, None, origin="agent")
    nobody = Config(api_socket=str(tmp_path / "s"), state_directory=tmp_path)
    with pytest.raises(NoAgentError, match=r"no agent answers on .* \(No such file or directory\)"):
        await ask.show(nobody, "1", at=None, history=False, json=False)


@pytest.mark.parametrize("text", ["", "bash", "-1", "12345678", "A" * 21, "A" * 23, "../../etc"])
async def test_what_names_no_process_is_told_before_anybody_is_asked(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no process"):
        await ask.show(_config(None, tmp_path), text, at=None, history=False, json=False)


async def test_a_history_ends_at_the_moment_asked_for(tmp_path: Path, capsys: Capture) -> None:
    host = Host()
    child = host.stream.spawn(host.shell, "/usr/bin/one", ("one",))
    host.wait()
    host.tell()
    then = host.now
    host.wait()
    host.stream.exec(child, "/usr/bin/two", ("two",))
    host.stream.exit(child, 3 << 8)
    host.wait()
    host.tell()
    async with serving(host) as client:

        async def lines(who: str, at: str | None) -> list[str]:
            assert await ask.show(_config(client, tmp_path), who, at=at, history=True, json=False) == 0
            return [line.split("\t")[2] for line in capsys.readouterr().out.splitlines()]

        whole = ["born of bash 50: bash; user 0", "exec /usr/bin/one: one", "exec /usr/bin/two: two"]
        for who in (str(child.pid), host.id(child)):
            assert await lines(who, None) == [*whole, "ended, exit code 3"]
            assert await lines(who, then) == whole[:2]


async def test_what_a_version_began_with_is_told(tmp_path: Path, capsys: Capture) -> None:
    host = Host()
    child = host.stream.spawn(host.shell, "/usr/bin/one", ("one",))
    host.wait()
    host.stream.exec(child, "/usr/bin/two", ("two",))
    host.tell()
    async with serving(host) as client:

        async def change(who: str) -> str:
            assert await ask.show(_config(client, tmp_path), who, at=None, history=False, json=False) == 0
            return dict(line.split("\t") for line in capsys.readouterr().out.splitlines())["change"]

        assert await change(str(child.pid)) == "exec /usr/bin/two: two"
        assert await change("50") == "found running: bash; user 0"


@pytest.mark.parametrize(
    ("time", "before"),
    [
        ("2026-03-01T00:00:00.000000000Z", "2026-02-28T23:59:59.999999999Z"),
        ("2026-03-01T00:00:00.000000001Z", "2026-03-01T00:00:00.000000000Z"),
        ("2026-03-01T00:00:01.100000000Z", "2026-03-01T00:00:01.099999999Z"),
    ],
)
def test_just_before_is_a_nanosecond_earlier(time: str, before: str) -> None:
    assert ask.just_before(time) == before


async def test_bad_input_is_wrong_usage_whoever_finds_it(tmp_path: Path) -> None:
    host = Host()
    async with serving(host) as client:
        config = _config(client, tmp_path)
        for who, at, code in (("0", None, 2), ("50", "2100-01-01T00:00:00Z", 2), ("50", "1h", 1), ("51", None, 1)):
            with pytest.raises(Refused) as refused:
                await ask.show(config, who, at=at, history=False, json=False)
            assert refused.value.exit_code == code, (who, at)


async def test_who_may_not_ask_is_told_how_to(tmp_path: Path) -> None:
    with pytest.raises(NoAgentError, match=r"you may not ask the agent on .*: use sudo, or be in the group"):
        raise refused_by("/s", PermissionError(13, "Permission denied"))
    with pytest.raises(NoAgentError, match=r"no agent answers on /s .*: start `lineage run` as root"):
        raise refused_by("/s", FileNotFoundError(2, "No such file or directory"))


async def test_a_history_that_is_cut_says_so(tmp_path: Path, capsys: Capture) -> None:
    host = Host()
    for name in ("one", "two", "three"):
        host.stream.exec(host.shell, f"/usr/bin/{name}")
    host.tell()
    async with serving(host, api_rows_max=2) as client:
        assert await ask.show(_config(client, tmp_path), "50", at=None, history=True, json=False) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert err == "the oldest 2 versions; 2 more had no room: raise the agent's api_rows_max\n"


@pytest.fixture
def full() -> Iterator[int]:
    """Output that takes nothing."""
    with Path("/dev/full").open("w") as file:
        yield file.fileno()


@pytest.mark.parametrize(
    "verb", [["show"], ["show", "--json"], ["show", "--history"], ["ancestors"], ["tree"]], ids=" ".join
)
async def test_an_answer_that_cannot_be_written_is_told_so(verb: list[str], full: int) -> None:
    async with serving(Host()) as client:
        asking = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pipeline", "--set", f"api_socket={client.path}", *verb, "50"),
            stdout=full,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await asking.communicate()
    assert said.decode().splitlines()[-1] == "lineage: cannot write to standard output: No space left on device"
    assert asking.returncode == 1
