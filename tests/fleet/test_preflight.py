"""The check of every host before a run: failures, warnings, and the table."""

from __future__ import annotations

import asyncio
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from collagebench.fleet.ssh import fleet
from collagebench.fleet.ssh.explain import lost
from collagebench.fleet.ssh.preflight import ENVIRONMENT_BYTES, ROOM_BYTES, Look, compare, judge, table
from collagebench.fleet.ssh.session import NONSENSE, Session
from collagebench.hosts import Host

FACTS: dict[str, Any] = {
    "hostname": "box",
    "python": "3.12.1",
    "executable": "/usr/bin/python3",
    "system": "Linux",
    "machine": "x86_64",
    "cores": 8,
    "load": 0.3,
    "packages": {},
    "lacking": [],
    "cache": "/home/a/.cache/collagebench",
    "cache_free_bytes": 10**11,
    "cache_problem": None,
    "temporary": "/tmp",
    "temporary_free_bytes": 10**11,
}


def look(host: str = "vm", workers: int = 4, **facts: Any) -> Look:
    """Return what is known of a good host, with changes."""
    return Look(host, workers, {**FACTS, **facts})


def judged(seen: Look, kept: int = 10**6, bootstrap: bool = False) -> tuple[list[str], list[str]]:
    """Return the failures and the warnings of a host."""
    judge(seen, kept, bootstrap, computing=True)
    return seen.failures, seen.warnings


def test_nothing_is_said_of_a_good_host() -> None:
    """A good host has neither failures nor warnings."""
    assert judged(look()) == ([], [])


@pytest.mark.parametrize(
    ("facts", "bootstrap", "begins"),
    [
        (
            {"lacking": ["numpy>=1.24", "protobuf>=5"]},
            False,
            "its /usr/bin/python3 lacks numpy>=1.24 and protobuf>=5: ",
        ),
        ({"lacking": ["numpy>=1.24"], "cache_free_bytes": ENVIRONMENT_BYTES}, True, "437 MB are needed in /home/a"),
        (
            {"cache_free_bytes": ROOM_BYTES},
            False,
            "18 MB are needed in /home/a/.cache/collagebench, but 17 MB are free",
        ),
        ({"cache_problem": "/home/a cannot be written to"}, False, "nothing can be kept there: /home/a cannot be"),
        ({"temporary_free_bytes": 1000}, False, "the disk of /tmp is full"),
    ],
)
def test_what_makes_a_run_impossible(facts: dict[str, Any], bootstrap: bool, begins: str) -> None:
    """Missing packages without --bootstrap, and disks without room for what is to be kept, are failures."""
    (failure,), warnings = judged(look(**facts), bootstrap=bootstrap)
    assert failure.startswith(begins)
    assert warnings == []


def test_what_is_there_needs_no_room() -> None:
    """A cache that is full or read-only is no failure if nothing needs to be copied."""
    assert judged(look(cache_free_bytes=0, cache_problem="/home/a cannot be written to"), kept=0) == ([], [])


def test_what_is_worth_a_word() -> None:
    """A wrong clock, a busy machine and more workers than cores are warnings, not failures."""
    seen = look(workers=9, load=4.1)
    seen.offset = -7300.0
    failures, warnings = judged(seen)
    assert failures == []
    assert [warning.split(":")[0] for warning in warnings] == [
        "its clock is -2 h off",
        "it is busy",
        "its 9 workers share 8 cores and will slow each other down",
    ]


def test_hosts_that_differ() -> None:
    """Different architectures are one warning for all hosts; equal ones are none."""
    others = [look("a"), look("b", machine="aarch64", hostname="crate"), Look("c", 1)]
    assert compare(others) == [
        "the hosts have different architectures (aarch64, x86_64), so their workers differ in speed"
    ]
    assert compare([look("a"), look("b", hostname="crate")]) == []


def test_versions_that_differ() -> None:
    """Versions of computing packages that differ between hosts, or between hosts and this machine, are a warning."""
    here = version("numpy")
    alike = [look("a", packages={"numpy": here}), look("b", hostname="crate", packages={"numpy": here})]
    assert compare(alike) == []
    mixed = [*alike, look("c", hostname="vat", packages={"numpy": "1.24", "onnxruntime": None})]
    assert compare(mixed) == [
        f"the hosts have different versions of numpy (1.24, {here}), so their workers may differ in speed"
    ]
    assert compare(mixed[2:]) == [
        f"the hosts have numpy 1.24, but this machine has {here}: workers here may differ from them in speed and "
        "answers"
    ]


def test_one_machine_under_two_names_is_worth_a_word() -> None:
    """Hosts with the same host name get a warning, since workers on one machine share its cores."""
    assert compare([look("a"), look("c", hostname="crate"), look("b", workers=6)]) == [
        "a and b call themselves box: if that is one machine, its 10 workers share 8 cores"
    ]


def test_the_table_fits_a_terminal() -> None:
    """The table keeps to 80 columns, shortens a long name in its middle, and lists hosts that were not reached."""
    long = "alice@a-machine-with-a-very-long-name.in-a-long-domain.example.org:2222"
    lines = table([look(long, machine="x86_64", cores=128), Look("vm2", 3)]).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("alice@a-mach…")
    assert lines[1].split()[0].endswith("ple.org:2222")
    assert lines[2].split() == ["vm2", "3", *["-"] * 7]


def seen_through(ssh: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the failures of a host that is reached by the shell script `ssh` in place of the program."""
    program = place / "ssh"
    program.write_text(f"#!/bin/sh\n{ssh}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")

    async def look_at_it() -> list[str]:
        one = fleet.Place(0, Session(Host("vm"), str(place / "ctl"), place / "log", "python3"), [])
        await fleet._look(one, asyncio.Semaphore(), {}, bootstrap=False, computing=False)
        await one.session.close()
        return one.look.failures

    return asyncio.run(look_at_it())


def test_a_host_that_lets_us_in_and_then_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that accepts the login but then does not answer is a failure after `LOOK_WITHIN` seconds."""
    monkeypatch.setattr(fleet, "LOOK_WITHIN", 0.5)
    (failure,) = seen_through("echo collagebench 3.12.0; exec cat >/dev/null", tmp_path, monkeypatch)
    assert failure.startswith("it lets us in, but has not answered within 0.5 s")


def test_a_login_that_never_ends_its_line_is_nonsense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that sends an endless line is a failure in one sentence."""
    assert seen_through("exec cat /dev/zero", tmp_path, monkeypatch) == [NONSENSE]


def test_a_login_that_is_dropped_says_what_to_raise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If ssh's connection is closed, the failure mentions MaxStartups; if it is refused, it does not."""
    dropped = "echo Connection closed by UNKNOWN port 65535 >&2; exit 255"
    assert seen_through(dropped, tmp_path, monkeypatch) == [
        "it cannot be reached (Connection closed by UNKNOWN port 65535): check that `ssh vm` works; if it does, an "
        "sshd on the way limits the number of logins: raise its MaxStartups"
    ]
    (tmp_path / "log").unlink()
    (refused,) = seen_through("echo Connection refused >&2; exit 255", tmp_path, monkeypatch)
    assert refused.endswith("check that `ssh vm` works")


def test_a_login_that_is_dropped_once_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose sshd drops the first login, as it may where many log in at once, is used."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    drops = "touch tried; echo kex_exchange_identification: Connection closed by remote host >&2; exit 255"
    here = 'for line; do :; done; exec sh -c "$line"'
    (tmp_path / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')  # not every machine has one
    (tmp_path / "python3").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert seen_through(f"[ -e tried ] || {{ {drops}; }}; {here}", tmp_path, monkeypatch) == []
    assert "kex_exchange_identification" in (tmp_path / "log").read_text()


def test_a_connection_that_is_lost_says_whose_doing_it_was() -> None:
    """A lost connection is blamed on this client if it did not run for 13 s, otherwise on what ssh says."""
    closed = "Connection to vm closed by remote host.\n"
    assert lost("vm", 0, "", 13.2) == "this client did not run for 13 s, so vm gave up on it"
    assert lost("vm", 255, closed, 2.0) == "Connection to vm closed by remote host"
    assert lost("vm", 0, "", 2.0) == "our process there was killed, or ssh was: exit status 0"
