"""Schemes against a baseline: which runs and figures are compared, and which differences are called real."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_run import HEADER, cell, lognormal, make_run, request, times

from collagebench.results.reader import load
from collagebench.results.writer import RunWriter
from collagebench.statistics.comparison import FIGURES, compare
from collagebench.statistics.latency import latency


def versus(directory, latencies, baseline="none", **changes):
    """Return the comparison of every scheme with the baseline."""
    run = load(make_run(directory, latencies, **changes))
    times = {name: latency(run.of(name).requests) for name in run.variants}
    return compare(run, times, baseline)


def test_difference_of_known_runs(tmp_path):
    """Medians of 10 and 30 ms against 20 and 20 ms: differences of -10 and 10 ms, mean 0, one degree of freedom."""
    found = versus(tmp_path / "run", {"none": [[0.02] * 40] * 2, "hedge": [[0.01] * 40, [0.03] * 40]})
    p50 = found["hedge"].figures["p50"]
    assert p50.value == pytest.approx(0.0, abs=1e-12)
    assert p50.ci95 == pytest.approx((-0.12706204736174694, 0.12706204736174694))
    assert p50.ratio == pytest.approx(0.5)
    assert (p50.p, p50.real) == (pytest.approx(1.0), False)
    assert found["hedge"].figures["p99"] is None, "80 requests do not bound a p99"
    assert list(found["hedge"].figures) == list(FIGURES)


def test_swapping_the_baseline_turns_every_sign(tmp_path):
    """Exchanging scheme and baseline flips difference and interval, inverts the ratio, and keeps p and judgement."""
    latencies = {"none": lognormal(1, 6, 150), "hedge": times(lognormal(2, 6, 150), 1.2)}
    one = versus(tmp_path / "a", latencies)["hedge"].figures
    two = versus(tmp_path / "b", latencies, baseline="hedge")["none"].figures
    for name in ("p50", "p99", "mean"):
        assert one[name].value == pytest.approx(-two[name].value)
        assert one[name].ci95 == pytest.approx((-two[name].ci95[1], -two[name].ci95[0]))
        assert one[name].ratio == pytest.approx(1 / two[name].ratio)
        assert (one[name].p, one[name].real) == (pytest.approx(two[name].p), two[name].real)


def test_failures_farther_out_than_a_scheme_s_own_interval_leave_the_ratio_its_own(tmp_path):
    """A ratio has a finite interval even if one scheme's own interval reaches the other's failed requests."""
    unlike = [[level + 0.0001 * number for number in range(20)] for level in (0.01, 0.01, 0.02, 0.02)]
    failing = [[0.04 + 0.0001 * number for number in range(18)] + [None, None] for _ in range(4)]
    latencies = {"none": failing, "hedge": unlike}
    one = versus(tmp_path / "a", latencies)["hedge"].figures["p50"]
    two = versus(tmp_path / "b", latencies, baseline="hedge")["none"].figures["p50"]
    low, high = one.ratio_ci95
    assert 0 < low < one.ratio < high
    assert two.ratio_ci95 == pytest.approx((1 / high, 1 / low))


def test_faster_is_not_shown_of_what_may_be_without_end(tmp_path):
    """A scheme whose median may be infinite, as nearly half failed, may be shown to be slower, but not to be faster."""
    none = [[0.1 + 0.0001 * number for number in range(20)]] * 4
    fast, slow = ([[factor * value for value in run[:11]] + [None] * 9 for run in none] for factor in (0.1, 10))
    found = versus(tmp_path / "run", {"none": none, "fast": fast, "slow": slow})
    shown = {name: found[name].figures["p50"] for name in ("fast", "slow")}
    assert all(one.p_holm < 0.01 and one.ratio_ci95 is None for one in shown.values())
    assert (shown["fast"].real, shown["slow"].real) == (False, True)


def test_a_scheme_does_not_differ_from_its_twin(tmp_path):
    """With the same latencies and answers every difference is 0, p is 1, the ratio is 1, and nothing is real."""
    found = versus(tmp_path / "run", {"none": lognormal(1, 5, 100), "twin": lognormal(1, 5, 100)})["twin"]
    for figure in found.figures.values():
        assert (figure.value, figure.p, figure.p_holm, figure.real) == (0.0, 1.0, 1.0, False)
        assert figure.ratio in (1.0, None)


@pytest.mark.parametrize(("factor", "real"), [(1.04, False), (1 / 1.04, False), (1.06, True), (1 / 1.06, True)])
def test_small_differences_are_not_real_however_certain(tmp_path, factor, real):
    """A certain difference of 4 % is not real under the minimum effect of 5 %, one of 6 % is."""
    base = lognormal(1, 6, 150)
    figure = versus(tmp_path / "run", {"none": base, "hedge": times(base, factor)})["hedge"].figures["p99"]
    assert figure.p_holm < 0.01
    assert figure.real is real


def test_several_schemes_are_corrected_together(tmp_path):
    """With two schemes the smaller p-value is doubled; with one it is not."""
    latencies = {"none": lognormal(1, 5, 100), "a": lognormal(2, 5, 100), "b": times(lognormal(3, 5, 100), 1.1)}
    found = versus(tmp_path / "run", latencies)
    for name in ("p50", "p99", "mean"):
        figures = sorted((found[scheme].figures[name] for scheme in "ab"), key=lambda figure: figure.p)
        assert figures[0].p_holm == pytest.approx(min(1.0, 2 * figures[0].p))
        assert figures[1].p_holm == pytest.approx(max(figures[0].p_holm, figures[1].p))
    alone = versus(tmp_path / "alone", {"none": latencies["none"], "a": latencies["a"]})["a"].figures["p99"]
    assert alone.p_holm == alone.p


@pytest.mark.parametrize(
    ("wrong", "p_holm", "real"),
    [
        ({"a": 5}, {"a": 0.0625}, {"a": False}),
        ({"a": 6}, {"a": 0.03125}, {"a": True}),
        ({"a": 6, "b": 6}, {"a": 0.0625, "b": 0.0625}, {"a": False, "b": False}),
    ],
)
def test_a_large_difference_must_be_significant_to_be_real(tmp_path, wrong, p_holm, real):
    """Six more wrong answers of 100 are significant with one scheme, but not with two; five are not."""
    schemes = [{"scheme": name, "variant": name} for name in ("none", *wrong)]
    writer = RunWriter(tmp_path / "run", {**HEADER, "schemes": schemes})
    for name in ("none", *wrong):
        for number in range(100):
            right = number >= wrong.get(name, 0)
            writer.request(request(name, number=number, task=None, source="default", predicted=3 if right else 0))
        writer.cell(cell(name, requests=100, tasks=0))
    writer.finish("done")
    writer.close()
    run = load(tmp_path / "run")
    found = compare(run, {name: latency(run.of(name).requests) for name in run.variants}, "none")
    figures = {name: versus.figures["accuracy"] for name, versus in found.items()}
    assert {name: figure.value for name, figure in figures.items()} == {
        name: -number / 100 for name, number in wrong.items()
    }
    assert {name: figure.p_holm for name, figure in figures.items()} == pytest.approx(p_holm)
    assert {name: figure.real for name, figure in figures.items()} == real


def test_runs_that_only_one_has_are_left_out_and_counted(tmp_path):
    """If one scheme has five runs and the other four, four are compared, and the fifth has no effect."""
    base, other = lognormal(1, 5, 150), lognormal(2, 4, 150)
    more = versus(tmp_path / "more", {"none": base, "hedge": other})["hedge"]
    less = versus(tmp_path / "less", {"none": base[:4], "hedge": other})["hedge"]
    assert (more.runs, more.left_out, less.runs, less.left_out) == (4, 1, 4, 0)
    assert more.figures == less.figures


def test_what_cannot_be_known_is_not_compared(tmp_path):
    """One run gives no difference of latencies; failures leave p99 and mean out, but not the median."""
    single = versus(tmp_path / "single", {"none": lognormal(1, 1, 400), "hedge": lognormal(2, 1, 400)})["hedge"]
    assert [single.figures[name] for name in ("p50", "p99", "mean")] == [None] * 3
    assert single.figures["accuracy"] is not None
    failing = [[*run[:-5], *[None] * 5] for run in lognormal(2, 5, 100)]
    found = versus(tmp_path / "failing", {"none": lognormal(1, 5, 100), "hedge": failing})["hedge"].figures
    assert (found["p99"], found["mean"]) == (None, None)
    assert found["p50"] is not None


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_intervals_hold_their_difference(tmp_path_factory, seed, runs):
    """Each interval contains its difference, and the corrected p-value is not below the uncorrected one."""
    rng = np.random.default_rng(seed)
    latencies = {name: rng.lognormal(-4, 1, (runs, 200)).tolist() for name in ("none", "a", "b")}
    for against in versus(tmp_path_factory.mktemp("run") / "run", latencies).values():
        for figure in filter(None, against.figures.values()):
            assert figure.ci95[0] <= figure.value <= figure.ci95[1]
            assert 0 <= figure.p <= figure.p_holm <= 1
