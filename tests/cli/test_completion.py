"""Completion in a shell: what bash is offered after each word."""

from __future__ import annotations

import os
import subprocess
import sys

from click.shell_completion import BashComplete
from real_processes import ROOT

from collagebench.cli import VERBS, cli
from collagebench.schemes import SCHEMES


def offered(typed: str) -> list[tuple[str, str]]:
    """Return the completions, as pairs of kind and text, that bash gets for the last word typed."""
    _, *before, last = f"collagebench {typed}".split(" ")
    found = BashComplete(cli, {}, "collagebench", "_COLLAGEBENCH_COMPLETE").get_completions(before, last)
    return [(item.type, item.value) for item in found]


def printed(typed: str) -> list[tuple[str, str]]:
    """Return what a process prints to a bash that asks for these completions."""
    words = f"collagebench {typed}"
    told = {"_COLLAGEBENCH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-m", "collagebench"],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, **told}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return [(kind, text) for kind, _, text in (line.partition(",") for line in done.stdout.splitlines())]


def names(typed: str) -> list[str]:
    """Return the completions that are names."""
    return [text for kind, text in offered(typed) if kind == "plain"]


def test_bash_is_offered_what_the_command_offers() -> None:
    """A process that bash asks prints the completions, and nothing else."""
    assert printed("run --profile paper-") == offered("run --profile paper-")
    assert printed("simlate --scheme ") == offered("simlate --scheme ")


def test_verbs() -> None:
    """The first word is completed to a verb."""
    assert names("") == list(VERBS)
    assert names("rec") == ["recommend", "record"]


def test_schemes() -> None:
    """After --scheme the schemes are offered; in a list the last name is completed, and names in it are not offered."""
    assert names("run --scheme ") == list(SCHEMES)
    assert names("simulate --scheme hed") == ["hedge", "hedge-idle"]
    assert names("simulate --scheme none,hedge,hed") == ["none,hedge,hedge-idle"]


def test_profiles_and_stragglers_may_be_files() -> None:
    """Profiles and stragglers are offered both as files and as names, so bash offers files where no name fits."""
    assert offered("run --profile paper-") == [("file", "paper-"), ("plain", "paper-16+1"), ("plain", "paper-25+1")]
    assert offered("simulate --stragglers collage-t") == [("file", "collage-t"), ("plain", "collage-trace")]
    assert offered("recommend --stragglers ./fl") == [("file", "./fl")]


def test_arrivals_may_be_a_file() -> None:
    """Arrivals are offered as files and as names."""
    assert offered("run --arrivals po") == [("file", "po"), ("plain", "poisson")]


def test_only_who_has_workers_can_disturb_them() -> None:
    """Natural stragglers, which need real workers, are offered to run and record only."""
    assert [names(f"{verb} --stragglers cor") for verb in ("run", "record", "simulate")] == [["corunner"]] * 2 + [[]]


def test_a_mistake_is_no_error() -> None:
    """After a misspelt verb the verbs are offered, after an unknown option nothing, and no error message is printed."""
    assert names("simlate --scheme ") == list(VERBS)
    assert names("run --nothing ") == []
