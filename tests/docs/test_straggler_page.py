"""The page about stragglers: it has exactly the families, parameters and defaults of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from real_processes import ROOT

from collagebench.cli.options import SECTIONS
from collagebench.stragglers.model import NAMES, PARAMETERS

DOCS = Path(ROOT) / "docs"
if not DOCS.exists():
    pytest.skip("an installed package carries no docs", allow_module_level=True)

PAGE = (DOCS / "stragglers.md").read_text(encoding="utf-8")
SECTIONS_OF = dict(re.findall(r"^##+ (.+)\n((?:(?!^##).*\n)*)", PAGE, re.MULTILINE))
COMMON = "and those that most have"


def listed(text: str) -> dict[str, str]:
    """Return the parameters that a text lists, by the name of the field, with their defaults as written."""
    return {
        name.replace("-", "_"): default for name, default in re.findall(r"`--([a-z-]+)`\s\(([^)]*)\)", text, re.DOTALL)
    }


def parameters(family: str) -> dict[str, str]:
    """Return the parameters that the page gives for a family."""
    text = SECTIONS_OF[family].partition("Parameters: ")[2]
    common = listed(SECTIONS_OF["Parameters that most have"]) if COMMON in " ".join(text.split()) else {}
    return {**common, **listed(text)}


@pytest.mark.parametrize("family", NAMES)
def test_parameters_and_defaults(family: str) -> None:
    """The page lists exactly a family's parameters with their defaults; a default of None is put in words."""
    written = parameters(family)
    assert written.keys() == PARAMETERS[family].keys()
    for name, default in PARAMETERS[family].items():
        said = written[name].split()[0].rstrip(":")
        if default is None:
            assert not re.match(r"[-+]?[\d.]+$", said)
        elif isinstance(default, str):
            assert said == default
        else:
            assert float(said) == default


def test_the_families_are_those_that_there_are() -> None:
    """The table and the sections have exactly the families of the code, in its order."""
    overview = re.findall(r"^\| \[(\S+)\]\(#\S+\) \|", SECTIONS_OF["At a glance"], re.MULTILINE)
    assert tuple(overview) == NAMES
    described = [name for name, text in SECTIONS_OF.items() if "Parameters: " in text]
    assert tuple(described) == NAMES


@pytest.mark.parametrize("family", NAMES)
def test_two_or_three_sentences(family: str) -> None:
    """A family is described in at most a dozen lines before its parameters."""
    before = SECTIONS_OF[family].partition("Parameters: ")[0]
    assert len([line for line in before.splitlines() if line.strip() and "|" not in line]) <= 12


def test_links_lead_somewhere() -> None:
    """Each link inside the page leads to a heading of it."""
    anchors = {re.sub(r"[^a-z0-9 -]", "", name.lower()).replace(" ", "-") for name in SECTIONS_OF}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


def test_options_that_are_named_exist() -> None:
    """Every option on the page is an option of the command line."""
    names = {
        flag.lstrip("-")
        for options in SECTIONS.values()
        for add in options
        for flag in add(lambda: None).__click_params__[0].opts
    }
    written = set(re.findall(r"`(?:[a-z ]+ )?--([a-z-]+)", PAGE))
    assert written - names <= {"out", "details", "samples"}
