"""The look at every host: what makes a run impossible, what is worth a word, and the table."""

from __future__ import annotations

from typing import Any

import pytest

from collagebench.fleet.ssh.preflight import ENVIRONMENT_BYTES, ROOM_BYTES, Look, compare, judge, table

FACTS: dict[str, Any] = {
    "python": "3.12.1",
    "executable": "/usr/bin/python3",
    "system": "Linux",
    "machine": "x86_64",
    "cores": 8,
    "load": 0.3,
    "lacking": [],
    "cache": "/home/a/.cache/collagebench",
    "cache_free_bytes": 10**11,
    "cache_problem": None,
    "temporary": "/tmp",
    "temporary_free_bytes": 10**11,
}


def look(host: str = "vm", workers: int = 4, **facts: Any) -> Look:
    """Return a host as it might be seen."""
    return Look(host, workers, {**FACTS, **facts})


def judged(seen: Look, kept: int = 10**6, bootstrap: bool = False) -> tuple[list[str], list[str]]:
    """Return what is wrong and what is worth a word."""
    judge(seen, kept, bootstrap, computing=True)
    return seen.failures, seen.warnings


def test_nothing_is_said_of_a_good_host() -> None:
    """Neither a failure nor a note."""
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
        ({"cache_free_bytes": ROOM_BYTES}, False, "18 MB are needed in /home/a/.cache/collagebench, 17 MB are free"),
        ({"cache_problem": "/home/a cannot be written to"}, False, "nothing can be kept there: /home/a cannot be"),
        ({"temporary_free_bytes": 1000}, False, "the disk of /tmp is full"),
    ],
)
def test_what_makes_a_run_impossible(facts: dict[str, Any], bootstrap: bool, begins: str) -> None:
    """Packages without --bootstrap, and disks without room, also for what is to be made there."""
    (failure,), warnings = judged(look(**facts), bootstrap=bootstrap)
    assert failure.startswith(begins)
    assert warnings == []


def test_what_is_there_needs_no_room() -> None:
    """A cache that is full or read-only will do if it has everything."""
    assert judged(look(cache_free_bytes=0, cache_problem="/home/a cannot be written to"), kept=0) == ([], [])


def test_what_is_worth_a_word() -> None:
    """A wrong clock, a machine that is busy, and more workers than cores: the run begins all the same."""
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
    """Architectures are told, once for all hosts; alike hosts are not."""
    others = [look("a"), look("b", machine="aarch64"), Look("c", 1)]
    assert compare(others) == [
        "the hosts have different architectures (aarch64, x86_64): their workers differ in speed by that"
    ]
    assert compare([look("a"), look("b")]) == []


def test_the_table_fits_a_terminal() -> None:
    """Also with a long name, of which the beginning and the end stay; a host that was not reached has a line too."""
    long = "alice@a-machine-with-a-very-long-name.in-a-long-domain.example.org:2222"
    lines = table([look(long, machine="x86_64", cores=128), Look("vm2", 3)]).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("alice@a-mach…")
    assert lines[1].split()[0].endswith("ple.org:2222")
    assert lines[2].split() == ["vm2", "3", *["-"] * 7]
