import re

from hypothesis import given
from hypothesis import strategies as st

from pipeline.enrich.lineage import ARROW, NAMES_MAX, chain, escape, lineage
from pipeline.enrich.text import TERM_MAX_BYTES
from pipeline.events import Session
from pipeline.process import Image, ProcessVersion
from tests.enrich.examples import BASH, FIRST, INIT, KERNEL_THREAD, ORPHAN, ancestor, executed, process, told

NORMALIZER = re.compile(r"\s*(->|→|=>)\s*")


def named(*names: str) -> ProcessVersion:
    """A process below these, root first; the last is its own."""
    above = tuple(ancestor(1000 - depth, Image(name, f"/{depth}", (name,))) for depth, name in enumerate(names[:-1]))
    return process(image=Image(names[-1], "/x", (names[-1],)), ancestors=above[::-1])


def computed(document: dict[str, dict[str, object]]) -> str:
    """What the runtime field's script makes of a document."""
    of = document["process"]
    parent = of.get("parent", {})
    assert isinstance(parent, dict)
    return f"{parent.get('name', 'unknown')} → {of.get('name', 'unknown')}"


def test_lineage_is_parent_and_child() -> None:
    assert lineage(process()) == "bash → curl"
    assert lineage(KERNEL_THREAD) == "kthreadd → kworker/0:1"


def test_an_unknown_parent_is_called_unknown() -> None:
    assert lineage(ORPHAN) == "unknown → bash"
    assert chain(ORPHAN) == "unknown → bash"


def test_a_chain_begins_at_the_root_and_ends_with_the_process() -> None:
    assert chain(process()) == "systemd → nginx → bash → curl"


def test_the_first_process_is_a_chain_of_one() -> None:
    assert chain(FIRST) == "systemd"
    assert lineage(FIRST) == "unknown → systemd"


def test_a_chain_that_breaks_off_says_so() -> None:
    assert chain(process(complete=False)) == "unknown → systemd → nginx → bash → curl"


def test_a_chain_of_as_many_names_as_fit_is_whole() -> None:
    names = [f"n{i}" for i in range(NAMES_MAX)]
    assert chain(named(*names)) == ARROW.join(names)


def test_of_more_names_the_nearest_remain() -> None:
    names = [f"n{i}" for i in range(NAMES_MAX + 1)]
    assert chain(named(*names)) == ARROW.join(["…", *names[1:]])
    deep = named(*names)._replace(depth=90, complete=False)
    assert chain(deep) == ARROW.join(["…", *names[1:]])


def test_a_name_that_holds_an_arrow_forges_nothing() -> None:
    forged = named("systemd", "sh", "nginx → bash")
    assert chain(forged) == "systemd → sh → nginx \\u2192 bash"
    assert lineage(forged) == "sh → nginx \\u2192 bash"
    assert "nginx → bash" not in chain(named("sh", "nginx->bash"))


@given(st.lists(st.text(alphabet="ab →-=>\\u2192", max_size=12), min_size=2, max_size=6))
def test_no_name_can_add_a_link_before_or_after_the_normalizer(names: list[str]) -> None:
    of = named(*names)
    links = len(names) - 1
    assert len(chain(of).split(ARROW)) - 1 == links
    assert len(NORMALIZER.findall(chain(of))) == links
    assert len(NORMALIZER.findall(lineage(of))) == 1


@given(st.text(min_size=1).filter(lambda name: "→" not in name and ">" not in name))
def test_a_name_without_an_arrow_stands_as_it_is(name: str) -> None:
    assert escape(name) == name


@given(st.lists(st.from_regex(r"[\w.+/:\- ]{1,20}", fullmatch=True), min_size=1, max_size=3))
def test_the_indexed_lineage_is_what_the_runtime_field_computes(names: list[str]) -> None:
    of = named(*names)
    assert told(executed(of), of)["process"]["lineage"] == computed(told(executed(of), of))


def test_a_process_without_a_name_is_unknown_for_both() -> None:
    of = process(image=Image("", "", ()))
    document = told(executed(of), of)
    assert document["process"]["lineage"] == "bash → unknown" == computed(document)


def test_documents_carry_what_the_functions_give() -> None:
    for of in (process(), ORPHAN, FIRST, KERNEL_THREAD, named(*[f"n{i}" for i in range(40)]), named("a → b", "c=>d")):
        document = told(executed(of), of)
        assert document["process"]["lineage"] == lineage(of)
        assert document["lineage"]["chain"] == chain(of)


def test_a_chain_too_long_for_one_term_loses_its_root_not_its_end() -> None:
    of = named(*[f"{i}" + "é" * 1000 for i in range(30)], "curl")
    document = told(executed(of), of)
    found = document["lineage"]["chain"]
    assert found == chain(of)
    assert len(found.encode()) <= TERM_MAX_BYTES
    assert found.startswith("… → ")
    assert found.endswith(f"29{'é' * 1000} → curl")
    assert document["lineage"]["doubt"] == ["cut"]


def test_a_name_too_long_for_one_term_is_cut() -> None:
    of = named("x" * 40_000, "y" * 40_000)
    document = told(executed(of), of)
    assert document["process"]["lineage"] == "x" * TERM_MAX_BYTES
    assert document["lineage"]["chain"] == "… → " + "y" * (TERM_MAX_BYTES - len("… → ".encode()))
    assert document["process"]["name"] == "y" * TERM_MAX_BYTES


def test_ancestors_are_parallel_arrays_nearest_first() -> None:
    found = told(executed(process()), process())["lineage"]
    assert found["ancestors"]["name"] == ["bash", "nginx", "systemd"]
    assert found["ancestors"]["executable"] == ["/usr/bin/bash", "/usr/sbin/nginx", "/usr/lib/systemd/systemd"]
    assert found["ancestors"]["pid"] == [5678, 1234, 1]
    assert found["ancestors"]["entity_id"][2] == INIT.entity_id
    assert (found["depth"], found["complete"]) == (3, True)
    assert "doubt" not in found


def test_behind_the_last_known_ancestor_of_a_broken_chain_stands_unknown() -> None:
    of = process(complete=False)
    found = told(executed(of), of)["lineage"]["ancestors"]
    assert found["name"] == ["bash", "nginx", "systemd", "unknown"]
    assert found["pid"] == [5678, 1234, 1, 0]
    assert len(found["executable"]) == len(found["entity_id"]) == 4


def test_a_parent_that_is_only_named_is_told_by_its_number() -> None:
    nameless = ancestor(41, Image("", "", ()), since_ns=0, ns_pid=0, session=Session())
    of = ORPHAN._replace(named_parent=nameless)
    document = told(executed(of), of)
    start = document["process"]["parent"]["start"]
    assert document["process"]["parent"] == {"entity_id": nameless.entity_id, "pid": 41, "start": start}
    assert document["process"]["lineage"] == "unknown → bash" == computed(document)
    assert document["lineage"]["chain"] == "unknown → bash"
    assert document["lineage"]["ancestors"] == {
        "name": ["unknown"],
        "executable": ["unknown"],
        "entity_id": [nameless.entity_id],
        "pid": [41],
    }
    assert "child of unknown (pid 41)," in document["message"]


def test_a_session_leaders_parent_may_be_a_number_as_well() -> None:
    nameless = ancestor(41, Image("", "", ()), since_ns=0, ns_pid=0, session=Session())
    itself = ancestor(300, BASH, start_ns=ORPHAN.start_ns)
    of = ORPHAN._replace(named_parent=nameless, session_leader=itself, session=ORPHAN.session._replace(id=300))
    leader = told(executed(of), of)["process"]["session_leader"]
    assert leader["parent"].keys() == {"entity_id", "pid", "start"}
    assert leader["parent"]["pid"] == 41
