from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.query.forest import Node, fold_kernel_threads, grow, with_pid
from tests.elasticsearch.samples import process


def drawn(roots: list[Node]) -> list[str]:
    """Each node with its depth and its state, unless it lives."""
    return [
        f"{'.' * depth}{node.name}" + ("" if node.alive else f" {node.state}")
        for root in roots
        for depth, node in root.walk()
    ]


def test_children_hang_under_their_birth_parents_in_the_order_they_began() -> None:
    documents = [
        process("systemd", "nginx", "bash", "curl", seconds_ago=1.0),
        process("systemd", "nginx", "bash", seconds_ago=2.0),
        process("systemd", "sshd", seconds_ago=3.0),
        process("systemd", "nginx", seconds_ago=4.0),
        process("systemd", seconds_ago=9.0),
    ]
    random.Random(1).shuffle(documents)
    assert drawn(grow(documents)) == ["systemd", ".nginx", "..bash", "...curl", ".sshd"]


def test_an_end_document_makes_the_process_ended() -> None:
    roots = grow([process("systemd"), process("systemd", "nginx", action="end", exit_code=3)])
    assert drawn(roots) == ["systemd", ".nginx ended"]


def test_missing_parents_are_made_of_what_the_descendant_recorded() -> None:
    roots = grow([process("systemd", "nginx", "bash", "curl")])
    assert drawn(roots) == ["systemd recorded", ".nginx recorded", "..bash recorded", "...curl"]
    (root,) = roots
    assert [node.pid for _, node in root.walk()] == [1, 1001, 1002, 1003]
    assert root.children[0].process["executable"] == "/usr/bin/nginx"
    assert root.host == "web1"


def test_recorded_ancestors_end_at_the_first_one_that_has_a_document() -> None:
    documents = [
        process("systemd"),
        process("systemd", "nginx", "bash", "curl"),
        process("systemd", "nginx", "bash", "id"),
    ]
    assert drawn(grow(documents)) == ["systemd", ".nginx recorded", "..bash recorded", "...curl", "...id"]


def test_a_gap_in_the_ancestors_makes_a_root() -> None:
    document = process("x", "bash", "curl")
    document["lineage"]["ancestors"]["entity_id"] = [document["process"]["parent"]["entity_id"], "unknown"]
    assert drawn(grow([document])) == ["bash recorded", ".curl"]


def test_a_process_without_ancestors_falls_back_on_its_parent_block() -> None:
    document = process("nginx", "bash")
    del document["lineage"]["ancestors"]
    assert drawn(grow([document])) == ["nginx recorded", ".bash"]


def test_one_ancestor_may_come_without_brackets() -> None:
    document = process("nginx", "bash")
    document["lineage"]["ancestors"] = {
        "name": "nginx",
        "entity_id": document["process"]["parent"]["entity_id"],
        "pid": 7,
    }
    del document["process"]["parent"]
    (root,) = grow([document])
    assert (root.name, root.pid) == ("nginx", 7)


def circle(names: str) -> list[dict[str, Any]]:
    """Documents that claim to descend from each other."""
    return [
        process(names[number - 1], name, ids=[names[number - 1], name], seconds_ago=100.0 - number)
        for number, name in enumerate(names)
    ]


def test_a_circle_is_cut_at_the_process_that_began_first() -> None:
    assert drawn(grow(circle("abc"))) == ["a", ".b", "..c"]
    assert drawn(grow(circle("a"))) == ["a"]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=30))
def test_whatever_documents_say_every_process_is_drawn_once(pairs: list[tuple[int, int]]) -> None:
    own = {child: parent for parent, child in pairs}
    documents = [process(str(parent), str(child), ids=[str(parent), str(child)]) for child, parent in own.items()]
    shown = [node.entity_id for root in grow(documents) for _, node in root.walk()]
    assert sorted(shown) == sorted({*map(str, own), *map(str, own.values())})


def test_a_deep_chain_needs_no_recursion() -> None:
    documents = [
        process(f"p{number}", f"p{number + 1}", ids=[f"p{number}", f"p{number + 1}"]) for number in range(5000)
    ]
    (root,) = grow(documents)
    assert max(depth for depth, _ in root.walk()) == 5000


def kernel() -> list[dict[str, Any]]:
    documents = [process("kthreadd", pid=2), process("kthreadd", "kworker/0:1"), process("kthreadd", "kworker/1:1")]
    for document in documents:
        del document["process"]["executable"]
    return documents


def test_of_kernel_threads_kthreadd_stays_and_the_number_of_the_others() -> None:
    documents = [*kernel(), process("systemd", "nginx"), process("systemd")]
    roots = fold_kernel_threads(grow(documents))
    assert sorted(drawn(roots)) == [".nginx", "kthreadd", "systemd"]
    assert {root.name: root.kernel_threads for root in roots} == {"kthreadd": 2, "systemd": 0}
    told_by_another = fold_kernel_threads(
        grow([documents[0], documents[1], process("kthreadd", "kworker/0:1", "sh")]), 7
    )
    assert [root.kernel_threads for root in told_by_another] == [6]  # one is drawn for the sake of its child


def test_a_program_the_kernel_started_stays() -> None:
    helper = process("kthreadd", "kworker/0:1", "core-dumper")
    assert drawn(fold_kernel_threads(grow([*kernel(), helper]))) == ["kthreadd", ".kworker/0:1", "..core-dumper"]


def test_a_pid_used_again_gives_the_newest_first() -> None:
    documents = [
        process("systemd", "old", pid=77, seconds_ago=50.0),
        process("systemd", "new", pid=77, seconds_ago=5.0),
        process("systemd", "between", pid=77, seconds_ago=20.0),
    ]
    assert [node.name for node in with_pid(grow(documents), 77)] == ["new", "between", "old"]


def test_a_node_says_what_it_is() -> None:
    (root,) = grow([process("systemd"), process("systemd", "nginx")])
    assert repr(root) == "<Node systemd 1 alive, 1 children>"
