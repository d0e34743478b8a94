"""What docker-compose.yml promises before anything runs; tests/stack runs it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.checkout import REPOSITORY
from tests.elasticsearch.server import IMAGES

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_listens_but_on_loopback(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_is_privileged(name: str) -> None:
    assert "privileged" not in SERVICES[name]


def test_only_the_agent_has_capabilities_and_each_is_named() -> None:
    assert [name for name, service in SERVICES.items() if "cap_add" in service] == ["agent"]
    assert SERVICES["agent"]["cap_drop"] == ["ALL"]


def test_the_host_is_mounted_read_only() -> None:
    mounts = [mount.split(":") for mount in SERVICES["agent"]["volumes"] if mount.startswith("/")]
    assert mounts
    assert {tuple(mount[2:]) for mount in mounts} == {("ro",)}


def test_elasticsearch_and_kibana_are_of_the_version_that_is_tested() -> None:
    assert SERVICES["elasticsearch"]["image"] == IMAGES["9"]
    assert SERVICES["kibana"]["image"].partition(":")[2] == IMAGES["9"].partition(":")[2]
