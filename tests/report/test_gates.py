"""Gates: the language of their expressions, and their outcomes."""

from __future__ import annotations

import pytest
from synthetic_run import lognormal, make_run

from collagebench.errors import UsageError
from collagebench.report.expression import check, figures, parse
from collagebench.report.gates import apply
from collagebench.report.summary import OVERLOADED, summarise
from collagebench.report.table import as_reach
from collagebench.results.reader import load


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    """Return the report of two schemes, the second one twice as fast and with a dot and a space in its name."""
    latencies = {"none": lognormal(1, 4, 250, 0.04), "collage 0.5": lognormal(2, 4, 250, 0.02)}
    return summarise([load(make_run(tmp_path_factory.mktemp("gates") / "run", latencies))])


def outcome(summary, text):
    """Apply one gate and return its outcome."""
    failed = apply(summary, [parse(text)])
    (found,) = summary["gates"]
    assert failed == found["failed"]
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("8 / 2 / 2", 2),
        ("8 - 2 - 2", 4),
        ("-2 * -3", 6),
        ("- (2 - 5)", 3),
        ("--1", 1),
        ("2 - -1", 3),
        (".5 + 1. + 1e-1", 1.6),
        ("1E2", 100),
    ],
)
def test_arithmetic(summary, text, value):
    """Operators have their usual precedence, and those of equal precedence apply from left to right."""
    assert outcome(summary, f"{text} > 0")["left"] == pytest.approx(value)


@pytest.mark.parametrize(("relation", "true_of"), [("<", "-1"), ("<=", "-1 0"), (">", "1"), (">=", "1 0")])
def test_relations(summary, relation, true_of):
    """A gate fails exactly when its relation is true."""
    failed = [left for left in ("-1", "0", "1") if outcome(summary, f"{left} {relation} 0")["failed"]]
    assert failed == sorted(true_of.split())


def test_figures_are_those_of_the_report(summary):
    """A figure is the number in the JSON report, however the scheme's name is quoted."""
    none, collage = summary["schemes"]
    assert outcome(summary, "none.p99 > 1")["left"] == none["latency_s"]["p99"]
    assert outcome(summary, '1 > "collage 0.5".mean')["right"] == collage["latency_s"]["mean"]
    assert outcome(summary, "'collage 0.5'.work > 1")["left"] == collage["relative"]["executed"]
    assert outcome(summary, "none.accuracy<1")["left"] == none["accuracy"]["overall"]
    assert outcome(summary, "none.busy > 1")["left"] == none["busy"]
    assert outcome(summary, "none.failed > 0") == {
        "expression": "none.failed > 0", "left": 0.0, "right": 0.0, "failed": False, "reason": None,
    }  # fmt: skip


@pytest.mark.parametrize("metric", ["p50", "p99", "p99_high", "mean", "goodput", "goodput_low"])
def test_of_a_scheme_that_is_overloaded_no_latency_trips_or_passes(summary, metric):
    """For an overloaded scheme, latencies and goodput are unknown to gates; other figures and schemes are known."""
    overloaded = {**summary["schemes"][0], "unstable": ["its queue was still growing"]}
    found = {**summary, "schemes": [overloaded, summary["schemes"][1]]}
    assert outcome(found, f"none.{metric} > 1000")["reason"] == f"none.{metric} is not known, because none {OVERLOADED}"
    assert outcome(found, f"'collage 0.5'.{metric} > 1000")["reason"] is None
    for known in ("accuracy", "failed", "busy"):
        assert outcome(found, f"none.{known} > 1000")["reason"] is None


def test_ends_of_intervals_do_not_trip_by_chance(summary):
    """Gates read the report's interval ends: a p99 just above a threshold fails a gate, its lower end does not."""
    none, collage = summary["schemes"]
    for name in ("p50", "p99"):
        assert outcome(summary, f"none.{name}_low > none.{name}_high") == {
            "expression": f"none.{name}_low > none.{name}_high", "failed": False, "reason": None,
            "left": none["ci95_s"][name][0], "right": none["ci95_s"][name][1],
        }  # fmt: skip
    found = outcome(summary, '"collage 0.5".accuracy_low < none.accuracy_high')
    assert [found["left"], found["right"]] == [collage["accuracy"]["ci95"][0], none["accuracy"]["ci95"][1]]
    above = f"none.{{}} > {none['latency_s']['p99']} * 0.999"
    assert outcome(summary, above.format("p99"))["failed"]
    assert not outcome(summary, above.format("p99_low"))["failed"]
    assert outcome(summary, "none.p50_low > 'collage 0.5'.p50_high")["failed"]
    with pytest.raises(UsageError, match="the bound has only latencies"):
        outcome(summary, "bound.p99_low > 1")


def test_an_interval_that_is_not_known_fails(tmp_path):
    """A gate on an interval's end says why it is unknown: one run only, too few requests, or no known class."""
    single = summarise([load(make_run(tmp_path / "single", {"none": lognormal(1, 1, 400)}))])
    assert outcome(single, "none.p99_low > 1")["reason"] == (
        "none.p99_low is not known, because that takes at least two runs, each with a p99"
    )
    unclassified = summarise([load(make_run(tmp_path / "unknown", {"none": lognormal(1, 2, 400)}, predicted=None))])
    for figure in ("accuracy", "goodput"):
        low = f"none.{figure}_low"
        assert outcome(unclassified, f"{low} < 1")["reason"] == f"{low} is not known in this run"
    few = summarise([load(make_run(tmp_path / "few", {"none": lognormal(1, 2, 40)}))])
    assert "80 requests are too few for it; it is at least" in outcome(few, "none.p99_high > 1")["reason"]


def test_an_upper_end_may_be_infinite_where_the_lower_is_known(tmp_path):
    """If almost too many requests failed for a p99, a gate on its upper end fails and says so; the lower is known."""
    latencies = [[0.1 + 0.001 * n for n in range(500 - failed)] + [None] * failed for failed in (1, 8, 4)]
    found = summarise([load(make_run(tmp_path / "run", {"none": latencies}))])
    assert outcome(found, "none.p99_high > 9")["reason"] == (
        "none.p99_high is infinite, because 13 of 1500 requests failed"
    )
    low = outcome(found, "none.p99_low > 9")
    assert (low["failed"], 0.5 < low["left"] < 0.6) == (False, True)
    assert found["schemes"][0]["ci95_s"]["p99"] is None
    assert as_reach(found["schemes"][0]) == "inf"


def test_a_missed_threshold_is_said_in_numbers(summary):
    """A failed gate gives both values and their comparison as its reason."""
    found = outcome(summary, "none.p50 > 0.5 * 'collage 0.5'.p50")
    assert found["failed"]
    assert found["reason"] == f"{found['left']:.4g} > {found['right']:.4g}"


def test_names_with_hyphens_and_minus(summary):
    """A hyphen before the dot is part of the name, one after the metric is a minus."""
    gate = parse("hedge-idle.p99-none.p99 > 0")
    assert [(figure.scheme, figure.metric) for figure in figures(gate)] == [("hedge-idle", "p99"), ("none", "p99")]


@pytest.mark.parametrize(
    ("text", "at", "sentence"),
    [
        ("none.p98 > 1", 5, "there is no metric 'p98'; did you mean 'p99'?"),
        ("none.p99", 8, "expected <, <=, > or >= here"),
        ("none.p99 == 1", 9, "expected <, <=, > or >= here"),
        ("none.p99 > 300ms", 14, "times are in seconds, without a unit"),
        ("none.accuracy < 95 %", 19, "continue with +, -, * or /"),
        ("none.accuracy < 95%", 18, "shares are from 0 to 1"),
        ("none.p99 > 1 > 0", 13, "a second --fail-if"),
        ("none.p99 > (1", 13, "expected )"),
        ("none.p99 > 1)", 12, "should end here"),
        ("none.p99 > ", 11, "a number or a figure"),
        ("", 0, "a number or a figure"),
        ("none > 1", 4, "a dot and a metric"),
        ("none. > 1", 5, "a metric"),
        ("'none.p99 > 1", 0, "this quotation mark is not closed"),
        ("1e999 > none.p99", 0, "too large"),
        ("none.p99 > __import__('os')", 21, "a dot and a metric"),
        ("none.p99 > 1; 1", 12, "should end here"),
    ],
)
def test_an_error_points_at_the_character(text, at, sentence):
    """An invalid expression is refused with a sentence, the expression, and a caret under the wrong character."""
    with pytest.raises(UsageError) as error:
        parse(text)
    first, shown, caret = str(error.value).split("\n")
    assert sentence in first
    assert (shown, caret) == (f"  {text}", f"  {' ' * at}^")


def test_milliseconds_where_seconds_are_meant_are_told(tmp_path):
    """A gate passes with a hint about milliseconds if its threshold is far above the figure, and above the deadline."""
    config = {"header": {"config": {"deadline": 10.0}}}
    found = summarise([load(make_run(tmp_path / "run", {"none": lognormal(1, 4, 100)}, **config))])
    for text, told in (
        ("none.p99 > 60", True),
        ("60 < none.p99", True),
        ("none.p99 > 10", False),
        ("none.failed > 60", False),
    ):
        assert not apply(found, [parse(text)])
        (outcome,) = found["gates"]
        assert ("60 ms are 0.06" in (outcome["reason"] or "")) == told
    config["header"]["config"]["deadline"] = 0.01  # requests that are sent again take longer
    found = summarise([load(make_run(tmp_path / "short", {"none": lognormal(1, 4, 100)}, **config))])
    assert not apply(found, [parse("none.p99 > 0.1")])
    assert found["gates"][0]["reason"] is None


def test_the_caret_stands_below_wide_and_far_characters():
    """Double-width characters shift the caret, and a long expression is cut to the part around the caret."""
    with pytest.raises(UsageError, match=r"\n  日本\.p98\n       \^$"):
        parse("日本.p98")
    with pytest.raises(UsageError) as error:
        parse("1 + " * 60 + "? > 1")
    shown, caret = str(error.value).split("\n")[1:]
    assert max(len(shown), len(caret)) < 80
    assert shown[len(caret) - 1] == "?"


@pytest.mark.parametrize("text", ["(" * 500, "-" * 400 + "1 > 0", "1 + " * 200 + "1 > 0", "1 > " + "9" * 10_000])
def test_deep_and_long_expressions_are_refused(text):
    """Expressions that are nested too deeply or are too long are refused, before reading them could fail otherwise."""
    with pytest.raises(UsageError, match=r"nested parentheses|at most 500 characters"):
        parse(text)


def test_the_longest_expression_is_computed(summary):
    """An expression of nearly 500 characters is computed."""
    assert outcome(summary, "1+" * 240 + "1 > 0")["left"] == 241


def test_an_unknown_scheme_names_the_nearest():
    """An unknown scheme is refused, with a caret under it and the nearest known name."""
    with pytest.raises(UsageError, match=r"no scheme 'colage' here; did you mean 'collage'\?\n.*\n {13}\^"):
        check(parse("1.0 * 2 + colage.p99 > 1".replace("1.0 * 2 + ", "1.0 * 2 +  ")), ["none", "collage"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("none.p999 > 1", "none.p999 is not known, because 1000 requests are too few for it; it is at least"),
        ("none.p99 > 1 / (none.p50 - none.p50)", "division by 0"),
        ("1e308 * 10 > none.p99", "the value is too large"),
        ("none.goodput < bound.p99", "bound.p99 is not known"),
    ],
)
def test_what_is_not_known_fails(summary, text, reason):
    """A gate fails, with the reason, if a figure is null or a value cannot be computed."""
    found = outcome(summary, text)
    assert found["failed"]
    assert None in (found["left"], found["right"])
    assert reason in found["reason"]


def test_infinite_and_missing_figures_fail(tmp_path):
    """A gate fails if failed requests make a quantile or a mean infinite, or if its scheme has no complete run."""
    schemes = [{"scheme": name} for name in ("none", "hedge")]
    make_run(tmp_path / "run", {"none": [[0.1] * 500 + [None] * 100]}, header={"schemes": schemes})
    summary = summarise([load(tmp_path / "run")])
    for metric in ("p99", "mean", "max"):
        assert outcome(summary, f"none.{metric} > 9")["reason"] == (
            f"none.{metric} is infinite, because 100 of 600 requests failed"
        )
    assert not outcome(summary, "none.p50 > 9")["failed"]
    assert outcome(summary, "none.failed_share > 0.1")["left"] == pytest.approx(1 / 6)
    assert "hedge has no complete run" in outcome(summary, "hedge.failed > 0")["reason"]


def test_the_bound_has_latencies(tmp_path):
    """A gate can use the latencies of `bound`, and says why one of them is unknown."""
    bound = {"p50": 0.01, "p99": 0.03, "mean": 0.011, "requests": 1000, "source": "simulated"}
    make_run(tmp_path / "run", {"none": lognormal(1, 2, 250)}, header={"bound": bound})
    summary = summarise([load(tmp_path / "run")])
    assert outcome(summary, "none.p99 > 2 * bound.p99")["right"] == pytest.approx(0.06)
    assert "1000 requests are too few" in outcome(summary, "bound.p999 < 1")["reason"]
    assert "bound.p90 is not known, because requests fail" in outcome(summary, "bound.p90 < 1")["reason"]
    with pytest.raises(UsageError, match="the bound has only latencies"):
        outcome(summary, "bound.accuracy < 1")
    make_run(tmp_path / "calm", {"none": lognormal(1, 2, 250)})
    calm = outcome(summarise([load(tmp_path / "calm")]), "bound.p99 < 1")
    assert (calm["failed"], calm["reason"]) == (
        True,
        "bound.p99 is not known, because there are no stragglers to remove",
    )


def test_several_runs_are_judged_one_by_one(tmp_path):
    """Each run has its own outcomes, all are listed at the top with the run's name, and one failure is enough."""
    fast = make_run(tmp_path / "fast", {"none": lognormal(1, 2, 250, 0.02)})
    slow = make_run(tmp_path / "slow", {"none": lognormal(1, 2, 250, 0.2)})
    summary = summarise([load(fast), load(slow)])
    assert apply(summary, [parse("none.p50 > 0.1")])
    assert [(gate["run"], gate["failed"]) for gate in summary["gates"]] == [("fast", False), ("slow", True)]
    with pytest.raises(UsageError, match=r"fast: .*no scheme 'hedge'"):
        apply(summary, [parse("hedge.p50 > 0.1")])
