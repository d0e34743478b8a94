"""What is there is documented, and what is documented is there; to the word where the code has the words."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import typer.main
import yaml

from pipeline import __version__, wire
from pipeline.bench.registry import BENCHMARKS
from pipeline.cli import app
from pipeline.config import ELASTIC_VARIABLES, Config, Elasticsearch, keys
from pipeline.counters import Counters
from pipeline.enrich.text import TERM_MAX_BYTES
from pipeline.tree.known.doubts import WORDS
from tests.checkout import REPOSITORY
from tests.docs import pages
from tests.kernel.deep import NAME_MAX, bound

CONFIGURATION = pages.named("docs/configuration.md")
TOLD_BELOW = {"state_directory", "mask_patterns", "environment_names"}
"""Keys whose default is too long for the table."""

group: Any = typer.main.get_command(app)
VERBS: dict[str, Any] = group.commands


def _options(command: Any) -> set[str]:
    return {name for parameter in command.params if parameter.param_type_name == "option" for name in parameter.opts}


# Configuration.


def _written(default: object) -> str:
    if default is None:
        return "unset"
    return f"`{str(default).lower()}`" if isinstance(default, bool) else f"`{default}`"


def _expected_keys() -> dict[str, tuple[str, str]]:
    """Key -> default and sentence, as the table has to have them."""
    expected = {}
    for prefix, model in (("", Config), ("elasticsearch.", Elasticsearch)):
        for name, field in model.model_fields.items():
            if name != "elasticsearch":
                default = "see below" if name in TOLD_BELOW else _written(field.default)
                expected[prefix + name] = (default, field.description or "")
    return expected


def test_the_table_of_keys_is_the_configuration() -> None:
    table = {key.strip("`"): (default, about) for key, default, about in pages.rows(_keys_table())}
    assert table == _expected_keys()
    assert set(table) == set(keys())


def _keys_table() -> str:
    return pages.section(CONFIGURATION, "## Keys")


def test_default_mask_patterns_are_told() -> None:
    told = [line[4:] for line in _keys_table().splitlines() if line.startswith("    ")]
    assert told == Config.model_fields["mask_patterns"].default


def test_default_names_of_variables_are_told() -> None:
    told = re.search(r"^`environment_names`, the default: (.+?)\. ", _keys_table(), re.MULTILINE | re.DOTALL)
    assert told
    assert re.findall(r"`(\w+)`", told[1]) == Config.model_fields["environment_names"].default


def test_bounds_of_lists_are_told() -> None:
    told = re.search(r"^Lists are bounded: (.+?)\.$", _keys_table(), re.MULTILINE | re.DOTALL)
    assert told
    bounds = {
        name: bound.max_length
        for name, field in Config.model_fields.items()
        for bound in field.metadata
        if hasattr(bound, "max_length")
    }
    assert {name: int(most) for name, most in re.findall(r"`(\w{2,})` to (\d+)", told[1])} == bounds
    longest = int(re.findall(r"of at most (\d+)", told[1])[0])
    assert Config(environment_names=["A" * longest])
    with pytest.raises(ValueError, match="at most 31"):
        Config(environment_names=["A" * (longest + 1)])


def test_variables_in_the_documentation_exist() -> None:
    known = {"LINEAGE_" + key.upper().replace(".", "__") for key in keys()} | set(ELASTIC_VARIABLES)
    for path, text in _texts():
        found = set(re.findall(r"\b(?:LINEAGE|ELASTICSEARCH)_[A-Z_]+\b", text))
        # ELASTICSEARCH_PORT is docker-compose.yml's
        assert found - {"ELASTICSEARCH_PORT"} <= known, path
    for variable in ELASTIC_VARIABLES:
        assert f"`{variable}`" in CONFIGURATION


def test_counters_are_told_with_their_sentence() -> None:
    table = {name.strip("`"): hint for name, hint in pages.rows(pages.section(CONFIGURATION, "## Counters"))}
    assert table == Counters.described()


# The command line.


def test_every_verb_has_a_section_and_every_section_is_a_verb() -> None:
    sections = re.findall(r"^### `lineage (\w+)`$", CONFIGURATION, re.MULTILINE)
    assert sorted(sections) == sorted(VERBS)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_options_of_a_verb_are_told_and_no_others(verb: str) -> None:
    told = _told_options(pages.section(CONFIGURATION, f"### `lineage {verb}`"))
    assert told == _options(VERBS[verb]) - {"-h", "--help"}


def test_options_before_the_verb_are_told() -> None:
    commands = pages.section(CONFIGURATION, "## Commands").partition("###")[0]
    assert _told_options(commands) == _options(group) | {"-h", "--help"}


def _told_options(text: str) -> set[str]:
    cells = [row[0] for row in pages.rows(text)]
    return {option for cell in cells for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", cell)}


def test_commands_in_the_documentation_exist() -> None:
    """Wherever a page says `lineage VERB --option`, both are there."""
    seen = 0
    for path, text in _texts():
        for line in pages.code(text):
            for command in re.findall(r"(?<![\w/.-])(?:\.venv/bin/)?lineage ((?:--?[a-z].*)?[a-z]+\b[^#\n]*)", line):
                words = command.split()
                verb = next((word for word in words if word in VERBS), None)
                if verb is None:
                    assert not re.match(r"[a-z]+$", words[0]), f"{path}: no verb in `{line}`"
                    continue
                seen += 1
                given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
                assert given <= _options(VERBS[verb]) | _options(group) | {"-h", "--help"}, f"{path}: `{line}`"
    assert seen > 20


def test_make_targets_in_the_documentation_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", pages.named("Makefile"), re.MULTILINE))
    for path, text in _texts():
        for line in pages.code(text):
            for target in re.findall(r"(?:^|[\s;&])make ([a-z-]+)", line):
                assert target in targets, f"{path}: `{line}`"


def test_exit_codes_are_told() -> None:
    codes = [row[0] for row in pages.rows(pages.section(CONFIGURATION, "## Exit codes"))]
    assert codes == ["0", "1", "2", "130"]


def test_benchmarks_are_told() -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", pages.named("docs/benchmarks.md"), re.MULTILINE))
    assert {benchmark.name for benchmark in BENCHMARKS} <= told


# Fields.


def _fields() -> set[str]:
    return {field["name"] for field in yaml.safe_load(pages.named("mappings/fields.yml"))["fields"]}


def test_mapped_fields_are_told_and_no_others() -> None:
    told = [row[0].strip("`") for row in pages.rows(pages.named("docs/fields.md"))]
    assert len(told) == len(set(told))
    assert set(told) == _fields()


def test_fields_in_the_documentation_exist() -> None:
    roots = {name.partition(".")[0] for name in _fields()} - {"lineage"}
    fields = _fields() | {"event.created", "container.labels"}  # told to be absent
    objects = {name.rsplit(".", depth)[0] for name in fields for depth in range(1, name.count(".") + 1)}
    pattern = re.compile(rf"(?<![\w./@-])((?:{'|'.join(roots)}|lineage)(?:\.[a-z_]+)+)(\.\*)?(?![\w/(-])")
    for path, text in _texts():
        if path == "docs/fields.md":
            continue
        for span in pages.code(text):
            for name, rest in pattern.findall(span):
                if name.split(".")[-1] in {"py", "c", "toml", "md", "json", "yml", "process"}:
                    continue
                known = fields | {f"{field}.text" for field in fields} | objects
                assert (name in objects) if rest else (name in known), f"{path}: `{span}`"


def test_bounds_of_a_record_are_told() -> None:
    told = pages.section(pages.named("docs/architecture.md"), "## What a record carries")
    numbers = {int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", told)}
    before_args = 3 * wire.PATH_MAX + wire.SCRIPT_MAX + wire.INTERPRETER_MAX
    before_args += 4 * wire.GROUPS_MAX + wire.ENVIRONMENT_MAX
    assert numbers == {
        *(wire.ARGS_MAX, wire.PATH_MAX, wire.PATH_MAX - 1, bound("PATH_DEPTH_MAX")),
        *(wire.SCRIPT_MAX, bound("WORKS_MAX") - 1, wire.INTERPRETER_MAX - 1),
        *(wire.LOADER_MAX, 4 * bound("LEAVES_MAX"), wire.ARGS_MAX - wire.LOADER_MAX, before_args),
        *(wire.VARIABLE_MAX, wire.VARIABLE_MAX - 1, wire.VARIABLES_MAX, wire.ENVIRONMENT_MAX, wire.GROUPS_MAX),
        *(wire.CGROUP_DEPTH_MAX, NAME_MAX + 1, wire.REAPER_STEPS_MAX, TERM_MAX_BYTES),
    }


def test_doubts_are_told() -> None:
    told = [row[0].strip("`") for row in pages.rows(pages.section(pages.named("docs/architecture.md"), "## The tree"))]
    assert sorted(told) == sorted({word for words in WORDS for word in words})


# Links.


@pytest.mark.parametrize("page", pages.pages(), ids=pages.short)
def test_relative_links_resolve(page: Any) -> None:
    for link in pages.links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert target.is_relative_to(REPOSITORY), link
        if anchor:
            assert anchor in pages.anchors(target.read_text(encoding="utf-8")), link


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached = set()
    waiting = [REPOSITORY / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        local = [link.partition("#")[0] for link in pages.links(page.read_text(encoding="utf-8"))]
        waiting += [(page.parent / link).resolve() for link in local if link.endswith(".md") and ":" not in link]
    assert set(pages.pages()) <= reached


def test_files_and_folders_in_the_documentation_exist() -> None:
    """Paths of this repository in code: `pipeline/flow.py`, `tests/sinks/`."""
    for path, text in _texts():
        for span in pages.code(text):
            for name in re.findall(r"(?<![\w./-])((?:bpf|pipeline|mappings|tests|docs|requirements)/[\w./-]*\w)", span):
                assert (REPOSITORY / name).exists(), f"{path}: `{span}`"


def test_decisions_are_dated_and_listed() -> None:
    listed = pages.rows(pages.named("docs/decisions/README.md"))
    told = {re.sub(r".*\]\((.+)\)$", r"\1", link): (date, link) for date, link in listed}
    files = {path for path in (REPOSITORY / "docs/decisions").glob("*.md") if path.name != "README.md"}
    assert set(told) == {path.name for path in files}
    for path in files:
        date, link = told[path.name]
        assert path.name.startswith(f"{date}-")
        assert path.read_text(encoding="utf-8").startswith(f"# {link.partition('](')[0][1:]}\n")


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[([^\]]+)\]", pages.named("CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == __version__


# Pictures and examples.


@pytest.fixture(scope="module")
def pictures() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("pictures", REPOSITORY / "docs/images/make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["pictures"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["pictures"]


@pytest.fixture(scope="module")
def shown(pictures: ModuleType) -> Any:
    return pictures.shown()


def test_pictures_are_what_is_printed_today(pictures: ModuleType, shown: Any) -> None:
    for name, text in pictures.pictures(shown).items():
        assert pages.named(f"docs/images/{name}") == text, "python docs/images/make.py"


def test_the_readme_shows_what_is_printed(pictures: ModuleType, shown: Any) -> None:
    readme = pages.named("README.md")
    answer = "\n".join(pictures.answer(shown))
    assert f"```text\n{answer}\n```" in readme
    feed = "\n".join(line.plain for line in shown.feed[:2])
    assert f"```text\n{feed}\n```" in readme


def test_a_history_is_shown_as_it_is_printed(pictures: ModuleType, shown: Any) -> None:
    history = "\n".join(pictures.history(shown))
    assert f"```text\n{history}\n```" in pages.section(CONFIGURATION, "### `lineage show`")


def _texts() -> Iterator[tuple[str, str]]:
    for page in pages.pages():
        yield pages.short(page), page.read_text(encoding="utf-8")
