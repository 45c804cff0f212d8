"""The conclusion in sentences, and the marks and tables that go with it."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console
from synthetic_run import change_header, lognormal, make_run, times

from collagebench.report.summary import summarise
from collagebench.report.table import print_summary
from collagebench.report.verdict import verdict
from collagebench.results.reader import load


def summary(directory, latencies, **options):
    """Return the summary of a run with these latencies."""
    return summarise([load(make_run(directory, latencies))], **options)


def printed(found, details=False):
    """Return the report on 80 columns."""
    file = StringIO()
    print_summary(found, Console(file=file, width=80, no_color=True), details)
    return file.getvalue()


def row(text, scheme):
    """Return the cells of a scheme's row."""
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [scheme])


@pytest.fixture
def base():
    """Return the latencies of ten runs."""
    return lognormal(1, 10, 100)


def test_the_best_comes_first(tmp_path, base):
    """Faster schemes come first, then undecided ones, then slower ones, each with ratio, hardware and accuracy."""
    latencies = {"none": base, "slow": times(base, 2), "same": lognormal(7, 10, 100), "fast": times(base, 0.5)}
    fast, same, slow = summary(tmp_path / "run", latencies)["verdict"]
    assert fast == "fast: p99 2.0x lower than none on equal hardware, the same accuracy"
    assert slow == "slow: p99 2.0x higher than none on equal hardware, the same accuracy"
    assert same.startswith("same: p99 not shown to differ from none (")


def test_the_same_accuracy_is_said_only_where_it_is_known(tmp_path):
    """Accuracy is the same for one model or with many answers; with few of another model its interval is given."""
    few, many = ({name: lognormal(1, 2, images) for name in ("none", "b")} for images in (100, 1000))
    (one_model,) = summary(tmp_path / "own", few)["verdict"]
    assert one_model.endswith(", the same accuracy")
    found = summarise([load(make_run(tmp_path / "few", few, source="collage"))])
    low, high = (100 * end for end in found["schemes"][1]["versus"]["accuracy"]["ci95"])
    assert low < -0.5
    assert found["verdict"][0].endswith(f", accuracy not shown to differ ({low:+.1f} to {high:+.1f} points)")
    (another,) = summarise([load(make_run(tmp_path / "many", many, source="collage"))])["verdict"]
    assert another.endswith(", the same accuracy")


@pytest.mark.parametrize(("difference", "said"), [(-0.0031, "-0.3"), (-0.0046, "-0.460"), (0.00498, "+0.498")])
def test_less_than_the_least_effect_looks_like_less(tmp_path, base, difference, said):
    """A difference of accuracy below the minimum effect of 0.5 points is not rounded up to it."""
    found = summary(tmp_path / "run", {"none": base, "b": base})
    none, other = found["schemes"]
    other["versus"]["accuracy"].update(difference=difference, p_holm=0.001, real=False)
    (sentence,) = verdict([none, other], none, found["minimum_effect"])
    assert sentence.endswith(f", accuracy {said} points (significant, but less than 0.5)")


@pytest.mark.parametrize(
    ("change", "source", "said"),
    [
        ({"ci95": [-0.005, 0.005]}, "collage", ", the same accuracy"),
        ({"ci95": [-0.0052, 0.005]}, "collage", ", accuracy not shown to differ (-0.5 to +0.5 points)"),
        ({"ci95": [-0.2, 0.3]}, "collage", ", accuracy not shown to differ (-20.0 to +30.0 points)"),
        ({"ci95": [0.001, 0.006]}, "collage", ", accuracy not shown to differ (+0.1 to +0.6 points)"),
        ({"ci95": [-0.2, 0.2], "won": 0, "lost": 0}, "own", ", the same accuracy"),
        ({"ci95": [-0.2, 0.2], "won": 1, "lost": 1}, "own", ", accuracy not shown to differ (-20.0 to +20.0 points)"),
        ({"difference": 0.0, "real": True}, "collage", ", accuracy +0.0 points"),
        ({"difference": -0.2, "real": True}, "collage", ", accuracy -20.0 points"),
        ({"difference": -0.2, "p_holm": 0.07}, "collage", ", accuracy -20.0 points (not significant, p 0.07)"),
        ({"difference": -0.2, "p_holm": 0.05038}, "collage", ", accuracy -20.0 points (not significant, p 0.0504)"),
    ],
)
def test_what_is_said_of_accuracy(tmp_path, base, change, source, said):
    """Accuracy is the same if one model gave the same answers, or if the whole interval is below the minimum effect;
    else the difference is given, if it is real or visible (with its p-value if not significant), or else the
    interval."""
    found = summarise([load(make_run(tmp_path / "run", {"none": base, "b": base}, source=source))])
    none, other = found["schemes"]
    other["versus"]["accuracy"].update({"difference": 0.0, "real": False, "p_holm": 1.0, **change})
    (sentence,) = verdict([none, other], none, found["minimum_effect"])
    assert sentence.endswith(f" on equal hardware{said}")


def test_a_difference_in_accuracy_on_fewer_requests_than_were_answered_says_so(tmp_path):
    """If a scheme answered requests that the other did not, the sentence has the number that both answered."""
    none = [[0.02] * 590 + [None] * 10] * 2
    (fewer,) = summary(tmp_path / "failing", {"none": none, "b": [[0.02] * 600] * 2})["verdict"]
    assert fewer.endswith(", the same accuracy on 1,180 requests that both answered")
    (all_of_them,) = summary(tmp_path / "both", {"none": none, "b": none})["verdict"]
    assert all_of_them.endswith(", the same accuracy"), "the same requests failed"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ratio": 1.5, "ratio_ci95": [1.25, 1.9]}, "1.5x (1.2 to 1.9) higher than none"),
        ({"ratio": 0.5, "ratio_ci95": [0.4, 0.8]}, "2.0x (1.2 to 2.5) lower than none"),
        ({"ratio": 1.1, "ratio_ci95": [1.099, 10.0]}, "1.1x (1.10 to 10) higher than none"),
        (
            {"ratio": 1.0, "ratio_ci95": [0.8, 1.6], "real": False},
            "inconclusive against none (1.00x, could be 0.80 to 1.6)",
        ),
    ],
)
def test_what_is_said_of_a_ratio(tmp_path, base, change, said):
    """The interval of a lower figure is inverted along with its ratio, that of an inconclusive one is not."""
    found = summary(tmp_path / "run", {"none": base, "b": base})
    none, other = found["schemes"]
    figure = {"difference_s": 0.1, "ci95_s": [-1.0, 1.0], "real": True, "p_holm": 0.001, **change}
    other["versus"]["p99"].update(figure)
    (sentence,) = verdict([none, other], none, found["minimum_effect"])
    assert said in sentence


def test_a_difference_has_its_interval_as_a_ratio(tmp_path):
    """A difference is given as a ratio with its 95 % interval, both inverted for a scheme that is lower."""
    none, half = lognormal(1, 4, 400), lognormal(2, 4, 400)
    half = [[value / 2 for value in run] for run in half]
    found = summary(tmp_path / "run", {"none": none, "half": half})
    figure = found["schemes"][1]["versus"]["p99"]
    low, high = figure["ratio_ci95"]
    assert low < figure["ratio"] < high < 1
    said = f"half: p99 {1 / figure['ratio']:.1f}x ({1 / high:.1f} to {1 / low:.1f}) lower than none"
    assert found["verdict"][0].startswith(said)


def test_lower_in_every_run_but_perhaps_without_end_is_undecided(tmp_path):
    """A p50 that may be infinite, as nearly half of the requests failed, is inconclusive and has no limit."""
    none = [[0.1 + 0.0001 * number for number in range(20)]] * 4
    fast = [[0.1 * value for value in run[:11]] + [None] * 9 for run in none]
    (said,) = summary(tmp_path / "run", {"none": none, "fast": fast})["verdict"]
    assert "p50 inconclusive against none (10x lower, with an unbounded interval)" in said


def test_runs_and_all_of_them_together_may_disagree(tmp_path):
    """If all runs together and the average over the runs disagree, the sentence is inconclusive and gives both."""
    none = [[0.1 + 0.001 * number] * 100 for number in range(9)] + [[0.1] * 95 + [1.0] * 5]
    often = [[value - 0.06 for value in run] for run in none[:9]] + [[0.04] * 85 + [0.93] * 15]
    (sentence,) = summary(tmp_path / "run", {"none": none, "often": often})["verdict"]
    words = "often: p99 inconclusive against none (8.6x higher over all runs together, lower on average over the runs)"
    assert sentence.startswith(words)


def test_a_mean_difference_alone_is_not_enough(tmp_path):
    """A p99 that is lower by the same amount in every run is inconclusive if the interval of its ratio includes 1."""
    none = [[0.1] * 98 + [1.0, 50.0]] * 10
    less = [[0.1] * 98 + [0.9, 50.0]] * 10
    (sentence,) = summary(tmp_path / "run", {"none": none, "less": less})["verdict"]
    assert sentence.startswith("less: p99 inconclusive against none (1.1x lower, could be 0.02 to 56)")


def test_close_together_is_not_within_five_percent(tmp_path):
    """A ratio near 1 with a wide interval is inconclusive, and not called within 5 %."""
    none = [[0.1] * 98 + [1.0, 50.0]] * 10
    other = [[0.1] * 98 + [0.99, 50.0]] * 10
    (sentence,) = summary(tmp_path / "run", {"none": none, "other": other})["verdict"]
    assert "within" not in sentence
    assert sentence.startswith("other: p99 inconclusive against none (1.01x lower, could be 0.02 to 51)")


def test_certain_but_small(tmp_path, base):
    """A difference of 3 % in every run is called within 5 %."""
    latencies = {"none": base, "hedge": times(base, 0.97)}
    (sentence,) = summary(tmp_path / "run", latencies)["verdict"]
    assert sentence.startswith("hedge: p99 within 5 % of none (1.03x lower) on equal hardware")


@pytest.mark.parametrize(
    ("latencies", "words"),
    [
        ({"none": lognormal(1, 1, 400), "b": lognormal(2, 1, 400)}, "that takes at least two runs"),
        ({"none": lognormal(1, 4, 50), "b": lognormal(2, 4, 50)}, "p99 not compared (too few requests"),
        ({"none": lognormal(1, 4, 100), "b": [[0.02] * 90 + [None] * 10] * 4}, "too many requests of b failed"),
    ],
)
def test_why_there_is_no_comparison(tmp_path, latencies, words):
    """If p99 cannot be compared, the sentence gives the reason."""
    (sentence,) = summary(tmp_path / "run", latencies)["verdict"]
    assert words in sentence


def test_failures_that_forbid_a_comparison_come_first(tmp_path):
    """If too many requests failed to compare p99, the sentence begins with the failures of both schemes."""
    failing = [[0.02] * 90 + [None] * 10] * 4
    (sentence,) = summary(tmp_path, {"none": failing, "b": lognormal(1, 4, 100)})["verdict"]
    assert sentence.startswith("b: no request failed (none: 40), p50 ")
    (sentence,) = summary(tmp_path / "other", {"none": lognormal(1, 4, 100), "b": failing})["verdict"]
    assert sentence.startswith("b: 40 requests failed (none: 0), p50 ")
    assert ", p99 not compared (too many requests of b failed), " in sentence


def test_where_the_baseline_has_no_p99_the_others_are_in_the_order_of_theirs(tmp_path):
    """If the baseline has no p99, the others are ordered by their own; those without one come last."""
    often = [[0.02] * 90 + [None] * 10] * 4
    latencies = {"none": often, "late": [[0.02] * 95 + [60.0] * 5] * 4, "fails": [[0.001] * 90 + [None] * 10] * 4}
    found = summary(tmp_path, {**latencies, "soon": [[0.03] * 95 + [0.1] * 5] * 4})["verdict"]
    assert [sentence.split(":")[0] for sentence in found] == ["soon", "late", "fails"]
    assert ", p99 100.0 ms (none: infinite), the same accuracy" in found[0]
    assert ", p99 60000 ms (" in found[1]


def test_answers_at_once_have_no_ratio(tmp_path):
    """A scheme whose p99 is 0 is not compared, and that is the reason given."""
    run = make_run(tmp_path / "run", {"none": lognormal(1, 4, 250), "b": [[0.0] * 250] * 4}, lag=0.0)
    (sentence,) = summarise([load(run)])["verdict"]
    assert "not compared with none (the p99 of b is 0)" in sentence


def test_how_many_runs_may_tell(tmp_path, base):
    """Where a difference is not shown, the last sentence says how many runs may show it; one shown needs none."""
    latencies = {"none": base, "a": times(lognormal(7, 10, 100), 0.8), "b": times(lognormal(8, 10, 100), 0.8)}
    found = summary(tmp_path / "run", latencies)
    a, b = (scheme["versus"]["p99"] for scheme in found["schemes"][1:])
    assert (a["real"], a["runs_needed"], b["real"], b["runs_needed"]) == (True, None, False, 37)
    sentence = "more runs may tell: about 37 for b, if the p99 differs as measured; --resume --runs 37 adds them"
    assert found["verdict"][-1] == sentence
    latencies |= {"c": times(latencies["b"], 1.04)}
    found = summary(tmp_path / "more", latencies)
    b, c = (scheme["versus"]["p99"]["runs_needed"] for scheme in found["schemes"][2:])
    assert b < c
    assert f"about {b} for b, {c} for c, if" in found["verdict"][-1]
    assert found["verdict"][-1].endswith(f"--resume --runs {c} adds them")
    same = summary(tmp_path / "same", {"none": base, "same": base})
    assert len(same["verdict"]) == 1


def test_how_many_runs_may_tell_is_not_said_of_few_fleets(tmp_path, base):
    """Where the slow machines are drawn once per run, too few runs say nothing of how many are needed."""
    run = make_run(tmp_path / "run", {"none": base, "b": times(lognormal(8, 10, 100), 0.8)})
    assert summarise([load(run)])["schemes"][1]["versus"]["p99"]["runs_needed"] == 37
    change_header(run, stragglers={"name": "markov", "parameters": {"slow_place": "anywhere"}})
    found = summarise([load(run)])
    assert found["schemes"][1]["versus"]["p99"]["runs_needed"] is None
    assert len(found["verdict"]) == 1
    assert "which machines are slow is drawn once per run" in " ".join(found["warnings"])


def test_what_cannot_be_trusted_has_no_conclusion(tmp_path, base):
    """An INVALID run and a run of one scheme have no sentences."""
    invalid = load(make_run(tmp_path / "a", {"none": base, "b": times(base, 2)}, status="interrupted"))
    assert summarise([invalid])["verdict"] == []
    assert summary(tmp_path / "b", {"none": base})["verdict"] == []


def test_keys_of_a_comparison(tmp_path, base):
    """The baseline has no comparison; the others have difference, ratio, interval, p-values and judgement."""
    found = summary(tmp_path / "run", {"none": base, "hedge": times(base, 0.5)})
    none, hedge = (scheme["versus"] for scheme in found["schemes"])
    assert none is None
    assert (hedge["baseline"], hedge["runs"], hedge["runs_left_out"]) == ("none", 10, 0)
    for name in ("p50", "p99", "mean"):
        keys = {"difference_s", "ratio", "ratio_ci95", "ci95_s", "p", "p_holm", "real", "runs_needed"}
        assert hedge[name].keys() == keys
        assert hedge[name]["ratio"] == pytest.approx(0.5)
    assert hedge["p99"]["ratio"] == found["schemes"][1]["relative"]["p99"]
    assert hedge["accuracy"].keys() == {"difference", "ci95", "p", "p_holm", "real", "pairs", "won", "lost"}
    assert hedge["accuracy"]["pairs"] == 1000
    assert found["minimum_effect"] == {"latency": 0.05, "accuracy": 0.005}


def test_only_a_single_run_has_intervals_from_within(tmp_path):
    """A single run has intervals from its order statistics; those of two runs come from their scatter."""
    one = summary(tmp_path / "one", {"none": lognormal(1, 1, 500)})["schemes"][0]
    two = summary(tmp_path / "two", {"none": lognormal(1, 2, 500)})["schemes"][0]
    low, high = one["ci95_within_s"]["p99"]
    assert low <= one["latency_s"]["p99"] <= high
    assert one["ci95_s"]["p99"] is None
    assert set(two["ci95_within_s"].values()) == {None}
    assert two["ci95_s"]["p99"] is not None


def test_ratios_without_a_real_difference_are_marked(tmp_path, base):
    """Only a ratio that may be chance has a ~ before it, and the sentences stand below VALID."""
    text = printed(summary(tmp_path / "run", {"none": base, "same": lognormal(7, 10, 100), "fast": times(base, 0.5)}))
    assert row(text, "none")[4] == "1.00x"
    assert row(text, "fast")[4] == "0.50x"
    assert row(text, "same")[4].startswith("~")
    below = text[text.index("\nVALID") :]
    assert below.index("fast: p99 2.0x lower than none") < below.index("same: p99 not shown to differ")


def test_details_of_comparisons(tmp_path, base):
    """The details give difference, interval, ratio and judgement of each figure, within 80 columns."""
    latencies = {"none": [[0.25] * 400] * 2, "replication": [[0.125] * 400] * 2}
    text = printed(summary(tmp_path / "run", latencies), details=True)
    rows = [line.split() for line in text.splitlines()]
    assert ["replication", "p50", "ms", "-125.0", "-125.0", "to", "-125.0", "0.50x", "<1e-16", "yes"] in rows
    assert ["accuracy", "pts", "+0.00", "-0.95", "to", "+0.95", "-", "1", "no"] in rows, "two runs of 400 images"
    assert max(len(line) for line in text.splitlines()) <= 80


def test_details_of_latencies_of_minutes_fit(tmp_path):
    """Differences of seconds and more are in whole milliseconds, so that the details stay within 80 columns."""
    none = lognormal(1, 4, 400, 100.0)
    text = printed(summary(tmp_path / "run", {"none": none, "replication": lognormal(2, 4, 400, 130.0)}), details=True)
    assert re.search(r"p99 ms +[+-]\d{5,} +[+-]\d{4,} to [+-]\d{4,} ", text)
    assert max(len(line) for line in text.splitlines()) <= 80


def test_details_of_a_single_run(tmp_path):
    """The intervals of a single run are shown with the warning that queueing makes them too narrow."""
    words = " ".join(printed(summary(tmp_path / "run", {"none": lognormal(1, 1, 500)}), details=True).split())
    assert "as if these were independent: where they queue, the intervals are too narrow" in words


def test_a_ratio_of_one_is_neither_lower_nor_higher(tmp_path, base):
    """A ratio that is shown as 1.00x is called neither lower nor higher."""
    near = [[value * (1.002 if place % 2 else 0.998) for value in run] for place, run in enumerate(base)]
    (sentence,) = summary(tmp_path / "run", {"none": base, "near": near})["verdict"]
    assert "(1.00x" in sentence
    assert not re.search("1.00x (lower|higher)", sentence)
