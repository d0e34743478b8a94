"""Who may connect, and what is done about a file that is already there."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.api.listeners import open_listeners
from pipeline.config import Config, load
from pipeline.errors import ConfigError, HostError
from tests.api.serving import Host, free_port, serving

TOKEN = "0123456789abcdef-token"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lineage-") as name:
        yield Path(name)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_socket_is_its_owners_alone_and_its_folder_everybodys_to_enter(folder: Path) -> None:
    path = folder / "run" / "s"
    before = os.umask(0o077)
    try:
        listeners = open_listeners(Config(api_socket=str(path)))
    finally:
        os.umask(before)
    assert (_mode(path), _mode(path.parent)) == (0o600, 0o755)
    listeners.close()
    assert not path.exists()
    listeners.close()


def test_a_group_may_be_let_in(folder: Path) -> None:
    path = folder / "s"
    listeners = open_listeners(Config(api_socket=str(path), api_socket_group="daemon"))
    try:
        import grp

        assert (_mode(path), path.stat().st_gid) == (0o660, grp.getgrnam("daemon").gr_gid)
    finally:
        listeners.close()
    with pytest.raises(HostError, match="there is no group nobody-has-this"):
        open_listeners(Config(api_socket=str(path), api_socket_group="nobody-has-this"))


def test_a_stale_socket_is_replaced_and_a_live_one_is_an_error_that_names_it(folder: Path) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    first = open_listeners(Config(api_socket=str(path)))
    with pytest.raises(HostError, match=f"another agent answers on {path}"):
        open_listeners(Config(api_socket=str(path)))
    first.close()


def test_a_file_that_is_no_socket_is_left_alone(folder: Path) -> None:
    path = folder / "s"
    path.write_text("precious")
    with pytest.raises(HostError, match="is no socket"):
        open_listeners(Config(api_socket=str(path)))
    assert path.read_text() == "precious"


def test_a_path_that_cannot_be_is_an_error_where_configured_and_a_warning_where_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(HostError, match="cannot listen on /proc/lineage/s"):
        open_listeners(Config(api_socket="/proc/lineage/s"))
    monkeypatch.setattr(Config.model_fields["api_socket"], "default", "/proc/lineage/s")
    Config.model_rebuild(force=True)
    try:
        assert open_listeners(Config()).unix is None
    finally:
        monkeypatch.undo()
        Config.model_rebuild(force=True)
    assert "no API" in capsys.readouterr().out


def test_an_empty_path_is_no_api() -> None:
    listeners = open_listeners(Config(api_socket=""))
    assert (listeners.unix, listeners.tcp) == (None, None)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"api_address": "127.0.0.1:9300"}, "configuration key api_token: must be set where api_address is"),
        ({"api_address": "9300", "api_token": TOKEN}, "configuration key api_address = '9300': must be a host and"),
        ({"api_address": "127.0.0.1:70000", "api_token": TOKEN}, "must be a host and a port"),
        ({"api_address": "127.0.0.1:9300", "api_token": "short"}, "configuration key api_token: must be 16"),
        ({"api_socket": "relative"}, "must be an absolute path"),
        ({"api_socket": "/" + "x" * 107}, "at most 107 bytes"),
    ],
)
def test_what_cannot_be_listened_on_is_refused_and_no_token_is_shown(keys: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(keys)
    assert said in str(caught.value)
    assert "short" not in str(caught.value)


def test_a_port_that_is_taken_is_an_error_that_names_it_and_leaves_no_socket(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(HostError, match=f"cannot listen on {address}"):
            open_listeners(Config(api_socket=str(folder / "s"), api_address=address, api_token=TOKEN))
    assert not (folder / "s").exists()


async def test_over_tcp_nothing_is_answered_without_the_token() -> None:
    host = Host()
    async with serving(host, api_address=f"127.0.0.1:{free_port()}", api_token=TOKEN) as client:
        for path in ("/health", "/metrics", "/tree", "/openapi.json", "/nowhere"):
            assert await client.refused(path) == (401, "no_token")
        for header in ("Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer \u00e9", TOKEN):
            async with client.session.get(client.base + "/tree", headers={"Authorization": header}) as response:
                assert response.status == 401, header
                assert response.headers["WWW-Authenticate"] == "Bearer"
        async with client.session.get(client.base + "/tree", headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            assert (await response.json())["count"] == 2
    assert host.counters.api_refused == {"no_token": 11}


async def test_the_socket_asks_for_no_token() -> None:
    async with serving(Host(), api_token=TOKEN) as client:
        assert (await client.ok("/tree"))["count"] == 2
