"""The report as one SVG picture: complete, readable without a browser, and as honest as the page."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from reported import NAMES, NASTY, reported
from swept import swept
from synthetic_run import make_run

from collagebench.report.picture import WHOLE, _lines, picture, sweep_picture
from collagebench.report.summary import summarise
from collagebench.report.sweep import summarise_sweep
from collagebench.results.reader import load

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*directories: Path, **options) -> ElementTree.Element:
    """Return the picture of run directories, parsed as XML."""
    runs = [load(directory) for directory in directories]
    return ElementTree.fromstring(
        picture(summarise(runs, **options), runs, [directory.name for directory in directories])
    )


def texts(whole: ElementTree.Element) -> str:
    """Return all text in a picture."""
    return " ".join("".join(text.itertext()) for text in whole.iter(f"{SVG}text"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ElementTree.Element:
    """Return the picture of one run with difficult names."""
    return drawn(reported(tmp_path_factory.mktemp("picture") / "run"))


def test_a_picture_shows_tail_and_trade_with_every_name_as_text(whole: ElementTree.Element) -> None:
    """A picture has two plots side by side, each with a title for screen readers; no name becomes an element."""
    plots = [plot for plot in whole.iter(f"{SVG}svg") if "role" in plot.attrib]
    assert [plot.findtext(f"{SVG}title") for plot in plots] == ["Latency: the tail", "p99 against work"]
    assert plots[0].attrib["y"] == plots[1].attrib["y"]
    ids = [one.attrib["id"] for one in whole.iter() if "id" in one.attrib]
    assert len(ids) == len(set(ids))
    assert list(whole.iter(f"{SVG}script")) == []
    tips = {tip.text for tip in plots[0].iter(f"{SVG}title")}
    assert {*NAMES, "bound"} <= tips
    assert NASTY in tips


def test_each_dot_says_how_accurate_its_scheme_is(whole: ElementTree.Element) -> None:
    """In the plot of p99 against work, a scheme's label includes its accuracy."""
    labels = ["".join(label.itertext()) for label in whole.iter(f"{SVG}text") if label.get("class") == "label"]
    assert any(re.fullmatch(r"replication \d+\.\d %", label) for label in labels)


def test_what_is_in_parentheses_about_a_difference_stays_on_its_line() -> None:
    """A headline may break before a p-value in parentheses, not within it."""
    assert _lines("accuracy -0.3 points (p 0.094)", "head", 220) == ["accuracy -0.3 points", "(p 0.094)"]


def test_a_long_name_does_not_cost_the_accuracy(tmp_path: Path) -> None:
    """A name that is too long is cut in its middle, and the accuracy still follows it."""
    names = ("none", "a variant whose name goes on and on")
    whole = drawn(reported(tmp_path / "run", names=names))
    labels = ["".join(label.itertext()) for label in whole.iter(f"{SVG}text") if label.get("class") == "label"]
    assert any(re.fullmatch(r"a v….* on and on \d+\.\d %", label) for label in labels), labels


def test_nothing_leaves_the_sheet_and_nothing_is_loaded(whole: ElementTree.Element) -> None:
    """Plots and lines of text lie within the picture's width and height, and the picture refers to no address."""
    width, height = float(whole.attrib["width"]), float(whole.attrib["height"])
    assert width == WHOLE
    for plot in (plot for plot in whole.iter(f"{SVG}svg") if "role" in plot.attrib):
        assert float(plot.attrib["x"]) + float(plot.attrib["width"]) < width
        assert float(plot.attrib["y"]) + float(plot.attrib["height"]) < height
    for line in whole.findall(f"{SVG}text"):
        assert 0 < float(line.attrib["y"]) < height
    written = ElementTree.tostring(whole, encoding="unicode").replace("http://www.w3.org/2000/svg", "")
    assert "http" not in written
    assert "url(" not in written


def test_its_colours_are_colours(whole: ElementTree.Element) -> None:
    """The style has no CSS variables, which only browsers know, and it has separate colours for dark mode."""
    style = whole.findtext(f"{SVG}style") or ""
    assert "var(" not in style
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    page = re.compile(r"\.sheet \{ fill: (#\w+)")
    assert page.findall(light) != page.findall(dark) != []


def test_an_invalid_run_is_called_so_in_the_picture(tmp_path: Path) -> None:
    """The picture of an INVALID run says INVALID with the reason, and does not say which scheme is better."""
    broken = make_run(tmp_path / "cut", {"none": [[0.01] * 50], "hedge": [[0.005] * 50]}, status="running")
    said = texts(drawn(broken))
    assert "INVALID because the run has not ended" in said
    assert "lower than" not in said
    beside = texts(drawn(broken, reported(tmp_path / "sound")))
    assert "cut: INVALID because" in beside
    assert "sound: INVALID" not in beside


def test_several_runs_lie_one_below_the_other_under_their_names(tmp_path: Path) -> None:
    """Each run has its own headline, which begins with its name, and its own plots below it."""
    whole = drawn(reported(tmp_path / "before"), reported(tmp_path / "after"))
    plots = [plot for plot in whole.iter(f"{SVG}svg") if "role" in plot.attrib]
    assert len(plots) == 4
    assert float(plots[2].attrib["y"]) > float(plots[1].attrib["y"]) + float(plots[1].attrib["height"])
    heads = [text.text or "" for text in whole.iter(f"{SVG}text") if (text.get("class") or "").startswith("head")]
    assert any(head.startswith("before: ") for head in heads)
    assert any(head.startswith("after: ") for head in heads)


def test_a_run_without_any_answer_is_a_picture_too(tmp_path: Path) -> None:
    """If no request was answered, the picture has no plots and says INVALID."""
    whole = drawn(make_run(tmp_path / "lost", {"none": [[None] * 20]}))
    assert [plot for plot in whole.iter(f"{SVG}svg") if "role" in plot.attrib] == []
    assert "INVALID" in texts(whole)


def test_a_sweep_is_its_figures_along_the_axis(tmp_path: Path) -> None:
    """A sweep over one option shows its findings, p99, accuracy and work; one over two shows p99 by slice."""
    schemes = {"none": 0.02, "hedge": 0.01}
    cells = {f"utilisation={load}": schemes for load in (0.2, 0.5)}
    one = summarise_sweep(swept(tmp_path / "one", {"utilisation": [0.2, 0.5]}, cells))
    whole = ElementTree.fromstring(sweep_picture(one, "one"))
    titles = [plot.findtext(f"{SVG}title") for plot in whole.iter(f"{SVG}svg") if "role" in plot.attrib]
    assert titles == [f"{what} over utilisation" for what in ("p99", "Accuracy", "Work")]
    assert "lowest p99: hedge" in texts(whole)
    axes = {"utilisation": [0.2, 0.5], "seed": [1, 2]}
    both = {f"utilisation={load},seed={seed}": schemes for load in (0.2, 0.5) for seed in (1, 2)}
    two = summarise_sweep(swept(tmp_path / "two", axes, both))
    titles = re.findall(r"<title[^>]*>(.*?)</title>", sweep_picture(two, "two"))
    assert [title for title in titles if "over" in title] == [
        *(f"p99 over utilisation: seed {seed}" for seed in (1, 2)),
        *(f"p99 over seed: utilisation {load}" for load in (0.2, 0.5)),
    ]
