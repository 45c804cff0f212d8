"""The latency of one scheme: pooled quantiles of all its requests, with intervals from the variation between runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from collagebench.results.table import Table
from collagebench.statistics.intervals import Interval, lower_quantile, slower_share
from collagebench.statistics.quantiles import QUANTILES, lower_bound, quantile, upper_bound


@dataclass(frozen=True, slots=True)
class Quantile:
    """One quantile of latency, in seconds."""

    observed: float
    """The sample's quantile; infinite if too many requests failed."""
    bounded: bool
    """Whether the sample is large enough for an upper bound; if not, `observed` is not reported."""
    at_least: float | None
    """Lower 97.5 % bound of the true quantile; None if the sample gives none."""
    ci95: Interval | None
    """95 % interval, from the variation between runs."""
    ci95_within: Interval | None
    """95 % interval from order statistics, as if requests were independent. It is too narrow if they queue, but it is
    all that a single run gives."""
    by_run: dict[int, float]
    """The quantile of each run."""
    above: dict[int, float]
    """Share of each run's requests above `observed`. Requests equal to it count in part, so that the share of all
    requests is 1 - q."""
    share_ci95: Interval | None
    """95 % interval of the share of requests above the true quantile; the ends of `ci95` are the quantiles at its
    ends."""

    @property
    def known(self) -> float | None:
        """The figure to report; None if it is unbounded or infinite."""
        return self.observed if self.bounded and math.isfinite(self.observed) else None


@dataclass(frozen=True, slots=True)
class Latency:
    """The latency of one scheme, in seconds, from intended arrival to answer, without the warm-up."""

    ordered: NDArray[np.float64] = field(compare=False)
    """The latency of every request, ascending; infinite if it failed."""
    failed: int
    quantiles: dict[str, Quantile]
    mean: float | None
    """`mean`, `std` and `max` are None if any request failed, as they would be infinite."""
    std: float | None
    """Standard deviation of all requests, dividing by their number."""
    max: float | None
    mean_by_run: dict[int, float]
    """The mean of each run; infinite if a request failed."""

    @property
    def requests(self) -> int:
        """The number of requests."""
        return len(self.ordered)


def latency(requests: Table) -> Latency:
    """Return the latency of one scheme's requests; those of the warm-up are ignored.

    A failed request counts as infinitely slow. Without requests there are no quantiles.
    """
    counted = requests.where(~requests["warmup"])
    seconds = infinite_if_failed(counted)
    ordered = np.sort(seconds)
    failed = int(np.isinf(seconds).sum())
    quantiles = {}
    runs = {int(run): np.sort(seconds[counted["run"] == run]) for run in np.unique(counted["run"])}
    if len(ordered):
        for name, q in QUANTILES.items():
            observed = quantile(ordered, q)
            by_run = {run: quantile(values, q) for run, values in runs.items()}
            above, lower = _above(ordered, q, runs), _above(ordered, lower_quantile(q), runs)
            sizes = [len(values) for values in runs.values()]
            shares = slower_share(q, list(above.values()), list(lower.values()), sizes)
            low, high = lower_bound(ordered, q), upper_bound(ordered, q)
            quantiles[name] = Quantile(
                observed=observed,
                bounded=high is not None,
                at_least=_finite(low),
                ci95=_at(ordered, shares) if shares and high is not None else None,
                ci95_within=(low, high) if low is not None and high is not None and math.isfinite(high) else None,
                by_run=by_run,
                above=above,
                share_ci95=shares,
            )
    finite = len(ordered) > 0 and failed == 0
    return Latency(
        ordered=ordered,
        failed=failed,
        quantiles=quantiles,
        mean=float(np.mean(ordered)) if finite else None,
        std=float(np.std(ordered)) if finite else None,
        max=float(ordered[-1]) if finite else None,
        mean_by_run={run: float(np.mean(values)) for run, values in runs.items()},
    )


def _above(ordered: NDArray[np.float64], q: float, runs: dict[int, NDArray[np.float64]]) -> dict[int, float]:
    """Return the share of each run's values above the pooled q-quantile, as in `Quantile.above`."""
    observed = quantile(ordered, q)
    above, equal = np.sum(ordered > observed), np.sum(ordered == observed)
    part = ((1 - q) * len(ordered) - above) / equal
    return {run: float(np.mean(values > observed) + part * np.mean(values == observed)) for run, values in runs.items()}


def _at(ordered: NDArray[np.float64], shares: Interval) -> Interval | None:
    """Return the two values with these shares of all values above them, the lower first; None if one is infinite."""
    low, high = quantile(ordered, 1 - shares[1]), quantile(ordered, 1 - shares[0])
    return (low, high) if math.isfinite(high) else None


def failures(requests: Table) -> tuple[int, int]:
    """Return how many requests failed, and of how many, without the warm-up."""
    counted = ~requests["warmup"]
    return int((np.isnan(requests["latency"]) & counted).sum()), int(counted.sum())


def failed_by_run(requests: Table) -> dict[int, float]:
    """Return the share of each run's requests that failed, without the warm-up."""
    counted = requests.where(~requests["warmup"])
    failed = np.isnan(counted["latency"])
    return {int(run): float(failed[counted["run"] == run].mean()) for run in np.unique(counted["run"])}


def infinite_if_failed(requests: Table) -> NDArray[np.float64]:
    """Return the latency of every request in seconds; infinite if it has no answer."""
    seconds = requests["latency"]
    return np.where(np.isnan(seconds), np.inf, seconds)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
