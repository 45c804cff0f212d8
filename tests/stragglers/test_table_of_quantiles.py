"""Tables of quantiles: cutting, scaling and mixing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.stragglers.quantiles import Quantiles, mixture

A = Quantiles((0.0, 0.5, 1.0), (0.0, 1.0, 3.0))
B = Quantiles((0.0, 1.0), (2.0, 6.0))


@st.composite
def tables(draw: st.DrawFn) -> Quantiles:
    """Draw tables without gaps."""
    n = draw(st.integers(0, 6))
    inner = sorted(draw(st.sets(st.integers(1, 999), min_size=n, max_size=n)))
    values = sorted(draw(st.sets(st.integers(1, 1000), min_size=n + 2, max_size=n + 2)))
    return Quantiles((0.0, *(i / 1000 for i in inner), 1.0), tuple(map(float, values)))


def test_lines_between() -> None:
    """A table is linear between its points, and its mean is that of the lines."""
    assert [A.at(p) for p in (0.0, 0.25, 0.5, 0.75)] == [0.0, 0.5, 1.0, 2.0]
    assert A.mean == 0.5 * 0.5 + 0.5 * 2.0
    assert [A.below(v) for v in (-1.0, 0.5, 2.0, 9.0)] == [0.0, 0.25, 0.75, 1.0]


def test_cut() -> None:
    """Cut at 2, the upper line loses half of its draws; a limit above all values cuts nothing."""
    cut = A.cut(2.0)
    assert cut.probabilities == pytest.approx((0.0, 2 / 3, 1.0))
    assert cut.values == (0.0, 1.0, 2.0)
    assert A.cut(3.5) == A
    assert A.cut(1.0) == Quantiles((0.0, 1.0), (0.0, 1.0))


def test_mixture() -> None:
    """A mixture's mean is the weighted mean, and so is its distribution function at every value."""
    mixed = mixture([A, B], [3, 1])
    assert mixed.mean == pytest.approx(0.75 * A.mean + 0.25 * B.mean)
    for value in np.linspace(-1, 7, 101):
        assert mixed.below(value) == pytest.approx(0.75 * A.below(value) + 0.25 * B.below(value))


def test_gap() -> None:
    """Two tables with a gap between them are mixed with that gap, in which no draw falls."""
    mixed = mixture([Quantiles((0.0, 1.0), (1.0, 2.0)), Quantiles((0.0, 1.0), (3.0, 4.0))], [1, 1])
    assert [mixed.at(p) for p in (0.25, 0.5, 0.75)] == [1.5, 3.0, 3.5]
    assert mixed.at(0.5 - 1e-9) <= 2.0
    assert mixed.below(2.5) == 0.5
    assert mixed.mean == 2.5
    assert mixed.cut(2.5).mean == pytest.approx(1.5)


@given(tables(), tables(), st.integers(1, 5), st.floats(0, 1, exclude_max=True))
def test_laws(a: Quantiles, b: Quantiles, weight: int, p: float) -> None:
    """`at` inverts `below`, a cut table never gives more, a scaled one gives multiples, and a mixture lies between."""
    assert a.below(a.at(p)) == pytest.approx(p, abs=1e-9)
    limit = a.at(0.5)
    assert a.cut(limit).at(p) <= min(a.at(p), limit) + 1e-9
    assert a.scaled(0.25).at(p) == pytest.approx(a.at(p) / 4)
    mixed = mixture([a, b], [weight, 1]).at(p)
    assert min(a.at(p), b.at(p)) - 1e-6 <= mixed <= max(a.at(p), b.at(p)) + 1e-6


@pytest.mark.parametrize(
    ("probabilities", "values"),
    [
        ((0.0, 1.0), (1.0, 1.0)),
        ((0.0, 1.0), (2.0, 1.0)),
        ((0.0, 0.6, 0.5, 1.0), (1.0, 2.0, 3.0, 4.0)),
        ((0.1, 1.0), (1.0, 2.0)),
        ((0.0, 0.9), (1.0, 2.0)),
    ],
)
def test_not_a_table(probabilities: tuple[float, ...], values: tuple[float, ...]) -> None:
    """Points that do not rise, or do not span 0 to 1, are refused."""
    with pytest.raises(ValueError, match="needs probabilities"):
        Quantiles(probabilities, values)
