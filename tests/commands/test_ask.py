"""`lineage tree`, `show` and `ancestors` of a running agent: whom they ask, and what they say when it cannot tell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.commands import ask
from pipeline.commands.tree import tree
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.query.agent import NoAgentError, Refused
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
        assert await tree(_config(client, tmp_path), 50) == 0
        assert capsys.readouterr().out == "bash 50  root  bash\n".replace("root", "0")
        assert await tree(_config(client, tmp_path), 50, everything=True) == 0
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
    assert "1 processes; there are more" in capsys.readouterr().err


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A state directory with an empty store."""
    fill(tmp_path / "events.db")
    return tmp_path


async def test_what_was_kept_is_asked_where_the_agent_knows_nothing_of_then(kept: Path, capsys: Capture) -> None:
    async with serving(Host()) as client:
        assert await tree(_config(client, kept), None, at="1h") == 1
        assert "in the store" in capsys.readouterr().err
        with pytest.raises(Refused, match="nobody looked then"):
            await tree(_config(client, kept), None, at="1h", origin="agent")


async def test_what_was_kept_is_asked_where_no_agent_answers_or_nobody_wants_it(kept: Path, capsys: Capture) -> None:
    stale = kept / "s"
    stale.touch()
    for config in (_config(None, kept), Config(api_socket=str(stale), state_directory=kept)):
        assert await tree(config, None) == 1
        assert "in the store" in capsys.readouterr().err
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


async def test_an_ambiguous_pid_names_both_processes(tmp_path: Path, capsys: Capture) -> None:
    host = Host()
    host.wait()
    host.stream.now_ns = host.stream.now_ns // 10**9 * 10**9
    second = host.now.partition(".")[0] + "Z"
    first = host.stream.spawn(host.shell, "/usr/bin/fi\x07rst", pid=777)
    host.stream.exit(first)
    host.stream.spawn(host.shell, "/usr/bin/second", pid=777)
    host.wait(2)
    host.tell()
    async with serving(host) as client:
        with pytest.raises(Refused, match="2 processes had pid 777"):
            await ask.show(_config(client, tmp_path), "777", at=second, history=False, json=False)
        lines = capsys.readouterr().err.splitlines()
        assert [line.split()[1] for line in lines] == ["second", "fi\\x07rst"]
        assert await ask.show(_config(client, tmp_path), lines[1].split()[0], at=None, history=False, json=False) == 0


async def test_a_history_that_is_cut_says_so(tmp_path: Path, capsys: Capture) -> None:
    host = Host()
    for name in ("one", "two", "three"):
        host.stream.exec(host.shell, f"/usr/bin/{name}")
    host.tell()
    async with serving(host, api_rows_max=2) as client:
        assert await ask.show(_config(client, tmp_path), "50", at=None, history=True, json=False) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert err == "the oldest 2 versions; there are more\n"
