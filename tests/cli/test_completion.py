"""Completion in a shell: what bash is told behind each word."""

from __future__ import annotations

import os
import subprocess
import sys

from real_processes import ROOT

from collagebench.cli import VERBS
from collagebench.schemes import SCHEMES


def offered(typed: str) -> list[tuple[str, str]]:
    """Return the kinds and texts that bash is given for the last word of what was typed."""
    words = f"collagebench {typed}"
    told = {"_COLLAGEBENCH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-m", "collagebench"],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, **told}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return [(kind, text) for kind, _, text in (line.partition(",") for line in done.stdout.splitlines())]


def names(typed: str) -> list[str]:
    """Return the names among what is offered."""
    return [text for kind, text in offered(typed) if kind == "plain"]


def test_verbs() -> None:
    """The first word is a verb."""
    assert names("") == list(VERBS)
    assert names("rec") == ["recommend", "record"]


def test_schemes() -> None:
    """Behind --scheme stand the schemes; of a list the last one is completed, and none is offered twice."""
    assert names("run --scheme ") == list(SCHEMES)
    assert names("simulate --scheme hed") == ["hedge", "hedge-idle"]
    assert names("simulate --scheme none,hedge,hed") == ["none,hedge,hedge-idle"]


def test_profiles_and_stragglers_may_be_files() -> None:
    """Names come after the word for files, which bash therefore offers where no name fits."""
    assert offered("run --profile paper-") == [("file", "paper-"), ("plain", "paper-16+1"), ("plain", "paper-25+1")]
    assert offered("simulate --stragglers collage-t") == [("file", "collage-t"), ("plain", "collage-trace")]
    assert offered("recommend --stragglers ./fl") == [("file", "./fl")]


def test_only_who_has_workers_can_disturb_them() -> None:
    """What needs real workers is offered to run and record only."""
    assert [names(f"{verb} --stragglers cor") for verb in ("run", "record", "simulate")] == [["corunner"]] * 2 + [[]]


def test_a_mistake_is_no_error() -> None:
    """Behind words that do not exist a shell is told nothing that it would print into the command line."""
    assert names("simlate --scheme ") == list(VERBS)
    assert names("run --nothing ") == []
