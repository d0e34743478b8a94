"""Layers of configuration, and that every mistake is one line that names the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.commands.run import print_config
from pipeline.config import LISTS, Config, keys, load
from pipeline.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this shell's variables nor a file that happens to lie about."""
    for name in ("ELASTICSEARCH_URL", "ELASTICSEARCH_API_KEY", "ELASTICSEARCH_USERNAME", "ELASTICSEARCH_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.config.DEFAULT_FILES", (Path("lineage.toml"),))


def test_flags_win_over_environment_over_file_over_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Path("lineage.toml").write_text('ring_bytes = 65536\nprocesses_max = 100\nnamespace = "file"\n')
    monkeypatch.setenv("LINEAGE_PROCESSES_MAX", "200")
    monkeypatch.setenv("LINEAGE_NAMESPACE", "environment")
    config = load({"namespace": "flag"})
    assert (config.namespace, config.processes_max, config.ring_bytes) == ("flag", 200, 65536)
    assert config.threads_max == Config.model_fields["threads_max"].default


def test_nested_keys_of_several_layers_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("lineage.toml").write_text('[elasticsearch]\nurl = "http://file:9200"\nin_flight_max = 3\n')
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", "c2VjcmV0")
    monkeypatch.setenv("LINEAGE_ELASTICSEARCH__BULK_MAX_DOCUMENTS", "7")
    elasticsearch = load().elasticsearch
    assert (elasticsearch.url, elasticsearch.in_flight_max, elasticsearch.bulk_max_documents) == (
        "http://file:9200",
        3,
        7,
    )
    assert elasticsearch.api_key is not None
    assert elasticsearch.api_key.get_secret_value() == "c2VjcmV0"


def test_the_variable_of_every_elastic_tool_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://127.0.0.1:9200")
    assert load().elasticsearch.url == "http://127.0.0.1:9200"


def test_secrets_do_not_show_when_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICSEARCH_PASSWORD", "hunter2")
    assert "hunter2" not in load().model_dump_json()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("ring_byte = 65536", "unknown configuration key ring_byte"),
        ("[elasticsearch]\nurls = 1", "did you mean elasticsearch.url"),
        ("ring_bytes = 100000", "ring_bytes"),
        ("processes_max = 'many'", "processes_max"),
        ("[elasticsearch]\nurl = 'example.org:9200'", "must begin with http:// or https://"),
        ("namespace = 'Has Blanks'", "namespace"),
        ("mask_patterns = ['(']", "mask_patterns"),
        ("ring_bytes = ", "is no TOML"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_names_the_key(text: str, named: str) -> None:
    Path("lineage.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load()
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("LINEAGE_RING_BYTE", "1", "did you mean LINEAGE_RING_BYTES"),
        ("LINEAGE_RING_BYTES", "-1", "ring_bytes"),
        ("LINEAGE_MASK_PATTERNS", "no json", "mask_patterns"),
        ("ELASTICSEARCH_URL", "ftp://x", "elasticsearch.url"),
    ],
)
def test_a_mistake_in_the_environment_is_one_line_that_names_the_variable(
    name: str, value: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=named):
        load()


def test_a_wrong_secret_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ConfigError) as caught:
        load({"elasticsearch": {"api_key": ["hunter2"]}})
    assert "hunter2" not in str(caught.value)


def test_a_list_given_as_a_flag_is_json() -> None:
    assert load({"mask_patterns": '["pin=.+"]'}).mask_patterns == ["pin=.+"]
    with pytest.raises(ConfigError, match="JSON"):
        load({"mask_patterns": "pin=.+"})


@pytest.mark.parametrize("value", ["nope", "65534x", '"text"', '{"a": 1}'])
@pytest.mark.parametrize("key", sorted(LISTS))
def test_what_is_no_list_gets_an_example_that_fits_the_key(key: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({key: value})
    example = str(caught.value).partition("for example ")[2].partition(": `")[0]
    assert example == LISTS[key]
    assert getattr(load({key: example}), key)


def test_a_number_alone_is_no_list_of_numbers() -> None:
    Path("lineage.toml").write_text("drop_uids = 65534\n")
    for flags in ({}, {"drop_uids": "65534"}):
        with pytest.raises(ConfigError, match=r"drop_uids = '?65534'?: must be a list.*for example \[65534\]"):
            load(flags)


def test_every_key_that_holds_a_list_has_an_example() -> None:
    assert set(LISTS) == {name for name, field in Config.model_fields.items() if isinstance(field.default, list)}


def test_of_a_list_that_is_too_long_the_bound_alone_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        load({"drop_uids": str(list(range(1000)))})
    assert str(caught.value).startswith("configuration key drop_uids: at most 64, not 1000: ")
    with pytest.raises(ConfigError) as caught:
        load({"environment_names": ["A" * 32, "B" * 60]})
    assert "B" * 60 not in str(caught.value)


def test_the_printed_configuration_shows_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    config = load({"elasticsearch": {"url": "https://elastic:hunter2@es:9200", "api_key": "hunter3"}})
    assert print_config(config) == 0
    printed = capsys.readouterr().out
    assert '"url": "https://es:9200"' in printed
    assert "hunter" not in printed


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load(file=tmp_path / "absent.toml")


def test_every_key_has_a_sentence() -> None:
    assert all(sentence.endswith(".") for sentence in keys().values())
