"""Records to values: the inverse of encode, and nothing a byte could say breaks it."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import wire
from pipeline.counters import Counters
from pipeline.events import (
    Account,
    Clock,
    CommandLine,
    Event,
    Exec,
    Exit,
    File,
    Fork,
    HostFacts,
    Loss,
    Running,
    SnapshotEnd,
    Stamp,
    Task,
    ThreadEnd,
    ThreadStart,
)
from pipeline.sources.decode import BadRecord, decode, decode_batch
from pipeline.sources.encode import encode
from pipeline.sources.synthetic import Synthetic

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
cut = st.sets(st.sampled_from(("filename", "groups"))).map(
    lambda names: tuple(
        each for each in ("args", "filename", "executable", "working_directory", "groups") if each in names
    )
)
groups = st.lists(u32, max_size=32).map(tuple)
args = st.lists(text, max_size=6).map(tuple)


def stamps(kind: int) -> st.SearchStrategy[Stamp]:
    return st.builds(Stamp, u64, u32, u64, st.just(kind))


tasks = st.builds(
    Task,
    *(u32, u32, u64, u64, u32, u32, u64),
    *(u32, u32, u32, u32, u32, u32, u32, u32),
    *(u64, u64, u64),
    *(u32, u32, u32, u32, u32, u32, u32, u32),
    *(u32, u32),
    *(u64, u64, u64, u64, u64),
    comm,
)
files = st.builds(File, u64, u32, st.integers(0, 0o1777), u32, i64, i64, st.just(()))
image: dict[str, st.SearchStrategy[Any]] = {
    "task": tasks,
    "executable": st.one_of(path, name.map("memfd:{}".format)),
    "working_directory": path,
    "groups": groups,
    "file": files,
    "sockets": st.integers(0, 7),
    "cut": cut,
}
EVENTS: dict[type, st.SearchStrategy[Event]] = {
    Fork: st.builds(Fork, stamps(wire.FORK), tasks, u32, u32, u64, st.booleans()),
    Exec: st.builds(
        Exec, stamp=stamps(wire.EXEC), old_tid=u32, filename=text, args=args, args_total_bytes=u64, **image
    ),
    Exit: st.builds(Exit, stamps(wire.EXIT), tasks, u32, st.booleans()),
    ThreadStart: st.builds(ThreadStart, stamps(wire.THREAD_START), u32, u32, u64, u64, u32, u32, comm),
    ThreadEnd: st.builds(ThreadEnd, stamps(wire.THREAD_END), u32, u32, u64, u64, u32, comm),
    Running: st.builds(
        Running,
        stamp=stamps(wire.RUNNING),
        kernel_thread=st.booleans(),
        zombie=st.booleans(),
        parent_is_reaper=st.booleans(),
        **image,
    ),
    CommandLine: st.builds(CommandLine, stamps(wire.COMMAND_LINE), u32, u64, args, u64, st.just(False)),
    HostFacts: st.builds(
        HostFacts, stamps(wire.HOST), st.binary(min_size=16, max_size=16), i64, u64, st.dictionaries(text, text)
    ),
    Account: st.builds(Account, stamps(wire.ACCOUNT), st.booleans(), u32, text),
    Clock: st.builds(Clock, stamps(wire.CLOCK), i64),
    Loss: st.builds(
        Loss, stamps(wire.LOSS), u64, st.dictionaries(st.integers(0, wire.LOSS_KINDS - 1), st.integers(1, 2**64 - 1))
    ),
    SnapshotEnd: st.builds(SnapshotEnd, stamps(wire.SNAPSHOT_END)),
}
events = st.one_of(*EVENTS.values())


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


def test_facts_that_are_no_object_are_a_bad_record() -> None:
    event = HostFacts(Stamp(0, 0, 0, wire.HOST), bytes(16), 0, 0, {})
    raw = encode(event)
    for tail in (b"{]", b"[]"):
        with pytest.raises(BadRecord, match="facts"):
            decode(raw[:-2] + tail)


def _with_tail(executable: bytes, args: bytes, flags: int) -> Exec:
    fixed = bytearray(_exec(flags=struct.pack("<I", flags))[:SIZE])
    for member, tail, offset in (("executable", executable, SIZE), ("args", args, SIZE + len(executable))):
        at = wire.LAYOUT["exec"][member][0]
        fixed[at : at + 8] = _span(offset, len(tail)) if tail else bytes(8)
    for member in ("filename", "working_directory", "groups"):
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
