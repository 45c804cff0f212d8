"""The pages about schemes: they are complete, agree with the code, and their pictures are up to date."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from real_processes import ROOT

from collagebench.cli import cli
from collagebench.schemes import SCHEMES, class_of, options_of
from collagebench.schemes.by_hand import ByHand

DOCS = Path(ROOT) / "docs"
if not DOCS.exists():
    pytest.skip("an installed package carries no docs", allow_module_level=True)
sys.path.insert(0, str(DOCS))
from timelines import PICTURES, SCENES, pictures, play  # noqa: E402

PAGE = (DOCS / "schemes.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^##+ (.+)\n((?:(?!^##).*\n)*)", PAGE, re.MULTILINE))
ABOUT_SCHEMES = [*SCHEMES, "Hedge with a budget", "SingleR"]
ADDING = (DOCS / "adding-a-scheme.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```python\n(.*?)^```", ADDING, re.MULTILINE | re.DOTALL)
"""The page's Python code: the example, its test, and the line that adds it to the table of schemes."""


def test_the_pictures_are_what_the_schemes_do_today() -> None:
    """Drawing the timelines again gives the committed files, and no others."""
    drawn = pictures()
    stale = [name for name, svg in drawn.items() if not _same(PICTURES / name, svg)]
    assert stale == [], "run: python docs/timelines.py"
    assert {path.name for path in PICTURES.iterdir()} == set(drawn)


def _same(path: Path, svg: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == svg


@pytest.mark.parametrize("name", SCENES)
def test_a_picture_is_small_and_speaks_for_itself(name: str) -> None:
    """A picture is below 10 kB, has a title and a description in words, and has a light and a dark style."""
    svg = (PICTURES / f"{name}.svg").read_text(encoding="utf-8")
    assert len(svg.encode()) < 10_000
    root = ET.fromstring(svg)
    names = {"svg": "http://www.w3.org/2000/svg"}
    assert SCENES[name].title in root.findtext("svg:title", "", names)
    description = root.findtext("svg:desc", "", names)
    for request in range(len(SCENES[name].arrivals_ms)):
        assert f"Request {request + 1}: answered" in description
    assert "prefers-color-scheme:dark" in root.findtext("svg:style", "", names)


@pytest.mark.parametrize("name", SCENES)
def test_a_picture_shows_all_that_happens(name: str) -> None:
    """Every request is answered, and every task is over within the picture's 0.5 s."""
    course = play(SCENES[name])
    assert len(course.answers) == len(course.requests)
    assert max(course.over.values()) <= 0.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_has_a_section_with_its_options_and_defaults(scheme: str) -> None:
    """A scheme's section lists exactly the options that the scheme takes, with their defaults."""
    listed: dict[str, str] = {}
    for line in re.findall(r"^- (`--.*?):", SECTIONS[scheme], re.MULTILINE):
        for option, default in re.findall(r"`--([\w-]+)`(?: \((.*?)\))?", line):
            listed[option.replace("-", "_")] = default
    listed.pop("hedge_log", None)  # an option of the fit, not of the scheme
    options = options_of(scheme)
    assert set(listed) == set(options)
    for name, option in options.items():
        if isinstance(option.default, float):
            assert float(listed[name]) == option.default
        elif option.default is not None:
            assert listed[name] == str(option.default)
        else:
            assert not re.fullmatch(r"[\d.]+", listed[name])


@pytest.mark.parametrize("title", ABOUT_SCHEMES)
def test_every_section_has_three_sentences_a_picture_and_a_source(title: str) -> None:
    """A section has three sentences (what the scheme does, when it helps, its cost), one timeline and a source."""
    paragraph = SECTIONS[title].strip().split("\n\n")[0].replace("\n", " ")
    sentences = re.split(r"(?<=[.!?]) ", paragraph)
    assert len(sentences) == 3, sentences
    assert " helps " in sentences[1] or title == "none"
    assert sentences[2].startswith("It costs ")
    assert len(re.findall(r"!\[[^]]+\]\(timelines/[\w-]+\.svg\)", SECTIONS[title])) == 1
    assert "Source: " in SECTIONS[title].replace("\n", " ") or title == "none"


def test_the_comparison_has_a_row_for_everything_and_every_picture_is_shown() -> None:
    """The table at the top has a row for every section, all anchors exist, and the page shows every picture."""
    rows = re.findall(r"^\| \[(.+?)\]\(#(.+?)\)", SECTIONS["At a glance"], re.MULTILINE)
    assert {title.lower() for title, _ in rows} == {title.lower() for title in ABOUT_SCHEMES}
    anchors = {title.lower().replace(" ", "-") for title in SECTIONS}
    links = set(re.findall(r"\]\(#(.+?)\)", PAGE))
    assert links <= anchors
    assert set(re.findall(r"\]\(timelines/(.+?)\.svg\)", PAGE)) == set(SCENES)


def test_the_readme_names_every_scheme_and_leads_to_the_page() -> None:
    """The README's section names every scheme and links to the page."""
    section = (Path(ROOT) / "README.md").read_text(encoding="utf-8").split("## What is compared")[1].split("\n## ")[0]
    assert [name for name in SCHEMES if f"`{name}`" not in section] == []
    assert "docs/schemes.md" in section


@pytest.fixture
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Work in a directory with the page's files, and return the example's class."""
    code, test, _ = CODE
    (profile,) = re.findall(r"^```toml\n(.*?)^```", ADDING, re.MULTILINE | re.DOTALL)
    for name, text in (("quiet.py", code), ("test_quiet.py", test), ("quiet.toml", profile)):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield class_of("quiet:Quiet")
    del sys.modules["quiet"]


def test_the_example_of_a_scheme_does_what_the_page_says(quiet: Any) -> None:
    """A request on a quiet fleet has two tasks on two workers, a later one has one; the first reply answers."""
    driver = ByHand(quiet(quiet_below=1))
    first, second = driver.arrive(), driver.arrive()
    own, copy, only = driver.tasks()
    assert driver.avoided[copy.id] == (own,)
    driver.reply(copy)
    driver.reply(only)
    assert driver.answers == {first.id: ("replica", copy), second.id: ("own", only)}
    assert driver.cancelled == [own]
    third = driver.arrive()
    for task in driver.tasks():
        driver.fail(task)
    assert driver.failures == {third.id: "lost"}


def test_the_example_of_a_scheme_is_short_and_may_become_one_of_ours(quiet: Any) -> None:
    """The example has fewer than 40 lines, and the line that adds it to the table of schemes names its class."""
    assert len(CODE[0].splitlines()) < 40
    assert eval("{" + CODE[2] + "}", {"Quiet": quiet}) == {"quiet": quiet}


def test_the_example_of_a_broken_rule_names_the_line_of_the_method(quiet: Any) -> None:
    """The error message on the page has the line at which `replied` begins in the page's example."""
    assert f"(quiet.py, line {quiet.replied.__code__.co_firstlineno}, in replied)" in ADDING


def test_the_example_of_a_test_passes(quiet: Any) -> None:
    """The page's test of its example passes."""
    names: dict[str, Any] = {}
    exec(compile(CODE[1], "docs/adding-a-scheme.md", "exec"), names)
    (test,) = [value for name, value in names.items() if name.startswith("test_")]
    test()


def test_the_example_of_a_scheme_is_good_for_what_the_page_says(quiet: Any, tmp_path: Path) -> None:
    """The p99 of `Quiet` is under half that of `none` on an idle fleet, and of replication on a busy one."""

    def p99(utilisation: float) -> dict[str, float]:
        size = ["--requests", "300", "--runs", "2", "--utilisation", str(utilisation)]
        out = ["--format", "json", "--out", str(tmp_path / f"run-{utilisation}")]
        done = CliRunner().invoke(cli, ["simulate", "--profile", str(tmp_path / "quiet.toml"), *size, *out])
        assert done.exit_code in (0, 4), done.output  # replication is unstable on the busy fleet
        schemes = json.loads(done.stdout)["schemes"]
        assert [scheme["failed"] for scheme in schemes] == [0, 0, 0]
        return {scheme["variant"]: scheme["latency_s"]["p99"] for scheme in schemes}

    idle, busy = p99(0.1), p99(0.7)
    assert idle["Quiet"] < idle["none"] / 2
    assert busy["Quiet"] < busy["replication"] / 2


def test_the_tables_of_the_protocol_are_complete() -> None:
    """The page explains all 15 events and actions of the protocol."""
    from collagebench.schemes import protocol

    events = re.findall(r"^    (\w+)\(.*?\)  ", protocol.__doc__ or "", re.MULTILINE)
    assert len(events) == 15
    assert [event for event in events if f"| `{event}(" not in ADDING] == []
