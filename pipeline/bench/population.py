"""Streams to fill a tree with: ordinary processes, so many that what each takes can be told from the sum.

Deterministic. Each process has five arguments, four of them those of many others, as commands have; the working
directory, the accounts and the namespaces are those of the shell that starts it.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.sources.synthetic import Process, Synthetic

PIDS = 30_000
"""Those who pass have so many between them: about what Linux gives out with its default, so pids are used again."""
_FIRST_PID = 100_000
_COMMANDS = (
    ("/usr/bin/python3.11", "/opt/report/run.py", "--shard", "--verbose"),
    ("/usr/bin/gcc-12", "-O2", "-Iinclude", "-c"),
    ("/usr/bin/grep", "-rn", "--include=*.py", "def receive"),
    ("/usr/bin/rsync", "--archive", "--delete", "backup@192.0.2.17:/srv/data/"),
    ("/usr/bin/curl", "--silent", "--max-time", "10"),
)


class Population:
    """``shells`` processes that run already, and what they start. Take ``Synthetic.events`` as often as told to."""

    def __init__(self, shells: int) -> None:
        self.stream = stream = Synthetic(step_ns=200_000)
        init = stream.running("/usr/lib/systemd/systemd", ("/sbin/init",), pid=1)
        sshd = stream.running("/usr/sbin/sshd", ("sshd: /usr/sbin/sshd -D",), parent=init)
        self.shells = [self._shell(sshd, number) for number in range(shells)]
        stream.snapshot_end()
        self.living: list[Process] = []
        self.started = 0

    def _shell(self, sshd: Process, number: int) -> Process:
        uid = 1000 + number
        return self.stream.running(
            "/usr/bin/bash",
            ("-bash",),
            parent=sshd,
            uid=uid,
            gid=uid,
            groups=(uid, 27),
            tty=136 << 20 | number,
            working_directory=f"/home/user{number}/work",
        )

    def stay(self, processes: int) -> Iterator[None]:
        """So many are born and execute; every second one ends, and the others go on living."""
        for number in range(processes):
            child = self._start(None)
            if number % 2:
                self.stream.exit(child)
            else:
                self.living.append(child)
            yield

    def change(self, times: int) -> Iterator[None]:
        """Each that lives has another name and another user in turn, nobody else's, ``times`` times in all."""
        for time in range(times):
            for number, process in enumerate(self.living):
                own = time * len(self.living) + number
                if time % 2:
                    process.uid = process.gid = 100_000 + own
                    self.stream.new_credentials(process)
                else:
                    process.comm = f"worker/{own}"
                    self.stream.rename(process)
                yield

    def pass_by(self, processes: int) -> Iterator[None]:
        """So many are born, execute and end, one after the other."""
        for _ in range(processes):
            child = self._start(_FIRST_PID + self.started % PIDS)
            self.stream.exit(child)
            yield

    def _start(self, pid: int | None) -> Process:
        number = self.started
        self.started += 1
        child = self.stream.fork(self.shells[number % len(self.shells)], pid=pid)
        path, *args = _COMMANDS[number % len(_COMMANDS)]
        own = f"src/module{number % 97}/file{number}.py"
        self.stream.exec(child, path, (path.rpartition("/")[2], *args, own))
        return child
