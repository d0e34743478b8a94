import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.counters import Counters
from pipeline.enrich.masking import Masker
from pipeline.errors import ConfigError
from pipeline.process import Image
from tests.enrich.examples import PATTERNS, ancestor, describer, executed, process

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("argument", "masked"),
    [
        ("--password=hunter2", "--password=***"),
        ("--PASSWORD=hunter2", "--PASSWORD=***"),
        ("postgres://bob:hunter2@db/app", "postgres://***@db/app"),
        ("Authorization: Bearer hunter2", "Authorization: Bearer ***"),
        ("user=bob&password=hunter2&x=1", "user=bob&password=***&x=1"),
        ("--verbose", "--verbose"),
    ],
)
def test_the_patterns_that_come_with_it_find_common_secrets(argument: str, masked: str) -> None:
    assert Masker(PATTERNS).mask(argument) == masked


def test_a_secret_is_nowhere_in_the_document() -> None:
    image = Image("mysql", "/usr/bin/mysql", ("mysql", f"--password={SECRET}"))
    other = ancestor(700, image)
    of = process(
        image=image,
        previous=(image,),
        ancestors=(other,),
        group_leader=other,
        session_leader=other,
        entry_leader=other,
    )
    by = describer()
    document = by.describe(executed(of), of)
    assert document is not None
    assert SECRET.encode() not in document.body
    assert SECRET.encode() not in by.describe_running(of).body
    parsed = orjson.loads(document.body)
    assert parsed["process"]["args"] == ["mysql", "--password=***"]
    assert parsed["process"]["command_line"] == "mysql --password=***"
    assert parsed["process"]["parent"]["args"][1] == "--password=***"
    assert parsed["process"]["previous"][0]["args"][1] == "--password=***"
    assert parsed["message"].endswith("mysql --password=***")


def test_a_secret_in_an_environment_variable_is_masked_and_counted() -> None:
    counters = Counters()
    by, of = describer(counters), process(image=Image("x", "/x", ("x",), environment=("A=1", f"DB_PASSWORD={SECRET}")))
    document = by.describe(executed(of), of)
    assert document is not None
    assert orjson.loads(document.body)["process"]["env_vars"] == ["A=1", "DB_PASSWORD=***"]
    assert counters.secrets_masked == 1


def test_masked_arguments_are_counted_once_however_many_documents_carry_them() -> None:
    counters = Counters()
    by = describer(counters)
    of = process(image=Image("x", "/x", ("x", "--token=a", "--secret=b", "--token=c")))
    for _ in range(5):
        by.describe(executed(of), of)
    assert counters.secrets_masked == 3


def test_without_patterns_nothing_is_masked() -> None:
    counters = Counters()
    of = process(image=Image("x", "/x", ("x", "--token=a")))
    document = describer(counters, []).describe(executed(of), of)
    assert document is not None
    assert b"--token=a" in document.body
    assert counters.secrets_masked == 0


def test_a_long_argument_is_masked_as_well() -> None:
    assert Masker(PATTERNS).mask("--password=" + "x" * 9000) == "--password=***"


def test_a_pattern_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"mask_patterns: '\(' is not a regular expression"):
        Masker(["("])


OTHER_PATTERNS = [
    r"(?<=a=)?b",
    r"(?<=a=)b|c",
    r"(?<=a=b)c|(?<=x)y",
    r"(?i)(?<=a=b)c",
    r"(?<=\w=)b",
    r"(?<=@)\w+",
    r"(?<=b)a",
    r"(?s)(?<==).+",
    r"(b)\1",
    r"\*+",
    r"(?i)(?<=s:k )\w",
]


PIECES = (
    *(
        "--password=",
        "PaSSWORD=",
        "pa\u017f\u017fword=",
        "Authorization: Bearer ",
        "://",
        "u:p@h",
        "a=",
        "b",
        "c",
        "s:",
    ),
    *("\u212a ", "k x", "@", "\n", "&", "xy", "=", "A=B"),
)


@given(
    st.lists(st.sampled_from(PATTERNS + OTHER_PATTERNS), max_size=5),
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
)
def test_an_argument_is_masked_as_by_each_pattern_in_turn(patterns: list[str], argument: str) -> None:
    expected = argument
    for pattern in patterns:
        expected = re.sub(pattern, "***", expected)
    assert Masker(patterns).mask(argument) == expected
