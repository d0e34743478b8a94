"""docker-compose.yml as a user runs it: what happens on this host is found in its Elasticsearch, by its lineage."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.stack.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]

FOUND_TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def chain(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The documents of nginx, bash and curl, started on the host one by the other in a folder of their own."""
    folder = tmp_path_factory.mktemp("chain")
    for name, program in (("nginx", "bash"), ("bash", "bash"), ("curl", "sleep")):
        found = shutil.which(program)
        assert found is not None
        shutil.copy(found, folder / name)
    deadline = time.monotonic() + FOUND_TIMEOUT_S
    while time.monotonic() < deadline:
        _run_chain(folder)  # again and again: the agent in its container may not be tracing yet
        documents = stack.search(
            {
                "size": 100,
                "sort": ["event.sequence"],
                "query": {
                    "bool": {
                        "filter": [
                            {"term": {"process.working_directory": str(folder)}},
                            {"term": {"event.action": "exec"}},
                        ]
                    }
                },
            }
        )
        if "curl" in {document["process"]["name"] for document in documents}:
            return documents
    pytest.fail(f"nothing of {folder} within {FOUND_TIMEOUT_S:.0f} s:\n{stack.compose('logs', '--no-color', 'agent')}")


def _run_chain(folder: Path) -> None:
    command = [str(folder / "nginx"), "-c", "bash -c 'curl 0.5; exit 0'; exit 0"]
    subprocess.run(command, cwd=folder, env={"PATH": str(folder)}, check=True)


def test_a_chain_on_the_host_is_found_by_its_lineage(stack: Stack, chain: list[dict[str, Any]]) -> None:
    folder = chain[0]["process"]["working_directory"]
    for lineage, name in (("nginx → bash", "bash"), ("bash → curl", "curl"), ("bash -> curl", "curl")):
        query = [{"term": {"process.lineage": lineage}}, {"term": {"process.working_directory": folder}}]
        hits = stack.search({"query": {"bool": {"filter": query}}})
        assert {hit["process"]["name"] for hit in hits} == {name}, lineage


def test_documents_name_the_host_and_not_the_container(chain: list[dict[str, Any]]) -> None:
    curl = next(document for document in chain if document["process"]["name"] == "curl")
    assert curl["host"]["name"] == platform.node().lower()
    assert curl["host"]["id"] == Path("/etc/machine-id").read_text().strip()
    assert curl["user"]["name"] == "root"
    assert curl["process"]["executable"] == f"{curl['process']['working_directory']}/curl"


def test_process_numbers_are_those_of_the_host(chain: list[dict[str, Any]]) -> None:
    bash = next(document for document in chain if document["process"]["name"] == "bash")
    assert bash["lineage"]["complete"] is True
    assert os.getpid() in bash["lineage"]["ancestors"]["pid"]


def test_the_agent_in_its_container_has_no_privilege_left(stack: Stack, chain: list[dict[str, Any]]) -> None:
    assert chain
    pid = stack.container("agent")["State"]["Pid"]
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert "0" not in status["Uid"].split()
    assert "0" not in status["Gid"].split()
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"


def test_setup_ends_well_and_the_agent_was_never_restarted(stack: Stack, chain: list[dict[str, Any]]) -> None:
    assert chain
    assert stack.container("setup")["State"]["ExitCode"] == 0
    assert stack.container("agent")["RestartCount"] == 0
