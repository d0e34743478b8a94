from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.errors import UsageError
from pipeline.query.lineage_query import LineageQuery, condition, iso, moment, parse

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["nginx → bash", "nginx -> bash", "nginx=>bash", "nginx->bash", "nginx→bash", "  nginx   ->  bash "]
)
def test_every_arrow_means_the_same(text: str) -> None:
    assert parse(text) == LineageQuery(("nginx", "bash"))
    assert str(parse(text)) == "nginx → bash"


def test_a_name_may_have_blanks_and_dashes() -> None:
    assert parse("Web Content -> plugin-container").names == ("Web Content", "plugin-container")


@pytest.mark.parametrize("text", ["", "  ", "→", "nginx →", "-> bash", "a → → b"])
def test_a_missing_name_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="is no lineage: write for example"):
        parse(text)


def test_one_name_asks_for_the_process_two_for_the_pair() -> None:
    assert condition(parse("bash")) == {"term": {"process.name": "bash"}}
    assert condition(parse("nginx->bash")) == {"term": {"process.lineage": "nginx → bash"}}


def test_three_names_ask_for_the_run_and_its_ancestors() -> None:
    asked = condition(parse("nginx -> ba*sh -> curl"))["bool"]
    assert [each["wildcard"]["lineage.chain"] for each in asked["should"]] == [
        r"nginx → ba\*sh → curl",
        r"nginx → ba\*sh → curl → *",
        r"* → nginx → ba\*sh → curl",
        r"* → nginx → ba\*sh → curl → *",
    ]
    assert asked["filter"] == [{"term": {"lineage.ancestors.name": name}} for name in ("nginx", "ba*sh")]


def test_an_escaped_name_is_looked_for_in_the_chain_only() -> None:
    asked = condition(parse(r"a\u2192b -> bash -> curl"))["bool"]
    assert asked["filter"] == [{"term": {"lineage.ancestors.name": "bash"}}]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("24h", "2026-01-30T12:00:00.000Z"),
        ("7d", "2026-01-24T12:00:00.000Z"),
        ("90s", "2026-01-31T11:58:30.000Z"),
        ("-90s", "2026-01-31T11:58:30.000Z"),
        ("now", "2026-01-31T12:00:00.000Z"),
        ("11:59:59Z", "2026-01-31T11:59:59.000Z"),
        ("12:00:01Z", "2026-01-30T12:00:01.000Z"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z"),
        ("2026-01-01T02:00:00+02:00", "2026-01-01T00:00:00.000Z"),
    ],
)
def test_since_is_a_duration_or_a_time(text: str, time: str) -> None:
    assert iso(moment(text, NOW, "--since")) == time


@pytest.mark.parametrize("text", ["yesterday", "24", "2026-13-01", "", "--5h", "9999999999d"])
def test_what_is_neither_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--at: .* is no time.*: write how long ago, 90s, .*, or a moment, 2026-"):
        moment(text, NOW, "--at")


def test_of_a_whole_second_the_beginning_or_the_end_is_meant() -> None:
    begin, end = (moment("2026-01-31T11:00:00Z", NOW, "--at", whole=whole) for whole in (False, True))
    assert (begin.microsecond, end.microsecond, end.second) == (0, 999_999, begin.second)
    assert moment("2026-01-31T11:00:00.5Z", NOW, "--at", whole=True).microsecond == 500_000
