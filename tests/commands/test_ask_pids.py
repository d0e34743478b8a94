"""`lineage show`, `ancestors` and `tree` of a pid that two processes had."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipeline.commands import ask
from pipeline.commands.tree import tree
from pipeline.config import Config
from pipeline.query.agent import Refused
from tests.api.serving import Client, Host, serving

Capture = pytest.CaptureFixture[str]


def _config(client: Client, folder: Path) -> Config:
    return Config(api_socket=client.path, state_directory=folder)


@pytest.fixture
def twice() -> tuple[Host, str]:
    """A host on which two processes had pid 777, and the second in which they had."""
    host = Host()
    host.wait()
    host.stream.now_ns = host.stream.now_ns // 10**9 * 10**9
    second = host.now.partition(".")[0] + "Z"
    first = host.stream.spawn(host.shell, "/usr/bin/fi\x07rst", pid=777)
    host.stream.exit(first)
    host.stream.spawn(host.shell, "/usr/bin/second", pid=777)
    host.wait(2)
    host.tell()
    return host, second


@pytest.mark.parametrize("verb", ["show", "show --history", "ancestors", "tree"])
async def test_an_ambiguous_pid_names_both_processes_and_what_to_type_next(
    verb: str, twice: tuple[Host, str], tmp_path: Path, capsys: Capture
) -> None:
    host, second = twice
    async with serving(host) as client:
        config = _config(client, tmp_path)

        async def question(who: str, at: str | None, *, json: bool = False) -> int:
            if verb == "ancestors":
                return await ask.ancestors(config, who, at=at, depth=5, json=json)
            if verb == "tree":
                return await tree(config, who, at=at, json=json)
            return await ask.show(config, who, at=at, history=verb.endswith("history"), json=json)

        with pytest.raises(Refused) as refused:
            await question("777", second)
        heading, *rows = [line.split("\t") for line in capsys.readouterr().err.splitlines()]
        assert heading == ["id", "started", "ended", "command", "parent"]
        assert [row[3:] for row in rows] == [["second", "bash 50"], ["fi\\x07rst", "bash 50"]]
        assert rows[1][2] != ""
        word, *options = verb.split()
        typed = " ".join(["lineage", word, rows[0][0], *options, "--at", second])
        assert str(refused.value) == f"2 processes had pid 777 in that time: ask by id, for the youngest: {typed}"
        assert await question(rows[1][0], second) == 0
        capsys.readouterr()
        with pytest.raises(Refused):
            await question("777", second, json=True)
        out, err = capsys.readouterr()
        problem = json.loads(out)
        assert (problem["reason"], len(problem["candidates"]), err) == ("ambiguous", 2, "")


async def test_a_pid_without_a_time_says_who_had_it_before(
    twice: tuple[Host, str], tmp_path: Path, capsys: Capture
) -> None:
    host, _ = twice
    async with serving(host) as client:
        config = _config(client, tmp_path)
        for options, history in (("", False), ("--history", True)):
            assert await ask.show(config, "777", at=None, history=history, json=False) == 0
            said = capsys.readouterr().err
            found = re.fullmatch(
                r"another process had pid 777 before, fi\\x07rst, ended \S+Z: lineage show (\S+)(.*)\n", said
            )
            assert found is not None, said
            assert found[2].strip() == options
            assert await ask.show(config, found[1], at=None, history=history, json=False) == 0
            out, err = capsys.readouterr()
            assert "rst" in out
            assert err == ""
        assert await ask.show(config, "50", at=None, history=False, json=False) == 0
        assert capsys.readouterr().err == ""
