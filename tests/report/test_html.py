"""The text of the HTML page: complete, well-formed, safe and small."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from reported import NASTY, reported
from synthetic_run import lognormal, make_run

from collagebench.report import gates
from collagebench.report.expression import parse
from collagebench.report.html import page
from collagebench.report.markup import VOID
from collagebench.report.summary import summarise
from collagebench.results.reader import load


class Reader(HTMLParser):
    """Parses a page, and fails if elements are not nested properly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, name, attributes):
        self.tags.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.texts.append(data)


def made(*directories: Path, **options) -> str:
    """Return the page of run directories."""
    runs = [load(directory) for directory in directories]
    return page(summarise(runs, **options), runs, [directory.name for directory in directories])


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Return the page of one run with difficult names."""
    return made(reported(tmp_path_factory.mktemp("page") / "run"))


def test_page_is_well_formed_and_every_plot_is_there(text):
    """Elements nest, ids are unique, and each plot has a title and a description."""
    found = Reader(text)
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    figures = {attributes["id"] for name, attributes in found.tags if name == "figure"}
    plots = ["cdf", "tail", "quantiles", "accuracy", "accuracy-p99", "work-p99", "phases", "injection"]
    assert {f"r0-{plot}" for plot in plots} <= figures
    assert sum(1 for figure in figures if figure.startswith("r0-slow")) == 5 * 3
    assert {f"{figure}-desc" for figure in figures} <= set(ids)


def test_names_are_never_markup(text):
    """A scheme's name that is a script tag is shown as text, and the page's own script is the only one."""
    found = Reader(text)
    assert [name for name, _ in found.tags].count("script") == 1
    assert NASTY in found.texts
    assert not any("alert" in str(attributes.get("onload", "")) for _, attributes in found.tags)


def test_page_loads_nothing(text):
    """The page has no address, and no attribute that fetches anything."""
    assert not re.search(r"https?:|url\(|@import|\bsrc=|<link|\bhref=", text)


def test_verdict_comes_before_figures_and_plots(text):
    """The verdict and its sentences come first, then the table, then the plots."""
    words = " ".join(Reader(text).texts)
    places = [words.index(part) for part in ("VALID", "on equal hardware", "Figures", "Latency: the tail", "Made with")]
    assert places == sorted(places)


def test_invalid_run_says_why_and_draws_what_it_can(tmp_path):
    """An interrupted run without figures has a page that says so, and a run of three requests has a page as well."""
    empty = " ".join(Reader(made(make_run(tmp_path / "empty", {"none": []}, status="interrupted"))).texts)
    assert "INVALID" in empty
    assert "interrupted" in empty
    tiny = " ".join(Reader(made(make_run(tmp_path / "tiny", {"none": [[0.1, None, 0.2]]}))).texts)
    assert "failed after" not in tiny
    assert "≥" in tiny or "infinite" in tiny


def test_options_in_the_first_sentence_are_code(tmp_path):
    """An option in the verdict's first sentence is marked as code, so that no line breaks inside it."""
    rows = {"none": [[0.1] * 50] * 2, "hedge": [[0.2] * 50] * 2}
    text = made(make_run(tmp_path / "run", rows))
    lead = text.split('<p class="lead">', 1)[1].split("</p>", 1)[0]
    assert "raise <code>--requests</code> or <code>--runs</code>" in lead


def test_too_few_requests_are_marked(tmp_path):
    """Where only a lower bound is known, the table and the plot mark it as one."""
    text = made(make_run(tmp_path / "run", {"none": [[0.1] * 200]}))
    assert "≥ 100.0" in text
    assert "at least 100.0 ms" in text


def test_a_ratio_that_was_not_tested_says_so(tmp_path):
    """After one run a ratio of p99s is marked as not compared, and a note says what that takes; not after two runs."""
    for runs in (1, 2):
        rows = {"none": lognormal(1, runs, 600), "hedge": lognormal(2, runs, 600, 0.01)}
        text = made(make_run(tmp_path / f"{runs}", rows))
        assert text.count("<small>not compared</small>") == text.count("Not compared: that takes") == 2 - runs
        assert "<td>1.00x</td>" in text, "the baseline is not marked"


def test_the_table_of_sources_explains_them(text):
    """What a source is and which requests straggled is said where answers are listed by source, which may be folded."""
    table = text.split("<summary>Answers by source</summary>", 1)[1].split("</details>", 1)[0]
    assert "Source of an answer: own, the request's own first task" in table
    assert "Straggled: requests whose own task was slow." in table


def test_gates_are_listed(tmp_path):
    """The page lists the outcome of every gate."""
    run = load(make_run(tmp_path / "run", {"none": lognormal(1, 4, 250)}))
    summary = summarise([run])
    assert gates.apply(summary, [parse("none.p99 > 0.001"), parse("none.p99 > 9")])
    made = page(summary, [run], ["run"])
    assert "gate FAILED</b> none.p99 &gt; 0.001" in made
    assert "gate passed</b> not (none.p99 &gt; 9)" in made


def test_several_runs_are_compared(tmp_path):
    """Each run has its own part of the page, and the schemes that both have are compared before those parts."""
    one = reported(tmp_path / "live", ("none", "collage"))
    other = reported(tmp_path / "simulated", ("none", "hedge"), engine="simulated")
    words = " ".join(Reader(text := made(one, other)).texts)
    assert words.index("Comparison of the runs") < words.index("Figures")
    assert "none: the tail in each run" in words
    assert "collage: the tail in each run" not in words
    assert 'id="r0-injection"' in text
    assert 'id="r1-injection"' not in text


def test_page_of_a_hundred_thousand_requests_is_small(tmp_path):
    """The page of 100,000 requests has less than 1.5 MB, because curves are thinned and timelines are cut."""
    rows = {name: lognormal(place, 5, 5_000) for place, name in enumerate(("none", "hedge", "collage", "tied"))}
    assert len(made(make_run(tmp_path / "run", rows)).encode()) < 1_500_000


def test_a_scheme_of_somebody_elses_is_described_in_its_own_words(tmp_path):
    """A user's own scheme is described by the text in the run's header, with its settings as in a profile.

    An older run without the text shows none.
    """
    latencies = {"none": [[0.01] * 20], "mine": [[0.02] * 20]}
    told = [
        {
            "variant": "mine",
            "scheme": "mine:Mine",
            "about": "Two tasks in quiet times.",
            "settings": {"quiet_below": 3},
        },
        {"variant": "hedge", "scheme": "hedge", "settings": {"hedge_delay": 0.5}},
    ]
    text = made(make_run(tmp_path / "run", {**latencies, "hedge": latencies["none"]}, header={"schemes": told}))
    assert "Two tasks in quiet times." in text
    assert "<code>quiet-below = 3</code>" in text
    assert "<code>--hedge-delay 0.5</code>" in text
    assert "quiet times" not in made(make_run(tmp_path / "old", latencies))


def test_headings_have_no_gap(text, tmp_path):
    """No heading is more than one level below the one before it, on a page of one run or of several."""
    several = made(reported(tmp_path / "one"), reported(tmp_path / "two"))
    for whole in (text, several):
        levels = [int(name[1]) for name, _ in Reader(whole).tags if re.fullmatch("h[1-6]", name)]
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))


def test_many_notes_leave_the_figures_in_sight(tmp_path):
    """All reasons and gates are shown, but only the first three notes; the other notes are folded."""
    run = load(make_run(tmp_path / "run", {"none": lognormal(1, 4, 250)}))
    summary = summarise([run])
    limits = [f"none.p50 > {place}" for place in (0, *range(10, 14))]
    gates.apply(summary, [parse(limit) for limit in limits])
    summary |= {"valid": False, "reasons": [f"r{place}" for place in range(6)]}
    summary["warnings"] = [f"w{place}" for place in range(5)]
    whole = page(summary, [run], ["run"])
    shown, folded = whole.split("<summary>2 more notes</summary>")
    assert [f"r{place}" for place in range(6) if f"</b> r{place}</li>" in shown] == summary["reasons"]
    told = re.findall(r"<li><b>gate (?:FAILED|passed)</b> (?:not \()?(none\.p50 &gt; \d+)", shown)
    assert told == [limit.replace(">", "&gt;") for limit in limits]
    assert [f"w{place}" for place in range(5) if f"</b> w{place}</li>" in shown] == ["w0", "w1", "w2"]
    assert "</b> w4</li>" in folded.split("</details>")[0]


def test_the_legend_shows_the_dots_that_plots_have(tmp_path):
    """With nine schemes and eight colours, the ninth scheme has a dot of another shape in the legend."""
    whole = made(reported(tmp_path / "run", tuple(f"n{place}" for place in range(9)), requests=40))
    legend = whole.split('class="legend"', 1)[1].split("<main>", 1)[0]
    assert legend.count("<circle") == 8
    assert legend.count("<rect") == 1
