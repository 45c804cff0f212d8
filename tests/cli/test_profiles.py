"""`collagebench profiles` as a user meets it."""

from __future__ import annotations

import json
import os
from itertools import pairwise

import pytest
from click.testing import CliRunner

from collagebench.cli import cli
from collagebench.errors import UsageError
from collagebench.paths import profiles_dir

NAMES = sorted(path.stem for path in profiles_dir().glob("*.toml"))


def profiles(*arguments: object) -> str:
    """Return what the verb prints."""
    done = CliRunner().invoke(cli, ["profiles", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


@pytest.fixture(scope="module")
def listed():
    """Return the facts of every profile, by name."""
    return {facts["name"]: facts for facts in json.loads(profiles("--format", "json"))["profiles"]}


def test_list(listed):
    """Every shipped profile is listed with its stragglers and its time, shortest first, equal times by name."""
    lines = profiles().splitlines()
    shown = [line for line in lines if line in NAMES]
    assert sorted(shown) == NAMES
    seconds = {name: facts["seconds"] for name, facts in listed.items()}
    assert max(seconds[one] - seconds[other] for one, other in pairwise(shown)) < 60  # minutes are rounded
    assert [name for name in shown if name.startswith("parm")] == ["parm-k2", "parm-k3", "parm-k4"]
    assert max(map(len, lines)) <= 80
    words = " ".join(" ".join(lines).split())
    assert "The Tail at Scale, CACM 2013: a server answers in 10 ms" in words
    assert "10 workers, stragglers collage-trace: none, hedge, collage. About 6 s per scheme, 18 s in all." in words


def test_list_for_programs(listed):
    """JSON lists all profiles with their figures; the time follows from runs, requests and rate."""
    assert sorted(listed) == NAMES
    natural = listed["natural"]
    assert natural["seconds_per_scheme"] == natural["runs"] * natural["requests"] / 100
    assert natural["seconds"] == len(natural["schemes"]) * natural["seconds_per_scheme"]
    paper = listed["paper"]
    assert paper["rate"] == pytest.approx(0.3 * 10 / 0.1538, rel=0.001)


def test_one(listed):
    """A profile is printed as it is written, with its comments; JSON has the text and the facts."""
    text = (profiles_dir() / "paper.toml").read_text()
    assert profiles("paper") == text
    assert json.loads(profiles("paper", "--format", "json")) == {**listed["paper"], "text": text}


def test_a_file_of_ones_own(tmp_path):
    """A valid file is printed as it is, with an unknown time if no rate follows; an error is refused with its line."""
    path = tmp_path / "mine.toml"
    for asked in ("utilisation = 0.5", "compute-time = 0.0", "compute-time = 0.001"):
        path.write_text(f"# mine\nstragglers = 'none'\n{asked}\n")
        assert profiles(path) == path.read_text()
        assert json.loads(profiles(path, "--format", "json"))["seconds"] is None
    path.write_text("# mine\nworkers = 0\n")
    with pytest.raises(UsageError, match="line 2: --workers must be 1 or more"):
        profiles(path)
    path.write_text("stragglers = 'markov'\n\npersistence = -1\n")
    with pytest.raises(UsageError, match="line 3: --persistence must be"):
        profiles(path)


def test_a_file_does_not_control_the_terminal(tmp_path):
    """Control characters in a file are printed as TOML's escapes: as TOML and in JSON, it says the same as before."""
    path = tmp_path / "mine.toml"
    path.write_text('# a\u009b31m\u202e comment\ndescription = "red\u009b31m \\u007f \u2066"\n', encoding="utf-8")
    shown = profiles(path)
    assert shown == '# a\\u009b31m\\u202e comment\ndescription = "red\\u009b31m \\u007f \\u2066"\n'
    (tmp_path / "copy.toml").write_text(shown)
    copied, given = (json.loads(profiles(one, "--format", "json")) for one in (tmp_path / "copy.toml", path))
    assert copied["description"] == given["description"] == "red\u009b31m \x7f \u2066"
    assert given["text"] == path.read_text(encoding="utf-8")
    assert profiles(path, "--format", "json").replace("\n", "").isprintable()


def test_a_pipe_is_no_profile(tmp_path):
    """A named pipe is refused as not a regular file, not as missing."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=r"the profile .*/pipe cannot be read: it is not a regular file"):
        profiles(tmp_path / "pipe")


def test_an_unknown_name():
    """For an unknown name the nearest one is suggested, or all are listed if none is near."""
    with pytest.raises(
        UsageError, match=r"no profile 'papr', neither a file nor a bundled one; did you mean 'paper'\?"
    ):
        profiles("papr")
    with pytest.raises(UsageError, match=r"there are burst-sweep, collage-policies, collage-result, .*tail-at-scale"):
        profiles("zzz")
