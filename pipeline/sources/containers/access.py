"""Who may connect to a runtime's socket, told from its owner and mode before privileges are given up."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pipeline.errors import HostError

_MEND = "give it a group of its own: dockerd --group NAME, or gid below [grpc] in containerd's configuration"


def groups_of(socket: Path) -> tuple[int, ...]:
    """The supplementary group that an account needs to connect; none where everybody may.

    Raises HostError where there is no socket, or where its mode lets in nobody but root and root's group.
    """
    real = Path(os.path.realpath(socket))
    try:
        status = real.stat()
        folders = [(folder, folder.stat()) for folder in real.parents]
    except OSError as error:
        mend = "start the container runtime, or unset container_runtime"
        raise HostError(f"the socket {socket} cannot be looked at ({error.strerror})", mend) from error
    if not stat.S_ISSOCK(status.st_mode):
        raise HostError(f"{socket} is no socket", "name the container runtime's own with container_runtime")
    groups: tuple[int, ...] = ()
    if not status.st_mode & stat.S_IWOTH:  # to connect is to write: unix(7)
        if not status.st_mode & stat.S_IWGRP:
            raise HostError(f"no group may connect to {socket}", _MEND)
        if status.st_gid == 0:
            raise HostError(f"only root's own group may connect to {socket}", _MEND)
        groups = (status.st_gid,)
    for folder, found in folders:
        by_group = found.st_gid in groups and found.st_mode & stat.S_IXGRP
        if not (by_group or found.st_mode & stat.S_IXOTH):
            raise HostError(f"the group of {socket} may not enter {folder}", f"chmod o+x {folder}")
    return groups
