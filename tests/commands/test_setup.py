from __future__ import annotations

import json
from typing import Any

import pytest
from elasticsearch import Elasticsearch as Client

from pipeline.cli import invoke
from pipeline.sinks import mappings
from tests.elasticsearch.scripted import error, scripted

DATA_VIEW = "POST /api/data_views/data_view"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, namespace: str) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ELASTICSEARCH_URL", "ELASTICSEARCH_API_KEY", "ELASTICSEARCH_USERNAME", "ELASTICSEARCH_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LINEAGE_NAMESPACE", namespace)


def test_print_needs_no_server_and_shows_every_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        invoke(["setup", "--print", "--retention-days", "45", "--runtime-for", "auditbeat-*", "--kibana", "http://k"])
        == 0
    )
    shown = json.loads(capsys.readouterr().out)
    assert list(shown) == [
        "PUT /_ingest/pipeline/logs-lineage",
        "PUT /_component_template/logs-lineage@settings",
        "PUT /_component_template/logs-lineage@fields",
        "PUT /_index_template/logs-lineage",
        "PUT /auditbeat-*/_mapping",
        "POST kbn:/api/data_views/data_view",
    ]
    settings = shown["PUT /_component_template/logs-lineage@settings"]
    assert settings["template"]["lifecycle"] == {"data_retention": "45d"}
    assert "process.lineage" in shown["PUT /auditbeat-*/_mapping"]["runtime"]
    assert shown["POST kbn:/api/data_views/data_view"]["data_view"]["timeFieldName"] == "@timestamp"


def test_a_short_retention_is_wrong_usage_also_when_only_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["setup", "--print", "--retention-days", "7"]) == 2
    assert "choose at least 30 days, or add --force" in capsys.readouterr().err
    assert invoke(["setup", "--print", "--retention-days", "7", "--force"]) == 0


def test_without_an_address_it_says_which_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["setup"]) == 2
    assert capsys.readouterr().err == (
        "lineage: no Elasticsearch is configured: set ELASTICSEARCH_URL, for example http://127.0.0.1:9200\n"
    )


@pytest.mark.elasticsearch
def test_setup_installs_and_says_so(
    elasticsearch_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", elasticsearch_url)
    assert invoke(["setup"]) == 0
    capsys.readouterr()
    assert invoke(["setup"]) == 0
    assert f"index template {mappings.NAME}: unchanged\n" in capsys.readouterr().out


@pytest.mark.elasticsearch
def test_a_refused_index_is_named_and_the_exit_code_is_1(
    elasticsearch_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", elasticsearch_url)
    name = f"foreign-{namespace}"
    with Client(elasticsearch_url) as client:
        client.indices.create(
            index=name, mappings={"properties": {"process": {"properties": {"name": {"type": "text"}}}}}
        )
        try:
            assert invoke(["setup", "--runtime-for", name]) == 1
        finally:
            client.indices.delete(index=name)
    shown = capsys.readouterr().out
    assert f"process.lineage on {name}: refused (process.name is mapped as text" in shown
    assert "PUT _component_template/lineage@runtime" in shown


@pytest.mark.elasticsearch
def test_kibana_gets_the_data_view_with_the_same_credentials(
    elasticsearch_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", elasticsearch_url)
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", "c2VjcmV0")
    with scripted(lambda asked: (200, {"data_view": {"id": "lineage"}})) as (url, asked):
        assert invoke(["setup", "--kibana", url]) == 0
    assert [f"{each.method} {each.path}" for each in asked] == [DATA_VIEW]
    assert asked[0].headers["kbn-xsrf"]
    assert asked[0].headers["authorization"] == "ApiKey c2VjcmV0"
    assert asked[0].body["override"] is True
    assert asked[0].body["data_view"] == {
        "id": "lineage",
        "name": "lineage",
        "title": "logs-lineage.*",
        "timeFieldName": "@timestamp",
    }
    assert "data view lineage: created" in capsys.readouterr().out


@pytest.mark.elasticsearch
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "refuses the credentials"),
        (503, "cannot do it now (Kibana server is not ready yet): try again"),
        (400, "refuses the data view (Kibana server is not ready yet)"),
    ],
)
def test_what_kibana_refuses_is_one_line(
    status: int,
    words: str,
    elasticsearch_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", elasticsearch_url)
    with scripted(lambda asked: (status, {"message": "Kibana server is not ready yet"})) as (url, _):
        assert invoke(["setup", "--kibana", url]) == 1
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1


@pytest.mark.elasticsearch
def test_no_kibana_is_said(
    elasticsearch_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", elasticsearch_url)
    assert invoke(["setup", "--kibana", "http://127.0.0.1:9"]) == 1
    assert "Kibana at http://127.0.0.1:9 does not answer" in capsys.readouterr().err
    assert invoke(["setup", "--kibana", "127.0.0.1"]) == 2


def test_wrong_credentials_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(lambda asked: error(401, "no")) as (url, _):
        monkeypatch.setenv("ELASTICSEARCH_URL", url)
        assert invoke(["setup"]) == 1
    assert capsys.readouterr().err.startswith(f"lineage: Elasticsearch at {url} refuses the credentials: set ")
