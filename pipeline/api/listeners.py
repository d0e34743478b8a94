"""Where the API listens: bound by the starting user, before privileges are given up.

Rules of this file:
- The file of the socket has its mode and group before anybody can connect.
- A file that nobody listens on any more is what an agent without rights left behind: it is replaced. One that somebody
  listens on, and a file that is no socket, are left alone.
- Nothing that is not asked for is opened: TCP only with an address, and the configuration wants a token then.
"""

from __future__ import annotations

import grp
import os
import socket
import stat
from pathlib import Path

import structlog

from pipeline.config import Config
from pipeline.errors import HostError

BACKLOG = 64
FOLDER_MODE = 0o755

log = structlog.get_logger()


class Listeners:
    def __init__(self, unix: socket.socket | None, tcp: socket.socket | None) -> None:
        self.unix = unix
        self.tcp = tcp
        self._path = "" if unix is None else unix.getsockname()

    def close(self) -> None:
        """Safe to call twice. The socket's file goes where its folder lets us."""
        for listener in (self.unix, self.tcp):
            if listener is not None:
                listener.close()
        path, self._path = self._path, ""  # another agent's, from now on
        if path:
            try:
                os.unlink(path)
            except OSError:
                log.debug("the socket stays: its folder is another's", path=path)


def open_listeners(config: Config) -> Listeners:
    """What the configuration asks for. Raises HostError, but not for the default path: then it is a warning."""
    unix = None
    if config.api_socket:
        try:
            unix = open_unix(Path(config.api_socket), config.api_socket_group)
        except HostError as error:
            if {"api_socket", "api_socket_group"} & config.model_fields_set:
                raise
            log.warning("no API", reason=error.message, mend=error.mend)
    try:
        tcp = open_tcp(config.api_address) if config.api_address else None
    except HostError:
        Listeners(unix, None).close()
        raise
    return Listeners(unix, tcp)


def open_unix(path: Path, group: str | None) -> socket.socket:
    """Listening, mode 0600, or 0660 for ``group``. Its folder is made where it is missing. Raises HostError."""
    mode = 0o600 if group is None else 0o660
    gid = -1 if group is None else _gid(group)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if not path.parent.exists():
            path.parent.mkdir(FOLDER_MODE)
            path.parent.chmod(FOLDER_MODE)  # whatever the umask says
        _remove_stale(path)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        os.chown(path, -1, gid)
        path.chmod(mode)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        mend = "set api_socket to a path that you may write to, or to nothing for no API"
        raise HostError(f"cannot listen on {path} ({error.strerror})", mend) from error
    except HostError:
        listener.close()
        raise
    return listener


def open_tcp(address: str) -> socket.socket:
    """Listening on HOST:PORT, [HOST]:PORT for IPv6. Raises HostError."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        mend = "set api_address to an address of this host, and a port that is free"
        raise HostError(f"cannot listen on {address} ({error.strerror})", mend) from error
    return listener


def _remove_stale(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise HostError(f"{path} is there and is no socket", "set api_socket to another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog is somebody who listens
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass
    raise HostError(f"another agent answers on {path}", "end it, or set api_socket to another path")


def _gid(group: str) -> int:
    try:
        return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise HostError(f"there is no group {group}", "make it, groupadd NAME, or unset api_socket_group") from None
