"""Streams to begin with: histories as the kernel would tell them, so that a fuzzer knows what records look like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline import wire
from pipeline.events import (
    Cgroup,
    Container,
    CredentialChange,
    DirectoryChange,
    Exec,
    Loader,
    NamespaceChange,
    Rename,
    Script,
    SessionChange,
    Stamp,
    ThreadRunning,
)
from pipeline.sources.decode import decode
from pipeline.sources.encode import encode
from pipeline.sources.synthetic import PID_NS, Process, Synthetic

CONTAINER_ID = "5" * 64


def streams() -> Iterator[list[bytes]]:
    yield _lives()
    yield _changes()
    yield _images()
    yield _repair()
    yield _out_of_order()


def _begun() -> tuple[Synthetic, Process, Process]:
    stream = Synthetic()
    stream.account(0, "root")
    stream.snapshot_begin()
    init = stream.running("/usr/lib/systemd/systemd", pid=1, start_ns=10)
    shell = stream.running("/usr/bin/bash", ("-bash",), parent=init, pid=50, start_ns=500)
    stream.snapshot_end()
    return stream, init, shell


def _lives() -> list[bytes]:
    stream, _, shell = _begun()
    stream.storm(shell, 2)
    thread = stream.thread_start(shell)
    stream.thread_end(shell, *thread)
    stream.clock(5)
    stream.exit(shell, 9, core_dumped=True)
    return stream.records


def _changes() -> list[bytes]:
    stream, _, shell = _begun()
    task = shell.task()
    of_www = task._replace(credentials=task.credentials._replace(uid=33, cap_effective=1))
    leading = task._replace(session=task.session._replace(group_id=50, group_start_ns=500))
    elsewhere = task._replace(namespaces=task.namespaces._replace(mnt=7))
    stamp = Stamp(stream.now_ns + 1000, 0, 1000, 0)
    for event in (
        Rename(stamp._replace(kind=wire.RENAME), 50, 50, 500, 500, 50, "renamed"),
        CredentialChange(
            stamp._replace(kind=wire.CREDENTIALS),
            of_www,
            (33, 4),
            False,
        ),
        SessionChange(stamp._replace(kind=wire.SESSION), leading),
        NamespaceChange(stamp._replace(kind=wire.NAMESPACES), elsewhere, 1, 2, 3, PID_NS),
        DirectoryChange(stamp._replace(kind=wire.DIRECTORY), 50, 50, 500, "/srv/www", False),
        Cgroup(stamp._replace(kind=wire.CGROUP), 50, 0, 500, 44, f"/system.slice/docker-{CONTAINER_ID}.scope"),
        Container(stamp._replace(kind=wire.CONTAINER), CONTAINER_ID, {"container": {"name": "web"}}),
        ThreadRunning(stamp._replace(kind=wire.THREAD_RUNNING), 50, 51, 500, 501, 51, "bash"),
    ):
        stream.add(event)
    stream.spawn(shell, "/usr/bin/id", ("id", "--password=secret"))
    return stream.records


def _repair() -> list[bytes]:
    stream, init, shell = _begun()
    child = stream.spawn(shell, "/usr/bin/sleep")
    stream.loss({wire.EXEC: 1, wire.FORK: 2, wire.EXIT: 1})
    stream.snapshot_begin()
    stream.running("/usr/lib/systemd/systemd", pid=1, start_ns=10)
    stream.running("/usr/bin/zsh", parent=init, pid=50, start_ns=500)
    stream.running("/usr/bin/missed", parent=shell, pid=60, start_ns=600)
    stream.snapshot_end()
    stream.exit(child)
    return stream.records


def _out_of_order() -> list[bytes]:
    stream, _, shell = _begun()
    before = len(stream.events)
    child = stream.spawn(shell, "/usr/bin/env")
    stream.exit(stream.spawn(child, "/usr/bin/curl"))
    stream.exit(child)
    return [*map(encode, stream.events[:before]), *map(encode, reversed(stream.events[before:]))]


def _images() -> list[bytes]:
    """What an exec may tell of its files: all that is rare."""
    stream, _, shell = _begun()
    child = stream.spawn(shell, "/usr/bin/python3")
    told = decode(stream.records[-1])
    assert isinstance(told, Exec)
    deleted = told.file._replace(links=0, traits=("deleted", "upper_layer"))
    rare: tuple[dict[str, Any], ...] = (
        {"script": Script("…/srv/run.py", "/usr/bin/python3", deleted), "cut": ("script", "loader")},
        {"script": Script("", "/usr/bin/python3"), "cut": ("script", "interpreter")},
        {"loader": Loader("memfd:ld", deleted._replace(traits=("memfd",)))},
        {"loader": None, "cut": ("environment", "loader")},
    )
    for change in rare:
        child.exec_id += 1
        stream.add(told._replace(task=child.task(), **change))
    return stream.records
