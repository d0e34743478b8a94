"""What a tree answers, in the words of the chronicle."""

from __future__ import annotations

from pipeline.process import ProcessVersion, entity_id
from pipeline.tree import LineageKey, ProcessKey, ProcessTree, ThreadAnswer, ThreadKey
from tests.tree.chronicle import IDS, POWERS, Key, Seen
from tests.tree.history import BOOT, PID_NS
from tests.tree.thread_chronicle import SeenLeader, SeenThread


def id_of(key: Key, boot: bytes = BOOT) -> str:
    return entity_id(boot, PID_NS, *key)


def answered(tree: ProcessTree, key: Key, time_ns: int | None = None, boot: bytes = BOOT) -> Seen:
    """Raises NoAnswer as the tree does."""
    lineage = tree.lineage(LineageKey(id_of(key, boot), time_ns, max_depth=32))
    answer = lineage.process
    assert answer == tree.process(ProcessKey(id_of(key, boot), time_ns))
    process = answer.process
    return Seen(
        (process.image.name, process.image.executable, process.image.args),
        tuple(image.name for image in process.previous),
        tuple(getattr(process.credentials, name) for name in IDS),
        tuple(getattr(process.credentials, name) for name in POWERS),
        process.credentials.groups,
        process.thread_name,
        process.working_directory,
        (
            process.session.tty,
            process.session.id,
            process.session.start_ns,
            process.session.group_id,
            process.session.group_start_ns,
        ),
        tuple(process.namespaces),
        process.container.id if process.container else "",
        parent(process),
        parent_now(process),
        tuple(((a.pid, a.start_ns), a.image.name) for a in lineage.ancestors),
        answer.alive,
        process.end_ns,
        process.exit_status,
        process.tid,
        process.ns_pid,
        process.pid_ns,
        process.cgroup_id,
        (process.image.file, process.image.script, process.image.environment, process.image.loader),
        process.sockets,
        process.kernel_thread,
        entry(process),
    )


def threads(tree: ProcessTree, key: Key, boot: bytes = BOOT) -> dict[Key, list[SeenThread]]:
    """All versions of all beside the leader."""
    _, *others = tree.threads_of(ProcessKey(id_of(key, boot)))
    return {(one.tid, one.start_ns): list(map(seen_thread, tree.thread_versions(one.entity_id))) for one in others}


def seen_thread(answer: ThreadAnswer) -> SeenThread:
    assert answer.alive is (answer.end_ns is None)
    assert answer.alive is (answer.end_how is None)
    return SeenThread(
        answer.name, *_rights(answer), answer.birth_tid, answer.since_ns, answer.until_ns, answer.how, answer.end_ns
    )


def leader(tree: ProcessTree, key: Key, time_ns: int | None = None, boot: bytes = BOOT) -> SeenLeader:
    """Raises NoAnswer as the tree does."""
    answer = tree.thread_at(ThreadKey(id_of(key, boot), time_ns))
    assert (answer.process_id, answer.pid, answer.tid) == (answer.entity_id, key[0], key[0])
    assert answer.alive is (answer.end_ns is None)
    return SeenLeader(answer.name, *_rights(answer), answer.end_ns)


def _rights(answer: ThreadAnswer) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    who = answer.credentials
    return tuple(getattr(who, name) for name in IDS), tuple(getattr(who, name) for name in POWERS), who.groups


def entry(process: ProcessVersion) -> tuple[Key, str] | None:
    leader = process.entry_leader
    if leader is None:
        assert process.entry_type == ""
        return None
    return (leader.pid, leader.start_ns), process.entry_type


def parent(process: ProcessVersion) -> Key | None:
    return (process.parent.pid, process.parent.start_ns) if process.parent else None


def parent_now(process: ProcessVersion) -> Key | None:
    now = process.reaper or process.parent
    return (now.pid, now.start_ns) if now else None


def images(tree: ProcessTree, key: Key) -> list[tuple[str, int, int | None]]:
    """Name, since when, until when."""
    found: list[tuple[str, int, int | None]] = []
    for answer in tree.versions(id_of(key)):
        if found and "image" not in answer.told:
            found[-1] = (*found[-1][:2], answer.until_ns)
        else:
            found.append((answer.process.image.name, answer.since_ns, answer.until_ns))
    return found


def intervals(tree: ProcessTree, key: Key) -> list[tuple[int, int | None, str, str | None]]:
    """Of each version: since when, until when, and how both were learnt."""
    return [(one.since_ns, one.until_ns, one.how, one.end_how) for one in tree.versions(id_of(key))]


def differences(seen: Seen, expected: Seen) -> str:
    differ = [
        f"{name} is {got!r}, not {wanted!r}"
        for name, got, wanted in zip(Seen._fields, seen, expected, strict=True)
        if got != wanted
    ]
    return "; ".join(differ)
