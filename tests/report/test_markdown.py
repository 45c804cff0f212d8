"""The report as Markdown."""

from __future__ import annotations

from reported import NASTY, reported
from synthetic_run import lognormal, make_run

from collagebench.report.markdown import escaped, markdown
from collagebench.report.summary import summarise
from collagebench.results.reader import load


def made(*directories) -> str:
    """Return the Markdown of run directories."""
    return markdown(summarise([load(directory) for directory in directories]))


def test_table_has_a_row_for_each_scheme_and_as_many_cells_as_heads(tmp_path):
    """Every line of the table has the same number of cells, whatever the names are."""
    lines = [line for line in made(reported(tmp_path / "run")).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 5 + 1
    assert {line.replace("\\|", "").count("|") for line in lines} == {12}


def test_verdict_comes_first_and_conditions_last(tmp_path):
    """The verdict is the first line, its reasons follow, and the conditions are the last line."""
    lines = made(make_run(tmp_path / "run", {"none": lognormal(1, 4, 250)}, status="interrupted")).splitlines()
    assert lines[0] == "**INVALID**"
    assert lines[2].startswith("- because the run was interrupted")
    assert lines[-1].startswith("live: 10 workers, 4 runs x 250 requests")


def test_names_mean_nothing_to_markdown():
    """Names are escaped, so that no character starts markup, a table cell, a tag or a new line."""
    assert escaped(NASTY) == r"&lt;/script&gt;&lt;script&gt;alert('x')&lt;/script&gt;&amp;\|\`\*"
    assert escaped("a\n# b") == r"a \# b"
    assert escaped("$x$ ~y~ @me https://e.org") == r"\$x\$ \~y\~ &#64;me https:&#47;&#47;e.org"


def test_ratios_without_a_real_difference_are_marked(tmp_path):
    """A ratio without a shown difference has a tilde before it, which the legend explains."""
    latencies = {"none": lognormal(1, 4, 250), "hedge": lognormal(1, 4, 250)}
    text = made(make_run(tmp_path / "run", latencies))
    assert "| \\~" in next(line for line in text.splitlines() if line.startswith("| hedge"))
    assert "\\~: no difference of more than 5 % is shown" in text


def test_lower_bounds_and_failures(tmp_path):
    """A p99 that is not known is shown as a lower bound or as infinite, and its interval and ratio as dashes."""
    few = made(make_run(tmp_path / "few", {"none": [[0.02] * 300]}))
    assert "| none | 20.0 | 20.0 | ≥ 20.0 | - | - |" in few
    failing = made(make_run(tmp_path / "failing", {"none": [[0.02] * 380 + [None] * 20]}))
    assert "| none | 20.0 | 20.0 | infinite | - | - |" in failing


def test_several_runs_have_a_comparison(tmp_path):
    """Each run has its heading, and the last table compares them."""
    one = make_run(tmp_path / "one", {"none": lognormal(1, 4, 250)})
    other = make_run(tmp_path / "other", {"none": lognormal(1, 4, 250, median=0.04)})
    text = made(one, other)
    assert text.index("## one") < text.index("## other") < text.index("## Comparison")
    *_, last, _, said = text.splitlines()
    assert last.startswith("| none | other |")
    assert last.endswith("| 2.00x |")
    assert said.startswith("Ratio: to the first run")
