"""The two distributions that intervals and tests need, without SciPy: Student's t and the binomial.

Both follow from the regularised incomplete beta function I_x(a, b), evaluated by its continued fraction with the
modified Lentz method (Numerical Recipes, 3rd edition, section 6.4). The quantile of t is found by bisection.
"""

from __future__ import annotations

import math
from functools import cache

TINY = 1e-300


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return I_x(a, b) for a, b > 0 and 0 <= x <= 1.

    The relative error is below 1e-10 for a + b up to 10,000 and below 1e-7 up to ten million, where the logarithms of
    the gamma function are large numbers that nearly cancel.
    """
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    if x > (a + 1.0) / (a + b + 2.0):  # the fraction converges fast on the other side
        return 1.0 - incomplete_beta(b, a, 1.0 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) * _continued_fraction(a, b, x) / a


def _continued_fraction(a: float, b: float, x: float) -> float:
    c = 1.0
    d = 1.0 / _nonzero(1.0 - (a + b) * x / (a + 1.0))
    result = d
    # It takes about sqrt(max(a, b)) steps; the limit is far beyond that.
    for m in range(1, 100_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for coefficient in (even, odd):
            d = 1.0 / _nonzero(1.0 + coefficient * d)
            c = _nonzero(1.0 + coefficient / c)
            result *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return result


def _nonzero(value: float) -> float:
    return value if abs(value) > TINY else TINY


@cache
def student_t_quantile(probability: float, degrees: int) -> float:
    """Return the value that Student's t with `degrees` >= 1 of freedom stays below with `probability` in [0.5, 1)."""
    if not 0.5 <= probability < 1.0 or degrees < 1:
        raise ValueError(f"no t quantile for probability {probability}, {degrees} degrees of freedom")

    def below(t: float) -> float:
        return 1.0 - 0.5 * incomplete_beta(degrees / 2.0, 0.5, degrees / (degrees + t * t))

    low, high = 0.0, 1.0
    while below(high) < probability:
        high *= 2.0
    while high - low > 1e-12 * high:
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if below(middle) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def student_t_two_sided(t: float, degrees: int) -> float:
    """Return P(|T| >= |t|) for T of Student's t with `degrees` >= 1 of freedom; 0 for an infinite t."""
    if degrees < 1 or math.isnan(t):
        raise ValueError(f"no t test for t = {t}, {degrees} degrees of freedom")
    if math.isinf(t):
        return 0.0
    return incomplete_beta(degrees / 2.0, 0.5, degrees / (degrees + t * t))


def binomial_at_least(successes: int, trials: int, probability: float) -> float:
    """Return P(X >= successes) for X binomial with `trials` and `probability`."""
    if successes <= 0:
        return 1.0
    if successes > trials:
        return 0.0
    return incomplete_beta(successes, trials - successes + 1, probability)
