from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import wire
from pipeline.counters import Counters
from pipeline.enrich.ecs import ARGUMENTS_KEPT_MAX
from pipeline.enrich.text import TERM_MAX_BYTES, cut
from pipeline.events import Account, ProcessEvent, Session, SnapshotEnd, Stamp, ThreadEnd
from pipeline.process import Image, ProcessVersion
from tests.enrich.examples import (
    BASH,
    CONFINED,
    CONTAINER_NS,
    CURL,
    FIRST,
    GONE,
    IN_CONTAINER,
    INIT,
    INTERACTIVE,
    KERNEL_THREAD,
    LOADER,
    ORPHAN,
    OWN_LEADER,
    PID_NS,
    PTS_0,
    SCRIPT,
    SECOND_NS,
    SERVER,
    SHELL,
    WWW,
    ancestor,
    describer,
    ended,
    every_document,
    executed,
    forked,
    identity,
    process,
    told,
)

KINDS = (
    process(),
    process(image=BASH),
    process(image=SCRIPT),
    INTERACTIVE,
    IN_CONTAINER,
    ORPHAN,
    OWN_LEADER,
    KERNEL_THREAD,
    FIRST,
    GONE,
)


def test_fork_exec_and_end_say_what_session_view_looks_for() -> None:
    of = process()
    found = {
        event["action"]: (event["kind"], event["category"], event["type"])
        for event in (told(make(of), of)["event"] for make in (forked, executed, ended))
    }
    assert found == {
        "fork": ("event", ["process"], ["start"]),
        "exec": ("event", ["process"], ["start"]),
        "end": ("event", ["process"], ["end"]),
    }


def test_a_process_the_snapshot_found_is_a_state() -> None:
    event = every_document()["running"]["event"]
    assert (event["kind"], event["type"], event["action"]) == ("state", ["info"], "snapshot")


def test_a_thread_and_the_end_of_the_snapshot_make_no_document() -> None:
    of = process()
    by = describer()
    stamp = Stamp(5, 0, 0, wire.THREAD_END)
    assert by.describe(ThreadEnd(stamp, of.pid, 9999, of.start_ns, 5, 9999, "x"), of) is None
    assert by.describe(SnapshotEnd(stamp), of) is None


@pytest.mark.parametrize(
    ("status", "core", "code", "signal", "sentence"),
    [
        (0, False, 0, None, "ended with exit code 0"),
        (3 << 8, False, 3, None, "ended with exit code 3"),
        (255 << 8, False, 255, None, "ended with exit code 255"),
        (9, False, 137, 9, "was killed by SIGKILL"),
        (11 | 0x80, True, 139, 11, "was killed by SIGSEGV, core dumped"),
        (34, False, 162, 34, "was killed by signal 34"),
    ],
)
def test_an_end_says_how(status: int, core: bool, code: int, signal: int | None, sentence: str) -> None:
    of = process()
    document = told(ended(of, status, core_dumped=core), of)
    assert document["process"]["exit_code"] == code
    how = {key: value for key, value in document["lineage"]["exit"].items() if key in ("signal", "core")}
    assert how == ({"core": core} if signal is None else {"signal": signal, "core": core})
    assert document["message"] == f"curl (pid 9012) {sentence}"


def test_an_end_carries_the_whole_life() -> None:
    of = process()
    document = told(ended(of), of)
    assert document["event"]["start"] == document["process"]["start"] == "2026-01-01T02:46:40.123456789Z"
    assert document["event"]["end"] == document["process"]["end"] == document["@timestamp"]
    assert document["event"]["duration"] == 2_000_000_000
    assert document["event"]["sequence"] == of.start_ns + 2_000_000_000


def test_an_end_says_what_the_process_took_where_that_was_told() -> None:
    of = process()
    event = ended(of)
    took = {"core": False, "cpu_ns": 1_234_567, "memory_peak_bytes": 3 << 20}
    assert told(event, of)["lineage"]["exit"] == took
    assert told(event._replace(cpu_ns=0, memory_peak_bytes=0), of)["lineage"]["exit"] == {"core": False}


def test_a_process_found_gone_has_an_end_that_claims_no_more_than_is_known() -> None:
    document = every_document()["gone"]
    assert (document["event"]["kind"], document["event"]["type"], document["event"]["action"]) == (
        "event",
        ["end"],
        "end",
    )
    found = "2026-01-01T05:33:20.000000000Z"
    assert document["@timestamp"] == document["event"]["end"] == document["process"]["end"] == found
    assert document["event"]["start"] == document["process"]["start"]
    assert "duration" not in document["event"]
    assert "exit_code" not in document["process"]
    assert "exit" not in document["lineage"]
    assert document["lineage"]["doubt"] == ["cut", "loss"]
    assert document["message"] == "3 (pid 9300) had ended unseen when all that runs was looked at again"


def test_a_process_found_gone_is_the_same_document_each_time_and_no_other_end() -> None:
    by = describer()
    first = by.describe_gone(GONE)
    assert by.describe_gone(GONE) == first == describer().describe_gone(GONE)
    end = by.describe(ended(GONE)._replace(stamp=Stamp(20_000 * SECOND_NS, 0, 0, wire.EXIT)), GONE)
    assert end is not None
    assert end.id != first.id
    doubtful = GONE._replace(doubt=("loss",))
    assert orjson.loads(by.describe_gone(doubtful).body)["lineage"]["doubt"] == ["loss"]


def test_what_begins_to_hold_with_an_image_is_told_at_exec_and_in_the_snapshot_alone() -> None:
    by, of = describer(), process(image=SCRIPT, credentials=CONFINED)
    for document in (told(executed(of), of, by), orjson.loads(by.describe_running(of).body)):
        assert document["process"]["env_vars"][0] == "LD_PRELOAD=/tmp/x.so"
        assert document["process"]["thread"]["capabilities"] == {"permitted": [], "effective": []}
        assert document["lineage"]["executable"]["inode"] == "99"
        assert document["lineage"]["script"] == {
            "path": "/opt/deploy",
            "interpreter": "/usr/bin/python3",
            "inode": "77",
            "device": "253:3",
            "mode": "0755",
            "links": 1,
            "modified": "1970-01-01T00:00:00.000000003Z",
            "changed": "1970-01-01T00:00:00.000000004Z",
            "traits": ["upper_layer"],
        }
        assert document["lineage"]["loader"] == {
            "path": "/tmp/.x/ld.so",
            "inode": "78",
            "device": "253:3",
            "mode": "0755",
            "links": 0,
            "modified": "1970-01-01T00:00:00.000000005Z",
            "changed": "1970-01-01T00:00:00.000000006Z",
            "traits": ["deleted", "upper_layer"],
        }
        assert document["lineage"]["capabilities"]["ambient"] == ["CAP_NET_BIND_SERVICE"]
    for event in (forked(of), ended(of)):
        document = told(event, of, by)
        assert "env_vars" not in document["process"]
        assert "capabilities" not in document["process"]["thread"]
        assert not {"executable", "script", "loader", "capabilities", "securebits"} & document["lineage"].keys()


def test_a_parents_environment_and_file_are_not_those_of_its_child() -> None:
    of = process(ancestors=(ancestor(700, SCRIPT), INIT))
    document = told(executed(of), of)
    assert "env_vars" not in document["process"]["parent"]
    assert document["lineage"]["executable"]["inode"] == "1234567"
    assert document["lineage"]["loader"]["inode"] == "4321"
    for names in (("environment",), ("loader",), ("environment", "loader")):
        cut = process(ancestors=(ancestor(700, SCRIPT._replace(cut=names)), INIT))
        assert "doubt" not in told(executed(cut), cut)["lineage"]


def test_an_environment_that_is_not_whole_is_flagged() -> None:
    of = process(image=SCRIPT._replace(cut=("environment",)))
    assert told(executed(of), of)["lineage"]["doubt"] == ["cut"]
    of = process(image=SCRIPT._replace(environment=("BASH_ENV=" + "x" * 40_000,)))
    document = told(executed(of), of)
    assert document["lineage"]["doubt"] == ["cut"]
    assert len(document["process"]["env_vars"][0]) == TERM_MAX_BYTES


def test_a_loader_that_is_not_whole_or_was_not_found_is_flagged() -> None:
    for image in (CURL._replace(cut=("loader",)), CURL._replace(cut=("environment", "loader"), loader=None)):
        of = process(image=image)
        assert told(executed(of), of)["lineage"]["doubt"] == ["cut"]
    of = process(image=CURL._replace(loader=LOADER._replace(path="/" + "x" * 40_000)))
    document = told(executed(of), of)
    assert document["lineage"]["doubt"] == ["cut"]
    assert len(document["lineage"]["loader"]["path"]) == TERM_MAX_BYTES


def test_a_static_program_has_no_loader() -> None:
    of = process(image=CURL._replace(loader=None))
    assert "loader" not in told(executed(of), of)["lineage"]


def test_capability_sets_and_securebits_are_told_where_they_are_not_the_usual_ones() -> None:
    of = process(credentials=CONFINED)
    lineage = told(executed(of), of)["lineage"]
    assert lineage["capabilities"]["inheritable"] == lineage["capabilities"]["ambient"] == ["CAP_NET_BIND_SERVICE"]
    assert len(lineage["capabilities"]["bounding"]) == 14
    assert lineage["securebits"] == [
        "SECBIT_NOROOT",
        "SECBIT_NOROOT_LOCKED",
        "SECBIT_NO_SETUID_FIXUP",
        "SECBIT_NO_SETUID_FIXUP_LOCKED",
        "SECBIT_KEEP_CAPS_LOCKED",
    ]
    usual = told(executed(process()), process())["lineage"]
    assert not {"capabilities", "securebits"} & usual.keys()


def test_a_bounding_set_of_nothing_is_said_and_one_of_more_than_we_know_is_the_usual_one() -> None:
    of = process(credentials=WWW._replace(cap_bounding=0))
    assert told(executed(of), of)["lineage"]["capabilities"] == {"bounding": []}
    of = process(credentials=WWW._replace(cap_bounding=(1 << 64) - 1))
    assert "capabilities" not in told(executed(of), of)["lineage"]


def test_a_bounding_set_is_usual_that_pid_1_of_the_host_has() -> None:
    by, ours = describer(), WWW.cap_bounding & ~(1 << 24)
    facts = by.tables.host
    by.learn(facts._replace(facts=facts.facts | {"init": {"cap_bounding": ours}}))
    usual, less = (process(credentials=WWW._replace(cap_bounding=ours & ~mask)) for mask in (0, 1))
    assert "capabilities" not in told(executed(usual), usual, by)["lineage"]
    assert len(told(executed(less), less, by)["lineage"]["capabilities"]["bounding"]) == 39


def test_the_innermost_pid_namespace_is_named_beside_the_hosts() -> None:
    documents = every_document()
    assert documents["container"]["lineage"]["pid_ns_ino"] == str(CONTAINER_NS)
    assert documents["container"]["host"]["pid_ns_ino"] == documents["exec"]["lineage"]["pid_ns_ino"] == str(PID_NS)
    of = process(pid_ns=0)
    assert "pid_ns_ino" not in told(executed(of), of)["lineage"]


def test_a_filtered_process_has_no_document_and_is_counted() -> None:
    counters = Counters()
    by, of = describer(counters), process(filtered=True)
    assert [by.describe(event, of) for event in (forked(of), executed(of), ended(of))] == [None, None, None]
    assert counters.filtered == 3
    assert by.describe(ThreadEnd(Stamp(5, 0, 0, wire.THREAD_END), of.pid, 9999, of.start_ns, 5, 9999, "x"), of) is None
    assert counters.filtered == 3
    documents = list(by.describe_snapshot([of, process()], [GONE._replace(filtered=True), GONE]))
    assert [orjson.loads(document.body)["event"]["action"] for document in documents] == ["snapshot", "end"]
    assert counters.filtered == 5


def test_a_filtered_parent_is_still_in_its_childs_lineage() -> None:
    by = describer()
    parent, child = process(SHELL.pid, BASH, start_ns=SHELL.start_ns, filtered=True), process()
    assert by.describe(forked(parent), parent) is None
    assert told(executed(child), child, by)["lineage"]["chain"] == "systemd → nginx → bash → curl"


def test_users_inside_a_container_have_ids_without_the_hosts_names() -> None:
    document = every_document()["container"]
    assert document["process"]["user"] == document["user"] == {"id": "0"}
    assert document["process"]["supplemental_groups"] == [{"id": "27"}, {"id": "1000"}]
    assert document["process"]["parent"]["user"] == {"id": "33"}
    assert document["process"]["session_leader"]["user"] == {"id": "33", "name": "www-data"}
    assert document["related"]["user"] == ["0", "1000"]
    assert (document["process"]["pid"], document["process"]["vpid"]) == (9100, 12)


def test_an_ancestor_whose_namespace_nobody_told_is_judged_by_its_pids() -> None:
    outside, inside = SHELL._replace(pid_ns=0), SHELL._replace(pid_ns=0, ns_pid=3)
    assert told(executed(process(ancestors=(outside,))), process(ancestors=(outside,)))["process"]["parent"][
        "user"
    ] == {
        "id": "33",
        "name": "www-data",
    }
    assert told(executed(process(ancestors=(inside,))), process(ancestors=(inside,)))["process"]["parent"]["user"] == {
        "id": "33"
    }


def test_effective_real_and_saved_users_are_told_apart() -> None:
    found = every_document()["interactive"]["process"]
    assert found["user"] == {"id": "0", "name": "root"}
    assert found["real_user"] == {"id": "1000", "name": "alice"}
    assert found["saved_user"] == {"id": "0", "name": "root"}
    assert found["thread"]["capabilities"]["effective"] == ["CAP_SETGID", "CAP_SETUID"]
    assert len(found["thread"]["capabilities"]["permitted"]) == 41
    assert found["tty"] == {"char_device": {"major": 136, "minor": 3}}


def test_a_leader_that_is_the_process_itself_says_so() -> None:
    found = every_document()["own_leader"]["process"]
    assert found["group_leader"]["same_as_process"] is True
    assert found["session_leader"]["same_as_process"] is True
    assert found["entry_leader"]["same_as_process"] is True
    assert found["entry_leader"]["entry_meta"] == {"type": "terminal"}
    assert every_document()["exec"]["process"]["group_leader"]["same_as_process"] is False


def test_a_child_in_the_group_of_its_sibling_is_not_its_own_leader() -> None:
    leader = ancestor(600, BASH)
    first = process(600, start_ns=leader.start_ns, ancestors=(SERVER,), group_leader=leader)
    second = process(601, ancestors=(SERVER,), group_leader=leader)
    by = describer()
    assert told(executed(first), first, by)["process"]["group_leader"]["same_as_process"] is True
    assert told(executed(second), second, by)["process"]["group_leader"]["same_as_process"] is False


def test_a_leader_has_the_parent_that_is_seen_among_the_ancestors() -> None:
    found = every_document()["exec"]["process"]["entry_leader"]
    assert found["pid"] == 1234
    assert found["parent"]["pid"] == 1
    assert found["parent"]["session_leader"]["pid"] == 1
    assert found["entry_meta"] == {"type": "init"}


def test_a_leader_that_is_gone_is_still_a_number() -> None:
    of = process(group_leader=None, session_leader=None, session=Session(0, SERVER.pid, SHELL.pid, 0, SHELL.start_ns))
    found = told(executed(of), of)["process"]
    assert found["group_leader"]["entity_id"] == identity(SHELL.pid, SHELL.start_ns)
    assert found["session_leader"] == {"pid": 1234, "same_as_process": False}


def test_the_reaper_is_named_beside_the_birth_parent() -> None:
    found = every_document()["interactive"]
    assert found["process"]["parent"]["pid"] == SHELL.pid
    assert found["lineage"]["reaper"] == {"entity_id": identity(1, 10**9), "pid": 1, "name": "systemd"}


def test_standard_streams_that_are_sockets_are_named() -> None:
    assert every_document()["interactive"]["lineage"]["sockets"] == ["stdin", "stdout", "stderr"]
    of = process(sockets=0b010)
    assert told(executed(of), of)["lineage"]["sockets"] == ["stdout"]


def test_arguments_stand_as_they_are_and_the_command_line_joins_them() -> None:
    of = process(image=Image("sh", "/bin/sh", ("sh", "-c", "echo  'a b'", "", '\x00\x1b[31m\u2028"')))
    found = told(executed(of), of)["process"]
    assert found["args"] == ["sh", "-c", "echo  'a b'", "", '\x00\x1b[31m\u2028"']
    assert found["args_count"] == 5
    assert found["command_line"] == " ".join(found["args"])


def test_a_long_command_line_is_shortened_for_people_alone() -> None:
    of = process(image=Image("echo", "/bin/echo", ("echo", "x" * 1000)))
    document = told(executed(of), of)
    assert document["message"].endswith("executed: echo " + "x" * 251 + "…")
    assert document["process"]["command_line"] == "echo " + "x" * 1000


def test_a_string_too_long_for_a_term_is_cut_on_a_character_flagged_and_counted() -> None:
    counters = Counters()
    of = process(image=Image("echo", "/bin/echo", ("echo", "é" * 20_000)))
    document = told(executed(of), of, describer(counters))
    assert document["process"]["args"][1] == "é" * (TERM_MAX_BYTES // 2)
    assert len(document["process"]["command_line"].encode()) == TERM_MAX_BYTES - 1
    assert document["lineage"]["doubt"] == ["cut"]
    assert counters.strings_cut == 2


def test_what_the_kernel_cut_is_flagged_also_in_the_documents_of_children() -> None:
    shell = SHELL._replace(image=BASH._replace(cut=("args",)))
    of = process(ancestors=(shell, SERVER), doubt=("loss",))
    assert told(executed(of), of)["lineage"]["doubt"] == ["loss", "cut"]
    of = process(image=CURL._replace(cut=("args",)), doubt=("cut", "loss"))
    assert told(executed(of), of)["lineage"]["doubt"] == ["cut", "loss"]


@given(st.text())
def test_a_cut_string_fits_and_is_a_beginning(text: str) -> None:
    long = text * 5000
    assert len(cut(long).encode()) <= TERM_MAX_BYTES
    assert long.startswith(cut(long))
    assert cut(text) is text


def test_names_learnt_later_stand_in_later_documents() -> None:
    of = process()
    by = describer()
    told(executed(of), of, by)
    by.learn(Account(Stamp(3, 0, 0, wire.ACCOUNT), False, 33, "nginx"))
    document = told(executed(of), of, by)
    assert document["user"]["name"] == "nginx"
    assert document["process"]["parent"]["user"]["name"] == "nginx"
    assert document["process"]["entry_leader"]["user"]["name"] == "nginx"


def test_ancestors_learnt_later_stand_in_later_documents() -> None:
    by = describer()
    early = process(ancestors=(SHELL, ancestor(40, BASH)), depth=3)
    told(executed(early), early, by)
    late = early._replace(ancestors=(SHELL, SERVER))
    assert told(executed(late), late, by)["lineage"]["chain"] == "… → nginx → bash → curl"
    assert told(executed(late), late, by)["process"]["session_leader"]["pid"] == 1234


KIND = st.sampled_from(KINDS)
EVENT = st.sampled_from((forked, executed, ended))
TTY = st.sampled_from((0, PTS_0, PTS_0 | 1))


@settings(max_examples=50)
@given(st.lists(st.tuples(KIND, EVENT, TTY, st.booleans()), max_size=12))
def test_what_was_described_before_changes_no_byte(
    steps: list[tuple[ProcessVersion, object, int, bool]],
) -> None:
    warm = describer()
    for of, make, tty, complete in steps:
        changed = of._replace(session=of.session._replace(tty=tty), complete=complete)
        event: ProcessEvent = make(changed)  # type: ignore[operator]
        assert warm.describe(event, changed) == describer().describe(event, changed)
        assert warm.describe_running(changed) == describer().describe_running(changed)


def test_bodies_are_one_line_of_valid_json() -> None:
    by = describer()
    for of in KINDS:
        for event in (forked(of), executed(of), ended(of)):
            document = by.describe(event, of)
            assert document is not None
            assert orjson.loads(document.body)["event"]["id"] == document.id
            assert b"\n" not in document.body


def test_what_has_very_many_arguments_is_not_kept() -> None:
    by = describer()
    many = process(image=CURL._replace(args=("curl",) * (ARGUMENTS_KEPT_MAX + 1)))
    assert told(executed(many), many, by)["process"]["args_count"] == ARGUMENTS_KEPT_MAX + 1
    assert many.entity_id not in by._said
    usual = process(pid=9013)
    told(executed(usual), usual, by)
    assert usual.entity_id in by._said
