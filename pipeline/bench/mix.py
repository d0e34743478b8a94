"""A made-up stream with the mix of a busy build and web host: what the benchmarks without a kernel run on.

Deterministic: the same numbers give the same bytes. The snapshot tells of 450 processes; then come units of work,
chosen by their number, until there are as many events as were asked for:

| share | unit                          | events                                                                    |
|-------|-------------------------------|---------------------------------------------------------------------------|
| 60 %  | a command                     | fork, exec, exit, below a shell below sshd; one in six with job control   |
| 20 %  | one step of a build           | make -> sh -> gcc -> cc1: four forks, execs and exits                     |
| 10 %  | a job                         | cron -> sh -> python3 with four threads: three processes, eight of threads |
| 10 %  | a worker                      | fork and exit without exec                                                |

Seven of ten commands have arguments that nobody had before, so that no cache makes them free.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.sources.synthetic import BOOT_ID, Process, Synthetic

SESSIONS = 50
DAEMONS = 200
KERNEL_THREADS = 100
USERS = 20
BATCH_RECORDS = 256
"""What a drain of the ring finds on a host with 5,000 events a second."""

_COMMANDS = (
    ("/usr/bin/git", "status", "--short", "--branch"),
    ("/usr/bin/ls", "-la", "--color=auto"),
    ("/usr/bin/grep", "-rn", "--include=*.py", "def receive"),
    ("/usr/bin/curl", "-sS", "--max-time", "10", "https://www.example.org/api/v1/status"),
    ("/usr/bin/sed", "-n", "s/^version = \\(.*\\)$/\\1/p"),
    ("/usr/bin/cat", "/etc/hostname"),
    ("/usr/bin/find", ".", "-type", "f", "-newer"),
)


class _Host:
    """The processes that the units of work start from."""

    def __init__(self, stream: Synthetic) -> None:
        self.stream = stream
        for number in range(USERS):
            stream.account(1000 + number, f"user{number}")
            stream.account(1000 + number, f"user{number}", group=True)
        stream.account(0, "root")
        stream.account(0, "root", group=True)
        init = stream.running("/usr/lib/systemd/systemd", ("/sbin/init",), pid=1)
        kthreadd = stream.running("kthreadd", (), pid=2, kernel_thread=True)
        for number in range(KERNEL_THREADS):
            stream.running(f"kworker/{number}:0", (), parent=kthreadd, kernel_thread=True)
        for number in range(DAEMONS):
            stream.running(f"/usr/sbin/service{number % 40}", None, parent=init, cgroup_id=100 + number)
        self.cron = stream.running("/usr/sbin/cron", ("/usr/sbin/cron", "-f"), parent=init)
        sshd = stream.running("/usr/sbin/sshd", ("sshd: /usr/sbin/sshd -D",), parent=init)
        self.shells = [self._session(sshd, number) for number in range(SESSIONS)]
        stream.snapshot_end()

    def _session(self, sshd: Process, number: int) -> Process:
        uid = 1000 + number % USERS
        entry = self.stream.running("/usr/sbin/sshd", ("sshd: user [priv]",), parent=sshd)
        user = self.stream.running("/usr/sbin/sshd", ("sshd: user@pts",), parent=entry, uid=uid, gid=uid)
        directory = f"/home/user{number % USERS}/work"
        terminal = 136 << 20 | number
        return self.stream.running(
            "/usr/bin/bash",
            ("-bash",),
            parent=user,
            uid=uid,
            gid=uid,
            groups=(uid, 27),
            tty=terminal,
            working_directory=directory,
        )

    def unit(self, number: int) -> None:
        kind = number % 10
        if kind < 6:
            self._command(number)
        elif kind < 8:
            self._build_step(number)
        elif kind == 8:
            self._job(number)
        else:
            self.stream.exit(self.stream.fork(self.shells[number % SESSIONS]))

    def _command(self, number: int) -> None:
        path, *arguments = _COMMANDS[number % len(_COMMANDS)]
        if number * 7 % 10 < 7:
            arguments.append(f"src/module{number % 97}/file{number}.py")
        shell = self.shells[number % SESSIONS]
        child = self.stream.fork(shell)
        if number % 10 == 0:
            child.group = None  # its own: a shell makes each command that was typed one, and none in a script
        self.stream.exec(child, path, (path.rpartition("/")[2], *arguments))
        self.stream.exit(child, (number % 20 == 0) << 8)

    def _build_step(self, number: int) -> None:
        stream, source = self.stream, f"src/part{number % 31}/unit{number}"
        flags = ("-O2", "-g", "-Wall", "-Wextra", "-Iinclude", "-Ibuild/include", "-DNDEBUG", "-fPIC", "-std=c11")
        make = stream.fork(self.shells[number % SESSIONS])
        stream.exec(make, "/usr/bin/make", ("make", "-j8", "all"))
        command = " ".join(("gcc", *flags, "-c", f"{source}.c", "-o", f"build/{source}.o"))
        shell = stream.spawn(make, "/usr/bin/dash", ("/bin/sh", "-c", command))
        gcc = stream.spawn(shell, "/usr/bin/gcc-12", ("gcc", *flags, "-c", f"{source}.c", "-o", f"build/{source}.o"))
        cc1 = stream.spawn(
            gcc,
            "/usr/libexec/gcc/x86_64-linux-gnu/12/cc1",
            ("cc1", "-quiet", *flags, f"{source}.c", "-o", "build/cc.s"),
        )
        for process in (cc1, gcc, shell, make):
            stream.exit(process)

    def _job(self, number: int) -> None:
        stream = self.stream
        fork = stream.fork(self.cron)
        fork.session = fork.group = None
        shell = stream.spawn(fork, "/usr/bin/dash", ("/bin/sh", "-c", f"/opt/report/run.py --shard {number % 64}"))
        arguments = ("python3", "/opt/report/run.py", "--shard", str(number % 64), "--out", f"/var/report/{number}")
        python = stream.spawn(shell, "/usr/bin/python3.11", arguments)
        for thread in [stream.thread_start(python) for _ in range(4)]:
            stream.thread_end(python, *thread)
        for process in (python, shell, fork):
            stream.exit(process)


def records(events: int, *, seed: int = 0) -> Iterator[list[bytes]]:
    """Batches as a source hands them over, ``events`` events in all, the snapshot included.

    Streams of different ``seed`` are of different boots: no id of the one is in the other.
    """
    boot = seed.to_bytes(4, "little") + BOOT_ID[4:]
    stream = Synthetic(boot_id=boot, step_ns=200_000)
    host = _Host(stream)
    number = told = 0
    while told < events:
        while len(stream.events) < BATCH_RECORDS:
            host.unit(number)
            number += 1
        batch = stream.records[: events - told]
        stream.events.clear()
        told += len(batch)
        yield batch
