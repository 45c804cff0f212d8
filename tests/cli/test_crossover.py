"""`crossover` as a user meets it, on small real simulations."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import said_by

from collagebench.config import Config, SchemeConfig
from collagebench.report.crossover import as_ratio
from collagebench.report.summary import summarise
from collagebench.results.reader import load
from collagebench.statistics.crossing import Look, look
from collagebench.study.crossover_found import Found, said
from collagebench.study.crossover_question import Question

pytestmark = pytest.mark.usefixtures("in_threads")
SMALL = ("--runs", 6, "--requests", 200, "--compute-time", 0.001, "--stragglers", "shifted-exponential")


def test_replication_gives_way_to_no_redundancy_as_the_load_rises(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Replication has the lower mean at low load and overloads the fleet at high load; the crossing lies between."""
    question = ("--scheme", "none,replication", "--metric", "mean", "--from", 0.05, "--to", 0.95, "--tolerance", 0.1)
    code, out, _ = said_by(capsys, "crossover", *SMALL, *question, "--format", "json", "--out", tmp_path / "c")
    answer = json.loads(out)
    (pair,) = answer["pairs"]
    (one,) = pair["crossings"]
    assert code == 0
    assert (one["better_below"], one["better_above"]) == ("replication", "none")
    low, high = one["ci95"]
    assert 0.1 < low <= one["at"] <= high < 0.7
    assert answer["complete"]
    assert json.loads((tmp_path / "c" / "crossover.json").read_text()) == answer
    page = (tmp_path / "c" / "crossover.html").read_text()
    assert pair["said"].replace("<", "&lt;") in page
    assert "<figcaption>none − replication</figcaption>" in page
    assert "difference of mean, ms" in page
    assert "more <code>--runs</code> or <code>--requests</code> narrow it" in page
    assert max(point["value"] for point in answer["points"] if point["schemes"][1]["unstable"]) == 0.95
    assert " to 0.95, replication cannot sustain the load, or most requests fail, so it has no figure." in page
    assert "none cannot sustain" not in page

    ends = (pair["differences"][0], pair["differences"][-1])
    own, other = (scheme["value_s"] for scheme in answer["points"][0]["schemes"])
    assert ends[0]["ratio"] == pytest.approx(own / other)
    assert 1 < ends[0]["ratio_ci95"][0] < ends[0]["ratio"] < ends[0]["ratio_ci95"][1]
    assert ends[1]["ratio"] is ends[1]["ratio_ci95"] is None, "one of them cannot bear the load there"
    shown, low, high = (f"{value:.2f}x" for value in (ends[0]["ratio"], *ends[0]["ratio_ci95"]))
    assert ">none / replication</th>" in page
    assert f"<td>{shown}<small>{low} to {high}</small></td>" in page

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "c").glob("*/requests.csv")}
    _, table, _ = said_by(capsys, "crossover", *SMALL, *question, "--out", tmp_path / "c")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "c").glob("*/requests.csv")}
    assert max(map(len, table.splitlines())) <= 80
    assert "replication is better up to utilisation" in " ".join(table.split())
    assert f"none / replication 0.05 {shown} {low} to {high} 0.95 - replication: unstable" in " ".join(table.split())


def test_where_figures_point_the_other_way_no_crossover_is_denied() -> None:
    """If a scheme is shown to be better at one end and only looks worse at the other, there may be a crossover."""
    config = Config((SchemeConfig("collage", "collage"), SchemeConfig("replication", "replication")), 10)
    question = Question(config, "utilisation", 0.1, 0.8)

    def told(looks: dict[float, Look]) -> str:
        return said(question, Found("collage", "replication", looks, initial=[0.1, 0.4, 0.8]))

    shown = look([1.0, 1.1, 1.05, 1.02], [2.0, 2.2, 2.1, 2.05])
    contrary = look([2.0, 1.5, 3.0, 0.5], [1.0, 1.4, 2.0, 0.6])
    favourable = look([1.0, 1.4, 2.0, 0.6], [2.0, 1.5, 3.0, 0.5])
    assert (shown.verdict, contrary.verdict, favourable.verdict) == (-1, 0, 0)
    there = told({0.1: contrary, 0.4: favourable, 0.8: shown})
    assert there == (
        "collage is shown to be better than replication at utilisation 0.8; at 0.1 its p99 is higher, but that is "
        "not shown: there may be a crossover, and more --runs or --requests would tell"
    )
    alone = look([2.0, 1.5, 3.0, 1.2], [1.0, 1.4, 2.0, 1.1])
    alone = replace(alone, low=0.01, p=0.04)
    there = told({0.1: alone, 0.4: favourable, 0.8: shown})
    assert "its p99 is higher, but that is not shown after correcting for 3 values: there may be a crossover" in there
    assert told({0.1: favourable, 0.4: shown, 0.8: shown}) == (
        "collage is better than replication from utilisation 0.1 to 0.8, wherever a difference is shown (none is shown "
        "at 0.1): no crossover"
    )


def test_a_ratio_is_marked_where_no_difference_is_shown() -> None:
    """A ratio gets a ~ if no difference is shown, even if its interval excludes 1; the interval may be unknown."""
    shown = {"ratio": 1.2, "ratio_ci95": [1.1, 1.3], "verdict": 1}
    assert as_ratio(shown) == ("1.20x", "1.10x to 1.30x")
    assert as_ratio({**shown, "verdict": 0}) == ("~1.20x", "1.10x to 1.30x")
    assert as_ratio({**shown, "ratio_ci95": None}) == ("1.20x", "")


def test_the_ratio_of_a_quantile_is_that_of_the_report_of_the_experiment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Ratio and interval are exactly those of the experiment's report, and both show the same differences."""
    question = ("--scheme", "none,hedge", "--from", 0.2, "--to", 0.4, "--steps", 2)
    _, out, _ = said_by(capsys, "crossover", *SMALL, *question, "--format", "json", "--out", tmp_path / "c")
    (pair,) = json.loads(out)["pairs"]
    for one in pair["differences"]:
        reported = summarise([load(tmp_path / "c" / f"utilisation={one['value']:g}")], baseline="hedge")
        versus = reported["schemes"][0]["versus"]["p99"]
        assert (one["ratio"], one["ratio_ci95"]) == (versus["ratio"], versus["ratio_ci95"])
        low, high = one["ratio_ci95"]
        assert (one["verdict"] != 0) == (versus["p"] <= 0.05 and not low <= 1 <= high)


def test_where_there_is_none_it_says_who_is_better(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Where replication wins at every load searched, the answer says so and that there is no crossover."""
    question = ("--scheme", "none,replication", "--metric", "mean", "--from", 0.05, "--to", 0.15, "--steps", 2)
    _, out, _ = said_by(capsys, "crossover", *SMALL, *question, "--out", tmp_path / "c")
    assert "replication is better than no redundancy from utilisation 0.05 to 0.15: no crossover" in " ".join(
        out.split()
    )
    assert "replication (than none) - throughout replication (than none)" in " ".join(out.split())
    assert "throughout: one of the two" in out
    assert "throughout" not in (tmp_path / "c" / "crossover.html").read_text()  # which has no such column


def test_what_is_to_be_known_of_every_value_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """If the slow machines are drawn once per run, table and page carry the report's note about it."""
    question = ("--scheme", "none,hedge-idle", "--metric", "mean", "--from", 0.1, "--to", 0.2, "--steps", 2)
    options = ("--stragglers", "collage-machines", *question, "--out", tmp_path / "c")
    _, out, _ = said_by(capsys, "crossover", *SMALL, *options)
    assert "Note: which machines are slow is drawn once per run" in " ".join(out.split())
    assert "which machines are slow is drawn once per run" in (tmp_path / "c" / "crossover.html").read_text()


def test_what_every_value_says_with_other_numbers_is_said_as_well(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """If replies are lost at every load, the note gives the smallest and the largest count."""
    question = ("--scheme", "none,hedge", "--metric", "p50", "--from", 0.1, "--to", 0.3, "--steps", 2)
    options = ("--stragglers", "erasure", "--drop-share", 0.1, *question, "--format", "json", "--out", tmp_path / "c")
    _, out, _ = said_by(capsys, "crossover", *SMALL, *options)
    (text,) = [text for text in json.loads(out)["warnings"] if text.startswith("none: ")]
    assert re.match(r"none: \d+ to \d+ of 1140 requests failed and count as infinitely slow", text)


def test_where_a_figure_is_infinite_nothing_is_drawn_as_no_difference(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Where so many requests fail that a p90 is infinite, there is no difference, not one of 0, and the output says it.

    In the plot of the schemes the line leaves at the top; the others have figures at every value.
    """
    question = ("--scheme", "none,hedge", "--over", "drop-share", "--from", 0.01, "--to", 0.2, "--steps", 2)
    few = ("--metric", "p90", "--runs", 3, "--requests", 80, "--accuracy", "none")
    options = ("--stragglers", "erasure", *question, *few, "--out", tmp_path / "c")
    _, table, _ = said_by(capsys, "crossover", *SMALL, *options)
    answer = json.loads((tmp_path / "c" / "crossover.json").read_text())
    (pair,) = answer["pairs"]
    assert [[one["infinite"] for one in point["schemes"]] for point in answer["points"]] == [
        [False, False],
        [True, False],
    ]
    assert pair["differences"][0]["difference_s"] is not None
    assert pair["differences"][1]["difference_s"] is None
    assert "0.2 - none: infinite" in " ".join(table.split())
    page = (tmp_path / "c" / "crossover.html").read_text()
    assert "At drop-share 0.2, so many requests of none fail that its p90 is infinite." in page
    assert "At drop-share 0.2 there is nothing to compare: not both have a p90 in every run." in page
    assert page.count("none, drop-share 0.2: infinite</title><path") == 1
    assert "<td>infinite<small>too many failed</small></td>" in page


def test_added_runs_are_told_even_if_only_some_values_have_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """If runs are added and a value is new, the answer has the note on added runs, and as many runs of every value."""
    question = ("--scheme", "none,hedge", "--metric", "mean", "--from", 0.1, "--to", 0.3, "--out", tmp_path / "c")
    said_by(capsys, "crossover", *SMALL, "--runs", 3, *question, "--steps", 2)
    _, out, _ = said_by(capsys, "crossover", *SMALL, *question, "--steps", 3)
    assert out.count("Note: runs were added to the first 3.") == 1
    runs = [load(path.parent).header for path in sorted((tmp_path / "c").glob("*/run.json"))]
    assert [(run["config"]["runs"], run.get("extended")) for run in runs] == [(6, [3]), (6, None), (6, [3])]


def test_an_axis_of_whole_numbers_in_equal_ratios(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Over fleets of 2 to 32 workers with --log, all values are whole, and the largest fleet has the lower mean."""
    question = (
        "--scheme",
        "none,replication",
        "--metric",
        "mean",
        "--over",
        "workers",
        "--from",
        2,
        "--to",
        32,
        "--log",
    )
    load = ("--utilisation", 0.4, "--steps", 3)
    code, out, _ = said_by(capsys, "crossover", *SMALL, *question, *load, "--format", "json", "--out", tmp_path / "c")
    answer = json.loads(out)
    assert code == 0
    assert answer["scan"] == [2, 8, 32]
    assert all(float(point["value"]).is_integer() for point in answer["points"])
    means = [point["schemes"][0]["value_s"] for point in answer["points"]]
    assert means[0] > means[-1]


def test_one_is_not_called_better_where_that_is_not_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """If no value tells two schemes apart, the outcome is `alike` and neither is named as better."""
    question = ("--scheme", "none,equal", "--metric", "mean", "--from", 0.1, "--to", 0.3, "--steps", 2)
    _, out, _ = said_by(capsys, "crossover", *SMALL, *question, "--format", "json", "--out", tmp_path / "c")
    (pair,) = json.loads(out)["pairs"]
    assert (pair["outcome"], pair["better"], pair["crossings"]) == ("alike", None, [])
    assert pair["said"] == "no redundancy and equal cannot be told apart from utilisation 0.1 to 0.3"


def test_an_axis_that_changes_nothing_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """If the option searched has no effect, such as --slow-share for a trace without persistence, a note says so."""
    question = ("--scheme", "none,replication", "--over", "slow-share", "--from", 0.1, "--to", 0.3, "--steps", 2)
    small = (*SMALL[:-1], "collage-trace")
    code, out, _ = said_by(capsys, "crossover", *small, *question, "--out", tmp_path / "c")
    assert code == 0
    assert "slow-share changed nothing: all values gave the same figures" in " ".join(out.split())


def test_records_that_were_changed_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """If records in --out were changed, crossover ends with exit code 1, names the line, and what to remove."""
    question = ("--scheme", "none,replication", "--metric", "mean", "--from", 0.1, "--to", 0.3, "--steps", 2)
    said_by(capsys, "crossover", *SMALL, *question, "--out", tmp_path / "c")
    records = tmp_path / "c" / "utilisation=0.1" / "requests.csv"
    records.write_text(records.read_text() + "\n")
    code, _, err = said_by(capsys, "crossover", *SMALL, *question, "--out", tmp_path / "c")
    assert code == 1
    assert "requests.csv line 2402 is not a record" in " ".join(err.split())
    assert err.endswith(f"; remove {records.parent}, so that it is simulated again\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scheme", "none"], "a crossover is between two schemes: name at least two with --scheme"),
        (["--over", "utilization"], "--over takes an option that is a number; did you mean 'utilisation'?"),
        (["--over", "seed", "--from", 1, "--to", 9], "--over takes an option that is a number"),
        (["--over", "workers", "--from", 2.5, "--to", 9], "--workers is a whole number, so --from and --to must be"),
        (["--over", "persistence", "--from", 0, "--to", 2, "--log"], "--log needs a --from above 0, not 0"),
        (["--runs", 3, "--requests", 10], "30 requests after the warm-up are too few for a p99, which takes 368"),
        (["--over", "dataset"], "--over takes an option that is a number"),
        (["--over", "persistence"], "give the range of --persistence to search, with --from and --to"),
        (["--from", 0.9, "--to", 0.1], "--from and --to must be numbers, and --from below --to"),
        (["--metric", "p98"], "--metric must be one of p50, p90, p95, p99, p999, mean, not 'p98'"),
        (["--utilisation", 0.5], "--utilisation is the axis, so --from and --to set its range: leave it out"),
        (["--tolerance", 5], "--tolerance must be above 0 and below the range, not 5"),
        (["--runs", 2], "a crossover takes at least 3 runs"),
        (["--steps", 1], "--steps must be from 2 to 40, not 1"),
        (["--steps", 100_000], "--steps must be from 2 to 40, not 100000"),
        (["--from", -1], "--utilisation must be a number above 0, not -1.0"),
    ],
)
def test_a_question_that_makes_no_sense_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[Any], said: str
) -> None:
    """Options that make no sense end with exit code 2 and a sentence that names the option; nothing is written."""
    code, _, err = said_by(capsys, "crossover", *arguments, "--out", tmp_path / "c")
    assert code == 2
    assert said in " ".join(err.split())
    assert not (tmp_path / "c").exists()
