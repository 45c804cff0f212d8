"""Hosts: valid addresses, files and tables of hosts, and how workers are distributed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.cli.resolve import fleet_of, resolve, resolve_grid
from collagebench.config import as_json, from_json
from collagebench.errors import UsageError
from collagebench.hosts import Host, deal, read_hosts
from collagebench.read_profile import read_profile


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("vm1", (None, "vm1", None)),
        ("alice@vm1.example.org", ("alice", "vm1.example.org", None)),
        ("alice@10.0.0.7:2222", ("alice", "10.0.0.7", 2222)),
        ("a.b@example.org@vm:22", ("a.b@example.org", "vm", 22)),
        ("[::1]:2222", (None, "::1", 2222)),
        ("root@[fe80::1%eth0]", ("root", "fe80::1%eth0", None)),
        ("my_alias", (None, "my_alias", None)),
    ],
)
def test_what_is_a_host(address, parts):
    """A host has an optional user and port; an IPv6 address is in brackets."""
    assert Host(address).parts() == parts


@pytest.mark.parametrize(
    "address",
    ["", "-oProxyCommand=x", "a@-v", "-l@vm", "vm:0", "vm:65536", "vm:ssh", "::1", "vm;id", "vm$(id)", "vm `id`", "a b",
     "vm\n", "@vm", "vm:", "vm/x", "x" * 254, "vm.", "[]", "[x]", "a'@vm", "ssh://vm"],
)  # fmt: skip
def test_what_is_none(address):
    """An address that ssh could take for an option, or a shell for several words, is refused with the right form."""
    with pytest.raises(UsageError, match="is not a host: write name, user@name"):
        Host(address)


@given(st.text(st.characters(codec="utf-8"), max_size=12) | st.from_regex(r"[-\w.@:\[\]%$;&|'\"`(){}<>\\ ]{1,16}"))
def test_no_address_can_become_an_option_or_more_than_one_word(address):
    """Any text that is accepted as a host has parts without spaces, quotes or characters special to a shell."""
    try:
        user, name, port = Host(address).parts()
    except UsageError:
        return
    for part in (user or "x", name):
        assert part[0] not in "-+"
        assert not set(part) & set(" \t\r\n'\"`;&|<>(){}[]*?!~#\\/,")
        assert part.isascii()
    assert "$" not in name
    assert port is None or 0 < port < 65536


def test_a_file_of_hosts(tmp_path):
    """A file of hosts has one per line, with comments and an optional number of workers."""
    path = tmp_path / "hosts"
    path.write_text("# mine\nalice@a:22 workers=4\n\n  b   # the small one\n[::1]\n")
    assert read_hosts(path) == (Host("alice@a:22", 4), Host("b"), Host("[::1]"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\n\nb c", "hosts, line 3: only workers=N may follow a host, not 'c'"),
        ("a workers=x", "line 1: only workers=N may follow a host, not 'workers=x'"),
        ("a workers=1 workers=2", "line 1: only workers=N may follow a host, not 'workers=2'"),
        ("a workers=0", "line 1: host a cannot have 0 workers"),
        ("# nobody\n-oX=y", "line 2: '-oX=y' is not a host"),
        ("# nobody", "names none: write one per line"),
    ],
)
def test_a_file_that_makes_no_sense(tmp_path, text, words):
    """An invalid file of hosts raises a UsageError with the file, the line and what is wrong."""
    path = tmp_path / "hosts"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_hosts(path)
    assert words in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_file_that_cannot_be_read(tmp_path):
    """A file of hosts that cannot be read raises a UsageError with the reason."""
    with pytest.raises(UsageError, match="cannot be read: it is not a regular file"):
        read_hosts(Path("/dev/null"))
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_hosts(tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="it is not UTF-8 text"):
        read_hosts(tmp_path / "latin")


def test_workers_are_dealt_evenly_or_as_stated():
    """Consecutive workers are on different hosts; workers that no host was given are shared by the others."""
    assert deal([Host("a"), Host("b"), Host("c")], 10) == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert deal([Host("a", 1), Host("b"), Host("c", 3)], 6) == [0, 1, 2, 1, 2, 2]
    assert deal([Host("a", 2), Host("b", 1)], 3) == [0, 1, 0]


@pytest.mark.parametrize(
    ("hosts", "workers", "words"),
    [
        ([], 3, "--fleet ssh needs hosts"),
        ([Host("a"), Host("a")], 3, "host a is named twice"),
        ([Host("a"), Host("b"), Host("c")], 2, "--workers 2 is too few for 3 hosts: c would have none"),
        ([Host("a", 2), Host("b", 1)], 4, "the hosts should have 3 workers, but --workers is 4"),
        ([Host("a", 5), Host("b")], 4, "the hosts should have 5 workers, but --workers is 4"),
    ],
)
def test_workers_that_cannot_be_dealt(hosts, workers, words):
    """Workers that do not fit the hosts raise a UsageError that names the host or the conflicting numbers."""
    with pytest.raises(UsageError, match=words):
        deal(hosts, workers)


PROFILE = """fleet = "ssh"
[[host]]
address = "alice@a"
workers = 2

[[host]]
address = "b:2222"
workers = 5
"""


def test_tables_of_a_profile(tmp_path):
    """If all hosts of a profile have workers, their sum is --workers; the config survives being recorded."""
    path = tmp_path / "p.toml"
    path.write_text(PROFILE)
    config = resolve({"profile": str(path)})
    assert (config.fleet, config.workers) == ("ssh", 7)
    assert config.host == (Host("alice@a", 2), Host("b:2222", 5))
    assert as_json(config)["host"] == [{"address": "alice@a", "workers": 2}, {"address": "b:2222", "workers": 5}]
    assert resolve_grid({}, from_json(as_json(config))).cells[0].config == config


def test_a_list_and_a_file_in_a_profile(tmp_path):
    """A profile may have a list of hosts, or a file of hosts, whose path is relative to the profile."""
    (tmp_path / "vms").write_text("a\nb workers=3\n")
    (tmp_path / "p.toml").write_text('host = ["a", "b"]\nfleet = "ssh"')
    assert read_profile(tmp_path / "p.toml").values["host"] == (Host("a"), Host("b"))
    (tmp_path / "p.toml").write_text('hosts = "vms"\nfleet = "ssh"')
    assert read_profile(tmp_path / "p.toml").values["host"] == (Host("a"), Host("b", 3))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[host]]\naddress = "a"\nworker = 1', "line 1: unknown key 'worker'; did you mean 'workers'?"),
        ('runs = 1\n[[host]]\nworkers = 1', "line 2: a host must be an address"),
        ('[[host]]\naddress = "a"\n[[host]]\naddress = "b c"', "line 3: 'b c' is not a host"),
        ('host = ["a", 3]', "line 1: a host must be an address"),
        ('host = ["a"]\nhosts = "f"', "line 2: host and hosts set the same thing"),
        ('hosts = 3', "line 1: hosts must be a path, not 3"),
        ('runs = 1\nhosts = "none"', "line 2: the file of hosts"),
        ('host = ["a"]', "has no effect with --fleet local: use --fleet ssh"),
        ('fleet = "cloud"', "--fleet must be local or ssh"),
        ('fleet = "ssh"', "--fleet ssh needs hosts"),
    ],
)  # fmt: skip
def test_profiles_that_make_no_sense(tmp_path, text, words):
    """A profile with invalid hosts raises a UsageError with the profile, what is wrong and mostly the line."""
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(UsageError) as refused:
        resolve({"profile": str(tmp_path / "p.toml")})
    assert words in str(refused.value)
    assert str(tmp_path / "p.toml") in str(refused.value)


def test_options_of_another_fleet_are_refused():
    """--host and --remote-python without --fleet ssh raise UsageErrors, since they would have no effect."""
    with pytest.raises(UsageError, match="--host has no effect with --fleet local: use --fleet ssh"):
        resolve({"host": ("a",)})
    with pytest.raises(UsageError, match="--remote-python has no effect with --fleet local"):
        fleet_of({"remote_python": "python3.12"})


def test_a_profile_of_another_fleet_gives_way(tmp_path):
    """--fleet local replaces a profile's hosts, and its workers by the default of 10."""
    (tmp_path / "p.toml").write_text(PROFILE)
    config = resolve({"profile": str(tmp_path / "p.toml"), "fleet": "local"})
    assert (config.fleet, config.host, config.workers) == ("local", (), 10)


def test_hosts_of_options_and_of_a_file_come_together(tmp_path):
    """Hosts from options come before those from a file."""
    (tmp_path / "vms").write_text("b workers=3\n")
    where, workers = fleet_of({"fleet": "ssh", "host": ("a",), "hosts": tmp_path / "vms"})
    assert where.host == (Host("a"), Host("b", 3))
    assert workers == 10


def test_files_of_windows_are_read(tmp_path):
    """Files of hosts and profiles may have a byte-order mark and Windows line ends."""
    (tmp_path / "hosts").write_bytes(b"\xef\xbb\xbfvm1 workers=2\r\nvm2\r\n")
    assert [host.address for host in read_hosts(tmp_path / "hosts")] == ["vm1", "vm2"]
    (tmp_path / "p.toml").write_bytes(b"\xef\xbb\xbfruns = 3\r\n")
    assert read_profile(tmp_path / "p.toml").values["runs"] == 3
