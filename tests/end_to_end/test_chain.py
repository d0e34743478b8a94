"""The whole way, as a user goes it: a real chain on the real kernel, found in a real Elasticsearch.

``nginx`` (a copy of bash under that name, as user www-data) starts ``bash``, which starts ``curl`` and ``python3``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from elasticsearch import ApiError, Elasticsearch

from tests.end_to_end.agent import DEADLINE_S, Agent

pytestmark = [pytest.mark.kernel, pytest.mark.elasticsearch]

USER = "www-data"
CURL = ["curl", "-s", "http://127.0.0.1:9/stage2.sh", "-o", "/dev/null"]
PYTHON = ["python3", "-c", "raise SystemExit(3)"]
CURL_CODE, PYTHON_CODE, BASH_CODE, NGINX_CODE = 7, 3, 5, 11  # 7: curl could not connect
INSIDE = f"{' '.join(CURL)}; python3 -c 'raise SystemExit(3)'; exit {BASH_CODE}"
OUTSIDE = f'bash -c "{INSIDE}"; exit {NGINX_CODE}'

WHOLE = {(name, action) for name in ("nginx", "bash", "curl", "python3") for action in ("exec", "end")}

Source = dict[str, Any]


class Chain(NamedTuple):
    """What the kernel and Elasticsearch said of one run."""

    folder: Path
    nginx_pid: int
    agent_status: dict[str, str]
    agent_code: int
    summary: str
    documents: list[Source]  # of nginx and all below it, in the order of event.sequence

    def of(self, name: str, action: str = "exec") -> Source:
        (found,) = (d for d in self.documents if (d["process"]["name"], d["event"]["action"]) == (name, action))
        return found


@pytest.fixture(scope="module")
def chain(elasticsearch_url: str) -> Iterator[Chain]:
    namespace = f"t{uuid4().hex[:16]}"
    folder = Path(tempfile.mkdtemp(prefix="lineage-"))
    try:
        folder.chmod(0o755)
        shutil.copy("/bin/bash", folder / "nginx")
        with Agent(
            "run", state=folder / "state", ELASTICSEARCH_URL=elasticsearch_url, LINEAGE_NAMESPACE=namespace
        ) as agent:
            agent.wait_until_ready()
            status = agent.status()
            nginx = subprocess.Popen(
                [folder / "nginx", "-c", OUTSIDE],
                cwd=folder,
                user=USER,
                group=USER,
                extra_groups=[],
                env={"PATH": "/usr/bin:/bin"},
            )
            assert nginx.wait(DEADLINE_S) == NGINX_CODE
            documents = _wait_for_documents(elasticsearch_url, namespace, nginx.pid)
            code = agent.end()
            yield Chain(folder, nginx.pid, status, code, "".join(agent.err), documents)
    finally:
        shutil.rmtree(folder)


def _search(client: Elasticsearch, index: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    """In the order of event.sequence; nothing while the data stream is being made."""
    try:
        answer = client.search(index=index, query=query, size=100, sort="event.sequence", ignore_unavailable=True)
    except ApiError as error:
        if error.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
            raise
        return []
    hits: list[dict[str, Any]] = answer["hits"]["hits"]
    return hits


def _wait_for_documents(url: str, namespace: str, nginx_pid: int) -> list[Source]:
    """Until the exec and the end of each can be searched: bulk requests overtake each other."""
    wanted = {
        "bool": {"should": [{"term": {"process.pid": nginx_pid}}, {"term": {"lineage.ancestors.pid": nginx_pid}}]}
    }
    deadline = time.monotonic() + DEADLINE_S
    with Elasticsearch(url) as client:
        while time.monotonic() < deadline:
            hits = _search(client, f"logs-lineage.process-{namespace}", wanted)
            found = [hit["_source"] for hit in hits]
            seen = [(source["process"]["name"], source["event"]["action"]) for source in found]
            if WHOLE.issubset(seen):
                assert not [hit["_ignored"] for hit in hits if "_ignored" in hit]
                return found
            time.sleep(0.2)
    raise AssertionError(f"Elasticsearch has only {seen}")


def _my_ancestors() -> list[int]:
    """This test's own process and all above it, from /proc."""
    pids = [os.getpid()]
    while pids[-1] != 1:
        stat = Path(f"/proc/{pids[-1]}/stat").read_text()
        pids.append(int(stat.rpartition(")")[2].split()[1]))
    return pids


@pytest.mark.parametrize(
    ("name", "lineage"), [("bash", "nginx → bash"), ("curl", "bash → curl"), ("python3", "bash → python3")]
)
def test_each_exec_has_its_lineage(name: str, lineage: str, chain: Chain) -> None:
    assert chain.of(name)["process"]["lineage"] == lineage


def test_the_chain_begins_at_pid_1_and_leaves_nobody_out(chain: Chain) -> None:
    curl = chain.of("curl")
    names = curl["lineage"]["chain"].split(" → ")
    above = _my_ancestors()
    assert names[-3:] == ["nginx", "bash", "curl"]
    assert curl["lineage"]["ancestors"]["pid"] == [chain.of("bash")["process"]["pid"], chain.nginx_pid, *above]
    assert len(names) == len(above) + 3
    assert curl["lineage"]["depth"] == len(above) + 2
    assert curl["lineage"]["complete"] is True


def test_arguments_executable_and_directory_are_those_of_the_exec(chain: Chain) -> None:
    curl, python, nginx = (chain.of(name)["process"] for name in ("curl", "python3", "nginx"))
    assert curl["args"] == CURL
    assert curl["args_count"] == len(CURL)
    assert curl["executable"] == os.path.realpath("/usr/bin/curl")
    assert python["args"] == PYTHON
    assert python["executable"] == os.path.realpath("/usr/bin/python3")
    assert nginx["args"] == [str(chain.folder / "nginx"), "-c", OUTSIDE]
    assert nginx["executable"] == str(chain.folder / "nginx")
    for process in (curl, python, nginx):
        assert process["working_directory"] == str(chain.folder)


def test_the_user_is_the_one_that_ran_it(chain: Chain) -> None:
    account = pwd.getpwnam(USER)
    for name in ("nginx", "bash", "curl", "python3"):
        document = chain.of(name)
        assert document["user"]["name"] == USER
        assert document["user"]["id"] == str(account.pw_uid)


@pytest.mark.parametrize("name", ["curl", "python3", "bash"])
def test_one_process_keeps_its_entity_id_from_fork_to_end(name: str, chain: Chain) -> None:
    pid = chain.of(name)["process"]["pid"]
    life = [document for document in chain.documents if document["process"]["pid"] == pid]
    assert [document["event"]["action"] for document in life] == ["fork", "exec", "end"]
    assert len({document["process"]["entity_id"] for document in life}) == 1


def test_entity_ids_join_parent_and_child(chain: Chain) -> None:
    for child, parent in (("curl", "bash"), ("python3", "bash"), ("bash", "nginx")):
        assert chain.of(child)["process"]["parent"]["entity_id"] == chain.of(parent)["process"]["entity_id"]
        assert chain.of(child)["process"]["parent"]["pid"] == chain.of(parent)["process"]["pid"]
        assert chain.of(child)["process"]["parent"]["name"] == parent


@pytest.mark.parametrize(
    ("name", "code"), [("curl", CURL_CODE), ("python3", PYTHON_CODE), ("bash", BASH_CODE), ("nginx", NGINX_CODE)]
)
def test_the_exit_code_is_the_one_it_ended_with(name: str, code: int, chain: Chain) -> None:
    assert chain.of(name, "end")["process"]["exit_code"] == code


def test_the_agent_has_no_privilege(chain: Chain) -> None:
    assert "0" not in chain.agent_status["Uid"].split()
    assert "0" not in chain.agent_status["Gid"].split()
    assert chain.agent_status["Groups"] == ""
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(chain.agent_status[name], 16) == 0, name
    assert chain.agent_status["NoNewPrivs"] == "1"


def test_nothing_was_lost_and_the_end_is_clean(chain: Chain) -> None:
    assert chain.agent_code == 0, chain.summary
    assert ", 0 lost, 0 retried, " in chain.summary
