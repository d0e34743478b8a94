"""What a process is called."""

from __future__ import annotations

import pytest

from pipeline.tree.changes.names import is_open_file, name_at_exec, name_when_running


@pytest.mark.parametrize(
    ("filename", "executable", "args", "comm", "name"),
    [
        ("/usr/bin/curl", "/usr/bin/curl", ("curl",), "curl", "curl"),
        ("/opt/app/gunicorn", "/usr/bin/python3.11", ("python3.11", "/opt/app/gunicorn"), "gunicorn", "gunicorn"),
        ("./run.sh", "/usr/bin/dash", ("/bin/sh", "./run.sh"), "run.sh", "run.sh"),
        ("/bin/a-name-longer-than-comm", "/bin/x", (), "a-name-longer-t", "a-name-longer-than-comm"),
        ("/dev/fd/3", "/usr/bin/sudo", ("sudo",), "3", "sudo"),
        ("/proc/self/fd/12", "/usr/bin/sudo", ("sudo",), "12", "sudo"),
        ("/proc/4711/fd/12", "/usr/bin/sudo", ("sudo",), "12", "sudo"),
        ("/dev/fd/3", "/memfd:evil", ("x",), "memfd:evil", "memfd:evil"),
        ("/dev/fd/3/bin/tool", "/opt/bin/tool", ("tool",), "tool", "tool"),
        ("/dev/fd/tool", "/opt/other", ("tool",), "tool", "tool"),
        ("/proc/self/exe", "/usr/bin/runc", ("runc", "init"), "exe", "runc"),
        ("/proc/self/exe", "/", ("runc", "init"), "exe", "runc"),
        ("/proc/self/exe", "", (), "exe", "exe"),
        ("", "/usr/bin/curl", ("x",), "curl", "curl"),
        ("", "", ("/usr/bin/zz",), "comm", "zz"),
        ("", "", (), "comm", "comm"),
        ("nginx → bash", "/tmp/nginx → bash", (), "nginx", "nginx → bash"),
    ],
)
def test_a_process_is_named_by_the_file_asked_for(
    filename: str, executable: str, args: tuple[str, ...], comm: str, name: str
) -> None:
    assert name_at_exec(filename, executable, args, comm) == name


@pytest.mark.parametrize(
    ("args", "executable", "comm", "name"),
    [
        (("/usr/sbin/nginx", "-g"), "/usr/sbin/nginx", "nginx", "nginx"),
        (("python3.11", "/usr/bin/gunicorn", "app"), "/usr/bin/python3.11", "gunicorn", "gunicorn"),
        (("-bash",), "/usr/bin/bash", "bash", "bash"),
        (("bash",), "/usr/bin/bash", "bash", "bash"),
        (
            ("/usr/lib/systemd/systemd-journald",),
            "/usr/lib/systemd/systemd-journald",
            "systemd-journal",
            "systemd-journald",
        ),
        (("sshd: root@pts/0",), "/usr/sbin/sshd", "sshd", "sshd"),
        (("postgres: checkpointer",), "/usr/lib/postgresql/15/bin/postgres", "postgres", "postgres"),
        (("java", "-jar"), "/usr/bin/java", "renamed", "java"),
        (("", ""), "/usr/bin/odd", "odd", "odd"),
        ((), "/usr/bin/busybox", "sh", "busybox"),
        ((), "", "lonely", "lonely"),
        (("/opt/äöüäöüäöü",), "/opt/x", "äöüäöüä\ufffd", "äöüäöüäöü"),
        (("/opt/systemd-journal-not",), "/opt/y", "systemd-journal", "systemd-journal-not"),
        (("/opt/systemd-journal",), "/opt/y", "systemd-journ", "y"),
    ],
)
def test_a_running_process_is_named_by_what_comm_was_cut_from(
    args: tuple[str, ...], executable: str, comm: str, name: str
) -> None:
    assert name_when_running(args, executable, comm) == name


@pytest.mark.parametrize("path", ["/dev/fd/3/", "/dev/fd/", "/dev/fdx/3", "/proc/self/fd/3/x", "/proc/cmdline", "fd/3"])
def test_only_an_open_files_own_path_is_one(path: str) -> None:
    assert not is_open_file(path)
