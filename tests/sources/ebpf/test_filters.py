"""Filters are C expressions: here a compiler reads them, and a program says what they let pass."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.sources.ebpf import filters
from pipeline.sources.hostfacts import INITIAL_PID_NS

PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef unsigned long long u64;
typedef unsigned int u32;
#define SAME(value, wanted) ((value) == (wanted))

/* each argument: u<uid>, c<cgroup>, or e<variable>; a line for each: 1 where it passes */
int main(int count, char **given)
{
	for (int at = 1; at < count; at++) {
		u64 number = strtoull(given[at] + 1, NULL, 10), words[4] = {}, word = 0;
		u32 uid = number;

		(void)uid; /* for nobody, where no user is dropped */
		strncpy((char *)words, given[at] + 1, sizeof(words));
		memcpy(&word, words, sizeof(word));
		if (given[at][0] == 'u')
			printf("%d\\n", LINEAGE_DROP_UID(uid) != 0);
		else if (given[at][0] == 'c')
			printf("%d\\n", LINEAGE_DROP_CGROUP(number) != 0);
		else
			printf("%d%d\\n", LINEAGE_ALLOWED_BEGINNING(word) != 0, LINEAGE_ALLOWED(words) != 0);
	}
	return 0;
}
"""
LONGEST = "N" * 31


def _answers(folder: Path, macros: dict[str, str | int], *asked: str) -> list[str]:
    source, program = folder / "program.c", folder / "program"
    source.write_text(PROGRAM)
    given = [f"-DLINEAGE_{name}={value}" for name, value in macros.items()]
    subprocess.run(["cc", "-std=gnu11", "-Wall", "-Werror", *given, "-o", program, source], check=True)
    return subprocess.run([program, *asked], capture_output=True, text=True, check=True).stdout.split()


def _macros(**keys: object) -> dict[str, str | int]:
    return filters.macros(Config(**keys), 4711)  # type: ignore[arg-type]


def test_what_is_not_configured_is_a_constant_nought() -> None:
    macros = _macros(environment_names=[])
    assert macros.pop("HOST_PID_NS") == INITIAL_PID_NS
    assert set(map(str, macros.values())) == {"0"}


def test_users_and_cgroups_are_compared_whole(tmp_path: Path) -> None:
    macros = _macros(drop_uids=[0, 65534, 2**32 - 1]) | {"DROP_CGROUP(id)": filters._any_of("id", [2**63 + 1])}
    asked = ("u0", "u1", "u65534", f"u{2**32 - 1}", f"c{2**63 + 1}", "c1")
    assert _answers(tmp_path, macros, *asked) == ["1", "0", "1", "1", "1", "0"]
    assert macros["DROP_UIDS"] == 3


@pytest.mark.parametrize("name", ["A", "SEVENCH", "EIGHTCHR", "NINECHARS", "LD_PRELOAD", "SIXTEEN_CHARS_OK", LONGEST])
def test_a_variable_is_allowed_by_its_whole_name_and_nothing_else(name: str, tmp_path: Path) -> None:
    others = [f"{name}X=1", f"{name[:-1]}=1", name, f"X{name}=1", f"{name.lower()}=1", f"{name[:-1]}?=1", "", "="]
    answers = _answers(
        tmp_path,
        _macros(environment_names=[name, "TZ"]),
        f"e{name}=",
        f"e{name}=1=2",
        "eTZ=",
        *[f"e{it}" for it in others],
    )
    assert answers[:3] == ["11"] * 3
    assert [answer[1] for answer in answers[3:]] == ["0"] * len(others)


def test_without_names_no_variable_passes(tmp_path: Path) -> None:
    assert _answers(tmp_path, _macros(environment_names=[]), "eLD_PRELOAD=x", "e") == ["00", "00"]


@pytest.mark.parametrize(("key", "inside", "outside"), [("none", 0, 0), ("inside", 1, 0), ("outside", 0, 1)])
def test_containers_are_dropped_on_one_side_at_most(key: str, inside: int, outside: int) -> None:
    macros = _macros(drop_containers=key)
    assert (macros["DROP_INSIDE"], macros["DROP_OUTSIDE"]) == (inside, outside)


def test_the_agent_is_dropped_by_its_pid_and_kernel_threads_by_a_switch() -> None:
    macros = _macros(drop_own_process=True, drop_kernel_threads=True)
    assert (macros["DROP_PID"], macros["DROP_KERNEL_THREADS"]) == (4711, 1)


def test_a_cgroup_is_the_inode_of_its_folder_in_the_unified_hierarchy(tmp_path: Path) -> None:
    version_1, unified = tmp_path / "v1", tmp_path / "unified"
    for root in (version_1, unified):
        (root / "system.slice").mkdir(parents=True)
    (unified / "cgroup.controllers").touch()
    found = filters.cgroup_id(Path("/system.slice"), (tmp_path / "absent", version_1, unified))
    assert found == (unified / "system.slice").stat().st_ino
    with pytest.raises(ConfigError, match=r"no cgroup /user\.slice"):
        filters.cgroup_id(Path("/user.slice"), (version_1, unified))
