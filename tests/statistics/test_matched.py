"""Answers of two schemes to the same requests: McNemar's test and the interval of the difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_run import cell, request

from collagebench.results.reader import load
from collagebench.results.records import NO_CLASS
from collagebench.results.writer import RunWriter
from collagebench.statistics import clusters
from collagebench.statistics.accuracy import Share
from collagebench.statistics.clusters import effective, sign_flip
from collagebench.statistics.intervals import Z95
from collagebench.statistics.matched import match, matched, tango

counts = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 400)).filter(sum)
"""The numbers of requests that were won, lost, and on which both agree."""


def mcnemar(won: int, lost: int) -> float:
    """Return the p-value of so many images that are each won or lost once."""
    return sign_flip(np.repeat([1, -1], [won, lost]))


@pytest.mark.parametrize(
    ("won", "lost", "expected"),
    [(10, 2, 2 * (1 + 12 + 66) / 2**12), (2, 10, 158 / 4096), (5, 0, 2 / 32), (1, 0, 1.0), (3, 3, 1.0), (0, 0, 1.0)],
)
def test_mcnemar_by_hand(won, lost, expected):
    """The p-value is twice the binomial tail of won + lost fair coins, and at most 1."""
    assert mcnemar(won, lost) == pytest.approx(expected, rel=1e-12)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_sum_of_binomials(won, lost):
    """The p-value equals the exact sum of binomial coefficients, whichever side is named first."""
    tosses = won + lost
    tail = sum(math.comb(tosses, k) for k in range(max(won, lost), tosses + 1))
    assert mcnemar(won, lost) == pytest.approx(min(1.0, 2 * tail / 2**tosses), rel=1e-9)
    assert mcnemar(won, lost) == mcnemar(lost, won)


@pytest.mark.parametrize(("won", "lost"), [(501_000, 499_000), (5_000, 4_700), (900, 100), (100_000, 100_000)])
def test_mcnemar_of_many(won, lost):
    """With up to a million discordant images the p-value agrees with SciPy."""
    stats = pytest.importorskip("scipy.stats", reason="needs the test extra")
    assert mcnemar(won, lost) == pytest.approx(stats.binomtest(won, won + lost).pvalue, rel=1e-6)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=12))
def test_one_coin_is_tossed_for_each_image(differences):
    """The p-value equals that of enumerating all signs, one for each image, however often it was asked about."""
    values = np.array(differences, dtype=np.int64)
    flips = np.array([[1 - 2 * (way >> place & 1) for place in range(len(values))] for way in range(2 ** len(values))])
    outcomes = np.abs((flips * values).sum(1))
    assert sign_flip(values) == pytest.approx(np.mean(outcomes >= abs(values.sum())), rel=1e-9)


def test_many_images_are_tested_by_the_normal_distribution(monkeypatch):
    """Beyond the limit of exact counting, p-values are within 2 % of the exact ones."""
    values = np.repeat([1, -1, 2, -2, 5], [2900, 2800, 1050, 1000, 7])
    exact = sign_flip(values)
    monkeypatch.setattr(clusters, "EXACT_UP_TO", 0)
    assert 0 < sign_flip(values) != exact
    assert sign_flip(values) == pytest.approx(exact, rel=0.02)


def test_repeated_answers_are_worth_one_each_where_they_are_alike():
    """Eight answers about an image count as one if they always agree, and as eight if they are independent."""
    rng = np.random.default_rng(0)
    images = np.repeat(np.arange(2000), 8)
    alike = np.repeat(rng.random(2000) < 0.9, 8)
    apart = rng.random(16000) < 0.9
    assert effective(alike, images) == pytest.approx(2000, rel=0.01)
    assert effective(apart, images) == pytest.approx(16000, rel=0.1)
    half = np.where(rng.random(16000) < 0.5, alike, apart)
    assert 3000 < effective(half, images) < 10_000
    assert effective(np.ones(16000), images) == 2000, "all alike, and nothing is known"
    few = np.arange(16000) >= 30
    assert effective(few, images) == 2000, "four images with a wrong answer show nothing, either"
    assert effective(apart, np.arange(16000)) == pytest.approx(16000)
    assert effective(apart[:0], images[:0]) == 0
    assert effective(apart[:5], np.zeros(5, dtype=np.int64)) == 1
    uneven = np.concatenate([np.arange(100), np.full(900, 100)])
    assert effective(np.ones(1000), uneven) == pytest.approx(1000**2 / (100 + 900**2))


def test_intervals_of_repeated_images_cover_what_they_promise():
    """Of 400 experiments with about ten answers for each of 300 images, 92 to 98 % cover accuracy and difference.

    Intervals that take all answers as independent cover the accuracy in less than 75 %.
    """
    rng = np.random.default_rng(1)
    known, sure, between = 0, 0, 0
    for _ in range(400):
        hard, mended = rng.random((2, 300)) < np.array([[0.1], [0.05]])
        images = rng.integers(300, size=3000)
        own = np.where(mended, 1, ~hard)[images] & (rng.random(3000) < 0.98)
        other = ~hard[images] & (rng.random(3000) < 0.98)
        true = 0.98 * (1 - 0.1 * 0.95)
        low, high = Share(int(own.sum()), 3000, effective(own, images)).ci95
        known += low <= true <= high
        low, high = Share(int(own.sum()), 3000).ci95
        sure += low <= true <= high
        better = own.astype(int) - other
        worth = effective(better, images) / 3000
        low, high = tango((better > 0).sum() * worth, (better < 0).sum() * worth, 3000 * worth)
        between += low <= true - 0.98 * 0.9 <= high
    assert 0.92 < known / 400 < 0.98
    assert 0.92 < between / 400 < 0.98
    assert sure / 400 < 0.75


def test_runs_that_are_unlike_are_counted_too():
    """If a worse model answers more often in some runs, 91 to 98 % of 300 intervals cover the true difference.

    Intervals that only account for images cover it less often.
    """
    rng = np.random.default_rng(2)
    known, images_alone = 0, 0
    for _ in range(300):
        runs, images = np.repeat(np.arange(20), 1000), rng.integers(10_000, size=20_000)
        single, worse = rng.random((2, 10_000)) < np.array([[0.93], [0.8]])
        shares = np.minimum(rng.gamma(1, 0.04, 20), 1)[runs]
        better = np.where(rng.random(20_000) < shares, worse[images], single[images]).astype(int) - single[images]
        for weighed in (None, runs):
            worth = effective(better, images, weighed) / 20_000
            low, high = tango((better > 0).sum() * worth, (better < 0).sum() * worth, 20_000 * worth)
            inside = low <= 0.04 * (0.8 - 0.93) <= high
            known, images_alone = (known, images_alone + inside) if weighed is None else (known + inside, images_alone)
    assert 0.91 < known / 300 < 0.98
    assert images_alone < known - 15


def test_two_runs_are_worth_what_students_t_leaves_of_them():
    """With two runs of 15 and 5 right answers of 20, the runs' excess variance is scaled by (12.71 / 1.96)^2."""
    values, runs = np.repeat([1, 0, 1, 0], [15, 5, 5, 15]), np.repeat([0, 1], 20)
    alone, by_run = 10 * 40 / 39, 2 * (5**2 + 5**2)
    excess = (by_run - alone) * (12.706204736174694 / 1.959963984540054) ** 2
    assert effective(values, np.arange(40), runs) == pytest.approx(40 * alone / (alone + excess))
    assert effective(values, np.arange(40)) == pytest.approx(40)


def test_runs_that_are_unlike_prove_nothing():
    """Of 400 pairs of equal schemes in which whole runs are less accurate, less than 8 % are told apart.

    Signs for each image alone tell more than 30 % apart; if runs are alike, they decide.
    """
    rng = np.random.default_rng(3)
    found, coins_alone, wide = 0, 0, 0
    for _ in range(400):
        runs, images = np.repeat(np.arange(10), 400), rng.integers(10_000, size=4000)
        single, worse = rng.random((2, 10_000)) < np.array([[0.99], [0.8]])
        shares = np.minimum(rng.gamma(1, 0.14, (2, 10)), 1)[:, runs]
        right = np.where(rng.random((2, 4000)) < shares, worse[images], single[images]).astype(int)
        pair = matched(right[0] - right[1], images, runs)
        found += pair.p <= 0.05
        coins_alone += sign_flip(clusters.sums(right[0] - right[1], images)) <= 0.05
        low, high = pair.ci95
        wide += low <= 0 <= high
    assert found / 400 < 0.08
    assert coins_alone / 400 > 0.3
    assert wide / 400 > 0.92
    alike = matched(np.repeat([1, -1, 0], [12, 3, 4000]), np.arange(4015), np.arange(4015) % 10)
    assert alike.p == pytest.approx(mcnemar(12, 3))


@pytest.mark.parametrize(("clusters", "expected"), [(4, 0.125), (5, 0.0625), (8, 0.0078125)])
def test_a_few_images_are_few_coins_however_often_they_were_asked_about(clusters, expected):
    """If every image was won thousands of times, the p-value is that of one coin for each image."""
    assert sign_flip(np.arange(2500, 2500 + clusters)) == pytest.approx(expected)


@given(counts)
def test_interval_ends_where_the_score_test_just_rejects(values):
    """Each end is a difference at which the likeliest shares are 1.96 standard deviations away, found by search."""
    won, lost, same = values
    pairs = won + lost + same
    low, high = tango(won, lost, pairs)
    assert -1 <= low <= (won - lost) / pairs <= high <= 1
    for end, sign in ((low, 1), (high, -1)):
        if abs(end) > 1 - 1e-9:
            continue
        shares = np.linspace(max(0.0, -end), (1 - end) / 2, 100_001)[1:-1]
        with np.errstate(divide="ignore"):
            likelihood = won * np.log(shares + end) + lost * np.log(shares) + same * np.log(1 - 2 * shares - end)
        share = shares[np.argmax(np.where(np.isnan(likelihood), -np.inf, likelihood))]
        deviation = math.sqrt(pairs * (2 * share + end - end * end))
        assert (won - lost - pairs * end) / deviation == pytest.approx(sign * Z95, rel=2e-2)


@given(counts)
def test_swapping_mirrors_the_interval(values):
    """Exchanging won and lost mirrors the interval at 0."""
    won, lost, same = values
    low, high = tango(won, lost, won + lost + same)
    assert tango(lost, won, won + lost + same) == pytest.approx((-high, -low), abs=1e-12)


@pytest.mark.parametrize(("pairs", "won", "lost"), [(300, 0.03, 0.01), (300, 0.02, 0.02), (1000, 0.01, 0.002)])
def test_interval_covers_what_it_promises(pairs, won, lost):
    """Summed over all outcomes by their probability, 94.5 to 95.7 % of intervals cover the true difference."""
    covered = 0.0
    for b, c in np.ndindex(round(pairs * won) + 25, round(pairs * lost) + 25):
        ways = math.lgamma(pairs + 1) - math.lgamma(b + 1) - math.lgamma(c + 1) - math.lgamma(pairs - b - c + 1)
        shares = b * math.log(won) + c * math.log(lost) + (pairs - b - c) * math.log(1 - won - lost)
        low, high = tango(b, c, pairs)
        covered += math.exp(ways + shares) * (low <= won - lost <= high)
    assert 0.945 <= covered <= 0.957


def test_pairs_are_the_requests_that_both_answered(tmp_path):
    """Requests are paired by run and number; warm-up, failures, unknown classes and unpaired ones do not count."""
    writer = RunWriter(tmp_path / "run", {"schemes": []})
    rows = {  # run, request: what each scheme answered; the label is 3
        (0, 0): (3, 3),
        (0, 1): (0, 3),
        (0, 2): (3, 0),
        (1, 0): (3, 0),
        (1, 1): (NO_CLASS, 0),
        (1, 2): (None, 3),
        (2, 0): (3, None),
    }
    for scheme in ("hedge", "none"):
        for (run, number), answered in rows.items():
            predicted = answered[scheme == "none"]
            writer.request(request(scheme, run, number, predicted=predicted))
        writer.request(request(scheme, 2, 1, latency=None if scheme == "none" else 0.01))
        writer.request(request(scheme, 2, 2, warmup=True, predicted=0 if scheme == "none" else 3))
        for run in range(3):
            writer.cell(cell(scheme, run, 3))
    writer.finish("done")
    writer.close()
    run = load(tmp_path / "run")
    found = match(run.of("hedge").requests, run.of("none").requests)
    assert (found.pairs, found.won, found.lost) == (5, 2, 1)
    assert found.difference == pytest.approx(0.2)
    assert found.p == 1.0
