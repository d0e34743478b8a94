"""Records to values: the inverse of encode, and nothing a byte could say breaks it."""

from __future__ import annotations

import struct
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import wire
from pipeline.counters import Counters
from pipeline.events import (
    TRAITS,
    Account,
    Cgroup,
    Clock,
    CommandLine,
    Container,
    CredentialChange,
    Credentials,
    DirectoryChange,
    Event,
    Exec,
    Exit,
    Fact,
    File,
    Fork,
    HostFacts,
    Loader,
    Loss,
    NamespaceChange,
    Namespaces,
    ProcessEvent,
    Rename,
    Running,
    Script,
    Session,
    SessionChange,
    SnapshotBegin,
    SnapshotEnd,
    Stamp,
    Task,
    ThreadEnd,
    ThreadRunning,
    ThreadStart,
)
from pipeline.sources.decode import TIME_MAX_NS, decode, decode_batch
from pipeline.sources.encode import encode
from pipeline.sources.synthetic import Synthetic
from pipeline.sources.tails import BadRecord

u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
i64 = st.integers(-(2**63), 2**63 - 1)
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
name = st.text(st.characters(codec="utf-8", exclude_characters="\0/…"), min_size=1, max_size=20)
comm = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=15)
path = st.one_of(
    st.just(""),
    st.just("/"),
    st.lists(name, min_size=1, max_size=5).map(lambda names: "/" + "/".join(names)),
)
WHOLE, CUT_SHORT = "/", "…/"  # how a path begins; the second where the kernel had no room for the upper end
CUT_ORDER = (
    "args",
    "filename",
    "executable",
    "working_directory",
    "groups",
    "environment",
    "script",
    "interpreter",
    "loader",
)
groups = st.lists(u32, max_size=32).map(tuple)
args = st.lists(text, max_size=6).map(tuple)
facts = st.dictionaries(text, st.dictionaries(text, text))


def stamps(kind: int) -> st.SearchStrategy[Stamp]:
    return st.builds(Stamp, st.integers(0, TIME_MAX_NS), u32, u64, st.just(kind))


def cut_paths(cut: bool) -> st.SearchStrategy[str]:
    """A path that was cut begins with an ellipsis; one that was not may be empty."""
    return st.lists(name, min_size=1, max_size=5).map(lambda names: CUT_SHORT + "/".join(names)) if cut else path


@st.composite
def files(draw: st.DrawFn, *, script: bool) -> File:
    """Its traits are in the order of TRAITS; those of its mode are there when its mode has them, and only then."""
    mode = draw(st.integers(0, 0o7777)) | 0o100000
    told = draw(st.sampled_from(((), ("deleted",), ("memfd",), ("upper_layer",), ("deleted", "upper_layer"))))
    has = {
        *told,
        *(["setuid"] if mode & 0o4000 else []),
        *(["setgid"] if mode & 0o2000 else []),
        *(["capabilities"] if draw(st.booleans()) else []),
        *(["script"] if script else []),
    }
    traits = tuple(trait for trait in TRAITS if trait in has)
    return File(draw(u64), draw(u32), mode, draw(u32), draw(i64), draw(i64), traits)


@st.composite
def loaders(draw: st.DrawFn, *, cut: bool) -> Loader | None:
    """None: a static program; or, where ``cut``, it was not found."""
    if draw(st.booleans()):
        return None
    file = draw(files(script=False))
    return Loader(draw(cut_paths(cut)), file._replace(inode=max(1, file.inode)))


@st.composite
def images(draw: st.DrawFn, kind: type[Exec] | type[Running]) -> Exec | Running:
    """What is true of both: a path is cut where ``cut`` says so, a bare name has no upper end that could be."""
    can_be_cut = CUT_ORDER if kind is Exec else ("executable", "working_directory", "groups", "loader")
    has = draw(st.sets(st.sampled_from(can_be_cut)))
    cut = tuple(each for each in CUT_ORDER if each in has)
    executable = cut_paths("executable" in has)
    fields: dict[str, Any] = {
        "task": draw(tasks),
        "executable": draw(executable if "executable" in has else st.one_of(executable, name.map("memfd:{}".format))),
        "working_directory": draw(cut_paths("working_directory" in has)),
        "groups": draw(groups),
        "sockets": draw(st.integers(0, 7)),
        "cut": cut,
        "filtered": draw(st.booleans()),
        "loader": draw(loaders(cut="loader" in has)),
    }
    if kind is Running:
        words: dict[str, Any] = {each: draw(st.booleans()) for each in ("kernel_thread", "zombie", "parent_is_reaper")}
        return Running(stamp=draw(stamps(wire.RUNNING)), file=draw(files(script=False)), **fields, **words)
    script = not has.isdisjoint(("script", "interpreter")) or draw(st.booleans())
    return Exec(
        stamp=draw(stamps(wire.EXEC)),
        old_tid=draw(u32),
        filename=draw(text),
        args=draw(args),
        args_total_bytes=draw(u64),
        file=draw(files(script=script)),
        script=Script(draw(cut_paths("script" in has)), draw(name), draw(files(script=False))) if script else None,
        environment=draw(args),
        **fields,
    )


tasks = st.builds(
    Task,
    *(u32, u32, u64, u64, u32, u32, u64, u32, u32),
    st.tuples(u32, u32, u32).map(lambda told: Namespaces(*told)),
    st.builds(Session, u32, u32, u32, u64, u64),
    *(u64, u64),
    st.tuples(*(u32,) * 10, *(u64,) * 5).map(lambda told: Credentials(*told)),
    comm,
)
yes_or_no = st.booleans()
threads = (u32, u32, u64, u64, u32)
EVENTS: dict[type, st.SearchStrategy[Event]] = {
    Fork: st.builds(Fork, stamps(wire.FORK), tasks, u32, u32, u64, yes_or_no, yes_or_no),
    Exec: images(Exec),
    Exit: st.builds(Exit, stamps(wire.EXIT), tasks, u32, yes_or_no, u32, u64, yes_or_no, u64, u64, yes_or_no),
    ThreadStart: st.builds(ThreadStart, stamps(wire.THREAD_START), *threads, u32, comm),
    ThreadEnd: st.builds(ThreadEnd, stamps(wire.THREAD_END), *threads, comm),
    ThreadRunning: st.builds(ThreadRunning, stamps(wire.THREAD_RUNNING), *threads, comm),
    Rename: st.builds(Rename, stamps(wire.RENAME), *threads, comm),
    CredentialChange: st.builds(CredentialChange, stamps(wire.CREDENTIALS), tasks, groups, yes_or_no),
    SessionChange: st.builds(SessionChange, stamps(wire.SESSION), tasks),
    NamespaceChange: st.builds(NamespaceChange, stamps(wire.NAMESPACES), tasks, u32, u32, u32, u32),
    DirectoryChange: st.booleans().flatmap(
        lambda cut: st.builds(DirectoryChange, stamps(wire.DIRECTORY), u32, u32, u64, cut_paths(cut), st.just(cut))
    ),
    Cgroup: st.builds(Cgroup, stamps(wire.CGROUP), u32, u32, u64, u64, st.booleans().flatmap(cut_paths), st.booleans()),
    Container: st.builds(Container, stamps(wire.CONTAINER), text, facts),
    Running: images(Running),
    CommandLine: st.builds(CommandLine, stamps(wire.COMMAND_LINE), u32, u64, args, u64, yes_or_no),
    HostFacts: st.builds(HostFacts, stamps(wire.HOST), st.binary(min_size=16, max_size=16), i64, u64, facts),
    Account: st.builds(Account, stamps(wire.ACCOUNT), yes_or_no, u32, text),
    Clock: st.builds(Clock, stamps(wire.CLOCK), i64),
    Loss: st.builds(
        Loss, stamps(wire.LOSS), u64, st.dictionaries(st.integers(0, wire.LOSS_KINDS - 1), st.integers(1, 2**64 - 1))
    ),
    SnapshotBegin: st.builds(SnapshotBegin, stamps(wire.SNAPSHOT_BEGIN)),
    SnapshotEnd: st.builds(SnapshotEnd, stamps(wire.SNAPSHOT_END)),
}
"""Every value that a record can be: whole, in every field."""
events = st.one_of(*EVENTS.values())


def test_every_kind_of_record_has_a_value_that_is_tried() -> None:
    assert set(EVENTS) == set(get_args(ProcessEvent)) | set(get_args(Fact))


@given(events)
def test_a_value_survives_its_record(event: Event) -> None:
    assert decode(encode(event)) == event


@given(st.binary(max_size=600))
def test_any_bytes_are_a_value_or_a_bad_record(raw: bytes) -> None:
    counters = Counters()
    decoded = decode_batch([raw], counters)
    assert len(decoded) + counters.bad_records.total() == 1


@given(events, st.data())
def test_a_damaged_record_is_a_value_or_a_bad_record(event: Event, data: st.DataObject) -> None:
    raw = bytearray(encode(event))
    for at in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=8)):
        raw[at] = data.draw(st.integers(0, 255))
    counters = Counters()
    decoded = decode_batch([bytes(raw)], counters)
    assert len(decoded) + counters.bad_records.total() == 1


@given(events, st.data())
def test_a_shortened_record_is_never_a_value(event: Event, data: st.DataObject) -> None:
    raw = encode(event)
    counters = Counters()
    assert decode_batch([raw[: data.draw(st.integers(0, len(raw) - 1))]], counters) == []
    assert counters.bad_records["short"] + counters.bad_records["size"] == 1


SPANS = {
    Exec: (
        "exec",
        (
            *("filename", "executable", "working_directory", "args", "groups"),
            *("interpreter", "script", "environment", "loader"),
        ),
    ),
    Running: ("exec", ("executable", "working_directory", "groups", "loader")),
    CredentialChange: ("change", ("groups",)),
    DirectoryChange: ("directory", ("path",)),
    Cgroup: ("cgroup", ("path",)),
    Container: ("container", ("id", "facts")),
    HostFacts: ("host", ("facts",)),
    Account: ("account", ("name",)),
    CommandLine: ("command_line", ("args",)),
}


def _reason(record: bytes) -> str:
    with pytest.raises(BadRecord) as bad:
        decode(record)
    return bad.value.reason


@given(events, st.binary(min_size=1, max_size=9))
def test_a_record_longer_than_it_says_is_bad_by_its_size(event: Event, more: bytes) -> None:
    assert _reason(encode(event) + more) == "size"


@given(events, u16.filter(lambda version: version != wire.WIRE_VERSION))
def test_a_record_of_another_version_is_bad_by_its_version(event: Event, version: int) -> None:
    record = bytearray(encode(event))
    struct.pack_into("<H", record, wire.LAYOUT["header"]["version"][0], version)
    assert _reason(bytes(record)) == "version"


@given(events, st.integers(128, 2**16 - 1))
def test_a_record_of_an_unknown_kind_is_bad_by_its_kind(event: Event, kind: int) -> None:
    record = bytearray(encode(event))
    struct.pack_into("<H", record, wire.LAYOUT["header"]["kind"][0], kind)
    assert _reason(bytes(record)) == "kind"


@given(events, st.integers(TIME_MAX_NS + 1, 2**64 - 1))
def test_a_record_of_a_time_that_no_host_has_is_bad_by_its_time(event: Event, time_ns: int) -> None:
    record = bytearray(encode(event))
    struct.pack_into("<Q", record, wire.LAYOUT["header"]["time_ns"][0], time_ns)
    assert _reason(bytes(record)) == "time"


@pytest.mark.parametrize("kind", SPANS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_string_outside_of_its_record_is_bad_by_its_span(kind: type, data: st.DataObject) -> None:
    record = bytearray(encode(data.draw(EVENTS[kind])))
    name_of_struct, spans = SPANS[kind]
    fixed = max(offset + size for offset, size in wire.LAYOUT[name_of_struct].values())
    before, beyond = st.integers(0, fixed - 1), st.integers(len(record), 2**32 - 1)
    offset = data.draw(st.one_of(before, beyond))
    at = wire.LAYOUT[name_of_struct][data.draw(st.sampled_from(spans))][0]
    record[at : at + 8] = _span(offset, data.draw(st.integers(1, 2**32 - 1)))
    assert _reason(bytes(record)) == "span"


PATHS = dict.fromkeys((Exec, Running), ("executable", "working_directory", "loader")) | dict.fromkeys(
    (DirectoryChange, Cgroup), ("path",)
)


@pytest.mark.parametrize("kind", PATHS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_path_whose_last_component_does_not_end_is_bad(kind: type, data: st.DataObject) -> None:
    record = bytearray(encode(data.draw(EVENTS[kind])))
    at = wire.LAYOUT[SPANS[kind][0]][data.draw(st.sampled_from(PATHS[kind]))][0]
    record[at : at + 8] = _span(len(record), 3)
    record[:4] = struct.pack("<I", len(record) + 3)
    assert _reason(bytes(record) + b"bin") == "path"


@pytest.mark.parametrize("kind", [HostFacts, Container], ids=lambda kind: kind.__name__)
@given(data=st.data(), facts=st.sampled_from([b"{]", b"[]", b"1", b"{", b"\xff", b'{"a":{}}}']))
def test_facts_that_are_no_object_are_bad(kind: type, data: st.DataObject, facts: bytes) -> None:
    record = bytearray(encode(data.draw(EVENTS[kind])))
    at = wire.LAYOUT[SPANS[kind][0]]["facts"][0]
    record[at : at + 8] = _span(len(record), len(facts))
    record[:4] = struct.pack("<I", len(record) + len(facts))
    assert _reason(bytes(record) + facts) == "facts"


def test_what_is_said_of_the_host_are_objects() -> None:
    assert _reason(encode(HostFacts(Stamp(0, 0, 0, wire.HOST), bytes(16), 0, 0, {"host": 1}))) == "facts"


def _exec(**changes: Any) -> bytes:
    """An exec's record with members of its fixed part changed, by their names in events.h."""
    stream = Synthetic()
    stream.spawn(stream.running("/sbin/init", pid=1), "/usr/bin/bash", ("bash", "-c", "true"))
    record = bytearray(stream.records[-1])
    for member, value in changes.items():
        where = wire.LAYOUT["header" if member in wire.LAYOUT["header"] else "exec"][member]
        record[where[0] : where[0] + where[1]] = value
    return bytes(record)


def _span(offset: int, length: int) -> bytes:
    return struct.pack("<II", offset, length)


SIZE = wire.STRUCT_EXEC.size


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "short"),
        (_exec()[:31], "short"),
        (_exec()[: SIZE - 1], "short"),
        (_exec() + b"\0", "size"),
        (_exec(size=struct.pack("<I", 2**32 - 1)), "size"),
        (_exec(version=b"\1\0"), "version"),
        (_exec(kind=b"\0\0"), "kind"),
        (_exec(kind=b"\2\1"), "kind"),
        (_exec(args=_span(SIZE, 2**32 - 1)), "span"),
        (_exec(args=_span(2**32 - 1, 1)), "span"),
        (_exec(filename=_span(0, 4)), "span"),
        (_exec(groups=_span(SIZE, 3)), "span"),
        (_exec(executable=_span(SIZE, 1)), "path"),
    ],
)
def test_a_bad_record_is_counted_by_its_reason_and_the_others_stay(record: bytes, reason: str) -> None:
    counters = Counters()
    good = _exec()
    assert decode_batch([good, record, good], counters) == [decode(good)] * 2
    assert counters.bad_records == {reason: 1}


def _with_tail(executable: bytes, args: bytes, flags: int) -> Exec:
    fixed = bytearray(_exec(flags=struct.pack("<I", flags))[:SIZE])
    for member, tail, offset in (("executable", executable, SIZE), ("args", args, SIZE + len(executable))):
        at = wire.LAYOUT["exec"][member][0]
        fixed[at : at + 8] = _span(offset, len(tail)) if tail else bytes(8)
    for member in ("filename", "working_directory", "groups", "loader"):
        at = wire.LAYOUT["exec"][member][0]
        fixed[at : at + 8] = bytes(8)
    fixed[:4] = struct.pack("<I", SIZE + len(executable) + len(args))
    event = decode(bytes(fixed) + executable + args)
    assert isinstance(event, Exec)
    return event


def test_paths_are_turned_round() -> None:
    assert _with_tail(b"bash\0bin\0usr\0", b"", 0).executable == "/usr/bin/bash"
    assert _with_tail(b"\0", b"", 0).executable == "/"
    assert _with_tail(b"", b"", 0).executable == ""


def test_a_cut_path_does_not_look_like_a_whole_one() -> None:
    event = _with_tail(b"bash\0bin\0", b"", wire.EXECUTABLE_CUT)
    assert event.executable == "…/bin/bash"
    assert event.cut == ("executable",)


def test_a_file_without_a_path_keeps_its_name() -> None:
    assert _with_tail(b"memfd:evil\0", b"", wire.EXECUTABLE_PSEUDO).executable == "memfd:evil"


def test_empty_arguments_stay_arguments() -> None:
    assert _with_tail(b"", b"a\0\0b\0\0", 0).args == ("a", "", "b", "")
    assert _with_tail(b"", b"\0", 0).args == ("",)
    assert _with_tail(b"", b"", 0).args == ()


def test_a_cut_argument_list_ends_with_what_there_is() -> None:
    event = _with_tail(b"", b"a\0bcd", wire.ARGS_CUT)
    assert event.args == ("a", "bcd")
    assert event.cut == ("args",)


def test_arguments_that_could_not_be_read_are_said_to_be_cut() -> None:
    assert _with_tail(b"", b"", wire.ARGS_FAULT).cut == ("args",)


def test_bytes_that_are_no_utf8_become_replacement_characters() -> None:
    event = _with_tail(b"\xff\0tmp\0", b"\xe2\x82\0caf\xc3\xa9\0", 0)
    assert event.executable == "/tmp/\ufffd"
    assert event.args == ("\ufffd", "café")


def test_bytes_that_are_no_utf8_are_counted() -> None:
    record = encode(_with_tail(b"", b"", 0)._replace(args=("first", "XX", "last"), cut=()))
    counters = Counters()
    (event,) = decode_batch([record.replace(b"XX", b"\xff\xe2")], counters)
    assert isinstance(event, Exec)
    assert event.args == ("first", "\ufffd\ufffd", "last")
    assert (counters.not_utf8, counters.bad_records) == (2, {})


def test_a_comm_ends_at_its_nul() -> None:
    at = wire.LAYOUT["exec"]["task"][0] + wire.LAYOUT["task"]["comm"][0]
    raw = bytearray(_exec())
    raw[at : at + 16] = b"sh\0left over....."[:16]
    event = decode(bytes(raw))
    assert isinstance(event, Exec)
    assert event.task.comm == "sh"


def test_a_synthetic_stream_is_the_same_bytes_each_time() -> None:
    def stream() -> list[bytes]:
        made = Synthetic()
        made.account(0, "root")
        init = made.running("/sbin/init", pid=1)
        made.running("kthreadd", pid=2, kernel_thread=True)
        made.snapshot_end()
        made.storm(init, 3)
        made.loss({wire.FORK: 2})
        made.clock(5)
        assert decode_batch(made.records, Counters()) == made.events
        return made.records

    assert stream() == stream()
