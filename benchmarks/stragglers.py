"""Every straggler family against its closed form, slow periods against what was asked, and the cost of a draw.

    python benchmarks/stragglers.py [--draws 1000000] [--trace FILE --log-length N]

Each family is drawn from in runs of ten workers with 50 requests each, as many runs as 10^6 draws need, at random
times: once as it is, and once with slow periods of 2 s on average. A difference is that between the share of draws
below the closed form's quantile and its probability, in standard errors over the runs (draws of one run may share a
machine, or a slow period); for the mean likewise. If all draws are equal, or have no variance, there is no error to
compare with. The last column is the processor time of one draw, the best of five rounds of 20,000.
"""

from __future__ import annotations

import argparse
import math
import sys
import timeit
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import NormalDist
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.stragglers.drawn import Drawn
from collagebench.stragglers.draws import stream
from collagebench.stragglers.families import Pareto
from collagebench.stragglers.model import NAMES, PARAMETERS, open_stragglers
from collagebench.stragglers.persistence import Levels
from collagebench.stragglers.quantiles import mixture
from collagebench.stragglers.replay import REPLAYS, Replay
from collagebench.stragglers.structured import REQUEST_MEAN, Structured
from collagebench.stragglers.trace import CollageMachines

WORKERS, REQUESTS, LONG_S = 10, 50, 2.0
PROBABILITIES = (0.5, 0.9, 0.99, 0.999)
Values = NDArray[np.float64]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--draws", type=int, default=1_000_000)
    parser.add_argument("--trace", type=Path, help="a trace to replay as well")
    parser.add_argument("--log-length", type=int, help="values of each of its machines")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    runs = max(arguments.draws // (WORKERS * REQUESTS), 2)
    print(f"{runs * WORKERS * REQUESTS:,} draws each, {runs} runs of {WORKERS} workers, {REQUESTS} requests a worker\n")
    print(f"{'':29}{'mean':>24}" + "".join(f"{f'p{100 * p:g}':>24}" for p in PROBABILITIES) + f"{'µs':>7}")
    print(f"{'family':22}{'lasts':>7}" + f"{'drawn / closed    SE':>24}" * 5 + f"{'a draw':>7}", flush=True)
    worst = 0.0
    for i, (label, name, parameters) in enumerate(families(arguments.trace, arguments.log_length)):
        worst = max(worst, compare(label, name, parameters, runs, arguments.seed + i))
    print(f"\nlargest difference {worst:.2f} standard errors\n")
    slow_periods(arguments.seed)
    sys.exit(0)


def families(trace: Path | None, log_length: int | None) -> list[tuple[str, str, dict[str, Any]]]:
    """Return a label, a name and parameters for each row; stragglers that draw nothing are left out."""
    rows = []
    replays = [(f"trace {order}", {"trace": trace, "log_length": log_length, "replay": order}) for order in REPLAYS]
    for name in NAMES:
        if "straggler_mode" in PARAMETERS[name] or name == "erasure":
            kinds: list[tuple[str, dict[str, Any]]] = replays if name == "trace" else [(name, {})]
            for label, given in kinds if name != "trace" or trace else []:
                rows.append((label, name, {"persistence": 0.0, **given}))
                if given.get("replay") not in ("block", "sequential"):
                    rows.append((label, name, {**given, "persistence": LONG_S}))
    return rows


def compare(label: str, name: str, parameters: dict[str, Any], runs: int, seed: int) -> float:
    """Print a row; return its largest difference, in standard errors."""
    model: Any = open_stragglers(name, seed, WORKERS, 1.0, parameters)
    ask = model.drops if name == "erasure" else model.draw
    speed = f"{cost(ask):7.2f}"
    times = stream(seed, "benchmark times", 0).uniform(0, 1e4, runs * WORKERS * REQUESTS).tolist()
    places = ((run, w, i, 0) for run in range(runs) for w in range(WORKERS) for i in range(REQUESTS))
    draws = np.array([ask(*place, at) for place, at in zip(places, times, strict=True)]).reshape(runs, -1)
    row, worst = f"{label:22}{parameters['persistence']:6g}s", 0.0
    if name == "erasure":
        share = model.levels.share
        print(f"{row} lost {draws.mean():.5f} / {share:.5f}{errors(draws, share):+6.2f}{'':91}{speed}", flush=True)
        return abs(errors(draws, share))
    at, below, mean, certain = closed_form(model)
    figures = [(draws.mean(), mean, errors(draws, mean) if certain else math.nan)]
    for probability in PROBABILITIES:
        value = at(probability)
        # Inside a step (a bimodal family, a sample) the share below its value is the closed form's.
        expected = below(value)
        found = float(np.quantile(draws, probability, method="inverted_cdf"))
        figures.append((found, value, errors(draws < value, expected)))
    for found, expected, difference in figures:
        worst = max(worst, 0.0 if math.isnan(difference) else abs(difference))
        row += f"{found:10.4f} /{expected:7.4f}" + (f"{difference:+5.2f}" if not math.isnan(difference) else "    -")
    print(row + speed, flush=True)
    return worst


def cost(ask: Callable[[int, int, int, int, float], object]) -> float:
    """Return the microseconds of one draw as in a simulated cell, with workers in turn and time passing."""
    rounds = timeit.repeat(
        lambda: [ask(0, i % 10, i, 0, 0.01 * i) for i in range(20_000)], number=1, repeat=5, timer=process_time
    )
    return min(rounds) / 20_000 * 1e6


def errors(draws: NDArray[Any], expected: float) -> float:
    """Return how far the mean of draws [runs, draws] is from the expected one, in standard errors over the runs."""
    means = draws.mean(axis=1)
    error = float(means.std(ddof=1)) / math.sqrt(len(means))
    missed = float(means.mean()) - expected
    return missed / error if error > 1e-15 else math.nan


def closed_form(model: Any) -> tuple[Callable[[float], float], Callable[[float], float], float, bool]:
    """Return the quantile and the distribution function of all draws, their mean, and whether there is a variance."""
    if isinstance(model, Drawn):
        family = model.distribution
        has_variance = not (isinstance(family, Pareto) and family.shape <= 2)
        return family.at, partial(below, family.at), model.mean, has_variance
    if isinstance(model, CollageMachines):
        table = mixture(model.tables, [1.0] * len(model.tables))
        return table.at, table.below, model.mean, True
    if isinstance(model, Replay):
        weights = [len(log) if model.order == "block" else 1.0 for log in model.logs]
        shares = np.array(weights) / sum(weights)

        def below_logs(value: float) -> float:
            return float(sum(share * below(log.at, value) for share, log in zip(shares, model.ranked, strict=True)))

        return model.pooled.at, below_logs, model.mean, True
    assert isinstance(model, Structured)

    def below_all(value: float) -> float:
        share = 0.0
        for weight, median, sigma in (
            (1 - model.slow_machines, model.machines.median, math.hypot(model.machines.sigma, model.requests.sigma)),
            (model.slow_machines, model.slow_machine, model.requests.sigma),
        ):
            for part, factor in ((1 - model.requests.share, 1.0), (model.requests.share, model.requests.factor)):
                centre = math.log(median) + REQUEST_MEAN + math.log(factor)
                share += weight * part * NormalDist(centre, sigma).cdf(math.log(value))
        return share

    def at(probability: float) -> float:
        low, high = 1e-6, 1e6
        for _ in range(200):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if below_all(middle) < probability else (low, middle)
        return high

    return at, below_all, model.mean, True


def below(at: Callable[[float], float], value: float) -> float:
    """Return the share of draws below `value`, where the quantile function `at` reaches it."""
    low, high = 0.0, 1.0
    for _ in range(53):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle) < value else (low, middle)
    return low


def slow_periods(seed: int) -> None:
    """Print the lengths of slow periods, asked and achieved, and the correlation of a worker's neighbouring draws.

    Neighbours are a tenth of the mean length apart, which gives the length exactly: see `lengths`. The correlation
    asked for is that of the states, exp(-step / (L (1 - p))), times the share of the family's variance that lies
    between slow and ordinary draws.
    """
    print("slow periods         share of the time     mean length, s      standard       lag-1 autocorrelation")
    print("family                asked   achieved     asked   achieved       error    asked   achieved      SE")
    for i, (name, share, length) in enumerate(
        (name, share, length)
        for name in ("shifted-exponential", "lognormal", "bimodal")
        for share, length in ((0.02, 5.0), (0.1, 0.2), (0.3, 1.0))
    ):
        model = open_stragglers(name, seed + i, WORKERS, 1.0, {"persistence": length, "slow_share": share})
        assert isinstance(model, Drawn)
        step, steps = length / 10, int(100 / share)
        states = np.array([[model.levels.is_slow(run, 0, k * step) for k in range(steps)] for run in range(100)])
        draws = np.array([[model.draw(run, 0, k, 0, k * step) for k in range(steps)] for run in range(100)])
        achieved, periods = lengths(states, step, share)
        spread = variance(model)
        alike = (draws[:, 1:] - model.mean) * (draws[:, :-1] - model.mean) / spread
        asked = covariance(model, step) / spread
        error = length / math.sqrt(periods)
        print(
            f"{name:21}{share:6.3f}{states.mean():11.4f}{length:10.2f}{achieved:11.3f}{error:12.3f}"
            f"{asked:9.4f}{alike.mean():11.4f}{errors(alike, asked):+8.2f}",
            flush=True,
        )


def lengths(states: NDArray[np.bool_], step: float, share: float) -> tuple[float, int]:
    """Return the mean length of slow periods and their number, from states [runs, times] that are `step` apart.

    A slow worker is ordinary one step later with probability (1 - p)(1 - exp(-step / (L (1 - p)))).
    """
    ended = int((states[:, :-1] & ~states[:, 1:]).sum())
    leaving = ended / int(states[:, :-1].sum())
    return -step / ((1 - share) * math.log1p(-leaving / (1 - share))), ended


def variance(model: Drawn) -> float:
    """Return the variance of the draws, from a million quantiles."""
    return float(np.mean([model.distribution.at((i + 0.5) / 1e6) ** 2 for i in range(1_000_000)])) - model.mean**2


def covariance(model: Drawn, step: float) -> float:
    """Return the covariance of two draws of one worker `step` seconds apart."""
    levels: Levels = model.levels
    ordinary = model.distribution.lower_mean(1 - levels.share)
    slow = (model.distribution.mean - (1 - levels.share) * ordinary) / levels.share
    between = levels.share * (1 - levels.share) * (slow - ordinary) ** 2
    return math.exp(-step / (levels.persistence * (1 - levels.share))) * between


if __name__ == "__main__":
    main()
