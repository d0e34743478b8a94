"""Host facts in ECS's shape, from whatever a host has of them."""

from __future__ import annotations

import grp
import os
import platform
import pwd
import uuid
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.errors import HostError
from pipeline.events import Stamp
from pipeline.sources import hostfacts
from pipeline.sources.decode import decode
from pipeline.sources.encode import encode

BOOT = "5f3c0a6d-e1b2-4f0f-9a9d-0d5f4f0c8a11"
OS_RELEASE = """# a comment
ID=ubuntu
ID_LIKE=debian
NAME="Ubuntu"
VERSION_ID="24.04"
PRETTY_NAME='U 24'
"""
FIB_TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.10
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
Local:
        |-- 192.0.2.10
           /32 host LOCAL
        |-- 192.0.2.9
           /32 host LOCAL
"""


def _host(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"proc/sys/kernel/random/boot_id": BOOT + "\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_full_host(tmp_path: Path) -> None:
    root = _host(
        tmp_path,
        {
            "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
            "etc/os-release": OS_RELEASE,
            "proc/net/fib_trie": FIB_TRIE,
            "proc/net/if_inet6": "00000000000000000000000000000001 01 80 10 80       lo\n"
            "20010db8000000000000000000000001 02 40 00 80     eth0\n",
            "sys/class/net/lo/address": "00:00:00:00:00:00\n",
            "sys/class/net/eth0/address": "00:00:5e:00:53:01\n",
            "sys/class/net/ib0/address": "80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:0f:53:61\n",
        },
    )
    facts = hostfacts.facts(root)
    host = facts["host"]
    assert host["id"] == "0123456789abcdef0123456789abcdef"
    assert host["boot"] == {"id": BOOT}
    assert host["pid_ns_ino"] == "4026531836"
    assert host["hostname"] == platform.node()
    assert host["ip"] == ["192.0.2.9", "192.0.2.10", "2001:db8::1"]
    assert host["mac"] == ["00-00-5E-00-53-01"]
    assert host["os"] == {
        "type": "linux",
        "platform": "ubuntu",
        "family": "debian",
        "name": "Ubuntu",
        "version": "24.04",
        "full": "U 24",
        "kernel": platform.release(),
    }
    agent = facts["agent"]
    assert agent["type"] == "lineage"
    assert agent["id"] == hostfacts.facts(root)["agent"]["id"]
    assert agent["ephemeral_id"] != hostfacts.facts(root)["agent"]["ephemeral_id"]


def test_a_name_of_an_interface_is_whatever_the_kernel_takes(tmp_path: Path) -> None:
    """No blank and no slash: that leaves some that ``str.splitlines`` splits at."""
    line = "20010db8000000000000000000000001 02 40 00 80     a\x1cb\n"
    assert hostfacts.addresses(_host(tmp_path, {"proc/net/if_inet6": line})) == ["2001:db8::1"]


def test_what_a_bare_host_lacks_is_left_out(tmp_path: Path) -> None:
    host = hostfacts.facts(_host(tmp_path, {}))["host"]
    assert not {"ip", "mac"} & set(host)
    assert host["os"] == {
        "type": "linux",
        "platform": "linux",
        "family": "linux",
        "name": "Linux",
        "kernel": platform.release(),
    }
    assert host["id"] == uuid.UUID(BOOT).hex


def test_a_host_without_machine_id_is_known_by_its_hardware(tmp_path: Path) -> None:
    root = _host(tmp_path, {"etc/machine-id": "uninitialized\n", "sys/class/dmi/id/product_uuid": BOOT.upper()})
    assert hostfacts.facts(root)["host"]["id"] == uuid.UUID(BOOT).hex


def test_without_a_boot_id_nothing_can_be_told(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="mount /proc"):
        hostfacts.boot_id(tmp_path)


def test_this_host_survives_its_record() -> None:
    event = hostfacts.host_record(Stamp(1, 0, 0, wire.HOST), -5)
    assert decode(encode(event)) == event


def test_the_name_of_an_account_may_be_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the library gives it, with the bytes of another encoding."""
    name = os.fsdecode(b"andr\xe9")
    user = pwd.struct_passwd((name, "x", 5000, 5000, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [user])
    account = next(hostfacts.accounts(Stamp(1, 0, 7, wire.ACCOUNT)))
    assert account.name == "andr\N{REPLACEMENT CHARACTER}"
    assert decode(encode(account)) == account


def test_accounts_are_the_hosts_own_and_numbered_on() -> None:
    accounts = list(hostfacts.accounts(Stamp(1, 0, 7, wire.ACCOUNT)))
    assert [account.stamp.sequence for account in accounts] == list(range(7, 7 + len(accounts)))
    names = {(account.is_group, account.id): account.name for account in accounts}
    assert len(names) == len(accounts)
    assert names[False, 0] == pwd.getpwuid(0).pw_name
    assert names[True, 0] == grp.getgrgid(0).gr_name
