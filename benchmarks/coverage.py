"""Whether intervals hold what they promise, and how often equal schemes are called different: six tables.

1. How often the 95 % interval of p99 covers the true value, beside an interval that takes requests as independent. The
   data are synthetic, computed for thousands of runs at once: ten workers at half their capacity, lognormal service,
   and each worker slow (5x) for a tenth of the time, in periods of as many mean service times as the table says.
   Requests go to the worker that is free first, as with one queue for the fleet, or to a random worker with a queue of
   its own, which grows as long as that worker is slow. An experiment has 10 runs of 1,000 requests; the true value is
   the p99 of 10,000 such runs. With random queues and slow periods that outlast most of a run, the interval falls
   short: the p99 of all runs together then comes from the few runs with such a period.
2. What pairing gains: the variance over runs of the difference in p99 between two schemes with the same arrivals and
   slowdowns, and between two with different ones; and how many requests have their first task on the same worker as
   without redundancy. The run is the one that needs no options, in the simulated engine.
3. How often a difference is called real between a scheme and itself under other seeds: the same engine and runs.
4. The same with the latencies of one side 10 % longer: how often that is found, with other seeds and with the same.
5. How often the interval of p99 holds the true value on that fleet, for each scheme, in runs of the same length, in
   longer ones, and in runs with slow machines of their own; and how often the interval of its ratio to the p99 without
   redundancy does. The true value is that of all runs from which the experiments are made. With --arrivals, only this
   table is printed, for runs of three lengths.
6. What adding runs does. Of experiments of 10 runs, how often the p99 of a scheme is called different from that without
   redundancy; how often the report says instead how many runs may tell, and how often they then do. And of a scheme and
   itself under other seeds, how often the report says so, and how often it calls them different after 10 runs, or after
   20 if not before, or 40.

    python benchmarks/coverage.py [--experiments 300] [--comparisons 100] [--paired 300]
    python benchmarks/coverage.py --arrivals bursts [--utilisation 0.3] [--comparisons 100]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.config import Config
from collagebench.engine.bound import Latencies
from collagebench.engine.cells import conductor_of
from collagebench.engine.plan import Plan, make_plan
from collagebench.engine.router import Job
from collagebench.engine.simulated import simulate_cell
from collagebench.engine.variants import Variant
from collagebench.results.reader import Run
from collagebench.results.table import Table
from collagebench.statistics.comparison import Difference, compare
from collagebench.statistics.intervals import Interval, lower_quantile, slower_share
from collagebench.statistics.latency import latency
from collagebench.statistics.paired import LEVEL
from collagebench.statistics.quantiles import lower_bound, quantile, upper_bound

WORKERS = 10
SLOW_SHARE, SLOW_FACTOR, LOAD = 0.1, 5.0, 0.5
CASES = (("one queue", 5), ("one queue", 20), ("one queue", 80), ("at random", 5), ("at random", 20), ("at random", 80))
RUNS, REQUESTS, WARMUP = 10, 1000, 50
FLEETS = (("collage-trace", 250), ("collage-trace", 1000), ("collage-machines", 1000))
LENGTHS = (("collage-trace", 250), ("collage-trace", 1000), ("collage-trace", 4000))
LOADS = (0.5, 0.6)
LOOKS = (10, 20, 40)
"""Numbers of runs after which somebody who adds runs looks at the report, as far as there are twice as many."""
POOL = 7
"""Runs for each experiment of the sixth table, which draws its own from those of all."""
COMPUTE_S = 0.002
"""The assumed time of an inference, fixed so that the figures do not depend on the machine."""

Seconds = NDArray[np.float64]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--experiments", type=int, default=300)
    parser.add_argument("--comparisons", type=int, default=100)
    parser.add_argument("--paired", type=int, default=300, help="runs of the second table")
    parser.add_argument("--arrivals", help="poisson, constant, bursts or a log: print only the fifth table, for them")
    parser.add_argument("--utilisation", type=float, help="of the fifth table [0.5]")
    arguments = parser.parse_args()
    start = time.perf_counter()
    load = {"arrivals": arguments.arrivals or "poisson", "utilisation": arguments.utilisation}
    if arguments.arrivals:
        print_fleets(arguments.comparisons, LENGTHS, load)
        return
    print_coverage(arguments.experiments)
    needed = max(arguments.paired, 2 * RUNS * arguments.comparisons)
    plan = make_plan(Config(runs=needed, compute_time=COMPUTE_S))
    print_pairing(plan, arguments.paired)
    print_comparisons(plan, arguments.comparisons)
    print_fleets(arguments.comparisons, FLEETS, load)
    print_added(arguments.comparisons)
    print(f"{time.perf_counter() - start:.0f} s")


# Coverage.


def print_coverage(experiments: int) -> None:
    """Print how often each interval covers the true p99."""
    print(f"1. 95 % interval of p99: how many of {experiments} experiments cover the truth")
    print(f"{'requests go to':15}{'slow periods':>12}{'true p99':>10}{'over runs':>11}{'naive':>8}", end="")
    print(f"{'width':>8}{'naive':>8}")
    for routing, period in CASES:
        rng = np.random.default_rng(1)
        truth = float(np.quantile(bursty(rng, 10_000, routing, period), 0.99, method="inverted_cdf"))
        covered, widths = np.zeros(2), np.zeros(2)
        for experiment in bursty(rng, experiments * RUNS, routing, period).reshape(experiments, RUNS, -1):
            for place, (low, high) in enumerate((over_runs(experiment), independent(experiment))):
                covered[place] += low <= truth <= high
                widths[place] += high - low
        figures = (*(covered / experiments), *(widths / experiments))
        shown = "{:11.1%}{:8.1%}{:8.1f}{:8.1f}".format(*figures)
        print(f"{routing:15}{period:12}{truth:10.1f}{shown}", flush=True)


def over_runs(latencies: Seconds) -> Interval:
    """Return the 95 % interval of p99 as reports have it, from [runs, requests], all of them answered."""
    pooled = np.sort(latencies.ravel())
    above, lower = ((latencies > quantile(pooled, q)).mean(axis=1).tolist() for q in (0.99, lower_quantile(0.99)))
    shares = slower_share(0.99, above, lower, [latencies.shape[1]] * len(latencies))
    assert shares is not None
    return quantile(pooled, 1 - shares[1]), quantile(pooled, 1 - shares[0])


def independent(latencies: Seconds) -> Interval:
    """Return the 95 % interval of p99 from [runs, requests] as if requests were independent."""
    pooled = np.sort(latencies.ravel())
    low, high = lower_bound(pooled, 0.99), upper_bound(pooled, 0.99)
    assert low is not None
    assert high is not None
    return low, high


def bursty(rng: np.random.Generator, runs: int, routing: str, period: float) -> Seconds:
    """Return latencies [runs, requests after the warm-up] in mean service times of a worker that is not slow."""
    mean = np.exp(0.3**2 / 2) * (1 + SLOW_SHARE * (SLOW_FACTOR - 1))
    every, now = np.arange(runs), np.zeros(runs)
    slow = rng.random((runs, WORKERS)) < SLOW_SHARE
    lasts = np.array([period * (1 - SLOW_SHARE) / SLOW_SHARE, period])  # of a fast and of a slow period
    until = rng.exponential(lasts[slow.astype(int)])
    free = np.zeros((runs, WORKERS))
    latencies = np.empty((REQUESTS, runs))
    for request in range(REQUESTS):
        now += rng.exponential(mean / (LOAD * WORKERS), runs)
        worker = free.argmin(axis=1) if routing == "one queue" else rng.integers(0, WORKERS, runs)
        begun = np.maximum(free[every, worker], now)
        passed = np.flatnonzero(until[every, worker] <= begun)
        while len(passed):
            place = (passed, worker[passed])
            slow[place] = ~slow[place]
            until[place] += rng.exponential(lasts[slow[place].astype(int)])
            passed = passed[until[place] <= begun[passed]]
        service = rng.lognormal(0.0, 0.3, runs) * np.where(slow[every, worker], SLOW_FACTOR, 1.0)
        free[every, worker] = begun + service
        latencies[request] = begun + service - now
    after_warmup: Seconds = latencies[WARMUP:].T
    return after_warmup


# Comparisons, in the simulated engine.


def print_pairing(plan: Plan, runs: int) -> None:
    """Print the variance of differences in p99, paired and not, in square milliseconds."""
    print(f"\n2. variance of the difference in p99 from none over {runs} runs, ms²")
    print(f"{'scheme':14}{'paired':>10}{'unpaired':>10}{'ratio':>8}{'same worker':>13}")
    p99, workers = {}, {}
    for variant in plan.variants:
        listeners = [simulate_run(plan, variant, run) for run in range(runs)]
        p99[variant.name] = p99_by_run(counted(plan, listeners)) * 1e3
        workers[variant.name] = np.array([listener.workers for listener in listeners])
    for name in p99:
        if name == "none":
            continue
        paired = np.var(p99[name] - p99["none"], ddof=1)
        unpaired = np.var(p99[name], ddof=1) + np.var(p99["none"], ddof=1)
        same = np.mean(workers[name] == workers["none"])
        print(f"{name:14}{paired:10.0f}{unpaired:10.0f}{paired / unpaired:8.2f}{same:13.0%}", flush=True)


def print_comparisons(plan: Plan, comparisons: int) -> None:
    """Print how often a scheme is called different from itself, and from itself 10 % slower."""
    print(f"\n3. and 4. none against none, {comparisons} comparisons of {RUNS} runs: p99 called different")
    print(f"{'':34}{'significant':>12}{'real':>8}{'p50':>8}{'mean':>8}")
    latencies = simulate(plan, plan.variants[0], 2 * RUNS * comparisons)
    halves = latencies.reshape(comparisons, 2, RUNS, -1)
    for label, factor, same in (
        ("itself, other seeds", 1.0, False),
        ("10 % slower, other seeds", 1.1, False),
        ("10 % slower, the same seeds", 1.1, True),
    ):
        found = [differences({"one": one, "other": factor * (one if same else other)}) for one, other in halves]
        significant = np.mean([figures["p99"].p_holm <= LEVEL for figures in found])
        real = {name: np.mean([figures[name].real for figures in found]) for name in ("p99", "p50", "mean")}
        print(f"{label:34}{significant:12.0%}{real['p99']:8.0%}{real['p50']:8.0%}{real['mean']:8.0%}", flush=True)


def print_fleets(experiments: int, fleets: Sequence[tuple[str, int]], load: Mapping[str, Any]) -> None:
    """Print how often the interval of p99 holds the p99 of all runs, and how often that of its ratio to none's does."""
    print(f"\n5. 95 % interval of p99: how many of {experiments} experiments of {RUNS} runs hold that of all of them,")
    print("   and behind the stroke, how many hold the ratio to that of none")
    runs = RUNS * experiments
    for stragglers, requests in fleets:
        config = Config(stragglers=stragglers, requests=requests, runs=runs, compute_time=COMPUTE_S, **load)
        plan = make_plan(config)
        held: list[str] = []
        first: list[Seconds] = []
        for variant in plan.variants:
            each = list(simulate(plan, variant, runs).reshape(experiments, RUNS, -1))
            first = first or each
            truth, base = pooled_p99(np.array(each)), pooled_p99(np.array(first))
            inside = np.mean([low <= truth <= high for low, high in map(over_runs, each)])
            held.append(f"{variant.name} {inside:.1%}")
            if each is first:
                continue
            found = [differences({"none": other, "own": one})["p99"] for one, other in zip(each, first, strict=True)]
            ends = [one.ratio_ci95 for one in found if one.ratio_ci95]
            held[-1] += f" | {sum(low <= truth / base <= high for low, high in ends) / len(found):.1%}"
        print(f"{stragglers:18}{requests:6} requests a run: {', '.join(held)}", flush=True)


def print_added(experiments: int) -> None:
    """Print how often a difference is shown once runs are added, where there is one and where there is none."""
    print(f"\n6. runs added to {RUNS}, {experiments} experiments: p99 of a scheme called different from that of none;")
    print("   not, but the report says how many runs may tell; and called different after as many")
    print(f"{'load':>4} {'scheme':14}{'ratio':>8}{'different':>11}{'says':>8}{'median':>8}{'then':>8}", end="")
    print(f"   itself: says, different after {', '.join(map(str, LOOKS))}")
    rng = np.random.default_rng(6)
    pool = max(POOL * experiments, 2 * LOOKS[0])
    for load in LOADS:
        plan = make_plan(Config(runs=pool, compute_time=COMPUTE_S, utilisation=load))
        base: Seconds | None = None
        for variant in plan.variants:
            own = simulate(plan, variant, pool)
            base = own if base is None else base
            draws = [rng.permutation(pool) for _ in range(experiments)]
            line = f"{load:4} {variant.name:14}"
            line += f"{'':43}" if own is base else _until_shown(base, own, draws)
            print(f"{line}{_beside_itself(own, draws)}", flush=True)


def _until_shown(base: Seconds, own: Seconds, draws: Sequence[NDArray[np.int64]]) -> str:
    shown, needed, then = 0, [], 0
    for order in draws:
        first = differences({"none": base[order[:RUNS]], "own": own[order[:RUNS]]})["p99"]
        shown += first.real
        if first.runs_needed is not None:
            needed.append(first.runs_needed)
            some = order[: first.runs_needed]
            then += differences({"none": base[some], "own": own[some]})["p99"].real
    figures = f"{pooled_p99(own) / pooled_p99(base):8.2f}{shown / len(draws):11.0%}{len(needed) / len(draws):8.0%}"
    return figures + (f"{np.median(needed):8.0f}{then / len(needed):8.0%}" if needed else f"{'':16}")


def _beside_itself(own: Seconds, draws: Sequence[NDArray[np.int64]]) -> str:
    """Return how often a report says how many runs tell a scheme from itself, and by each look calls it different."""
    numbers = [runs for runs in LOOKS if 2 * runs <= len(own)]
    said, found = 0, np.zeros(len(numbers))
    for order in draws:
        sides = own[order[: numbers[-1]]], own[order[numbers[-1] : 2 * numbers[-1]]]
        looks = [differences({"one": sides[0][:runs], "other": sides[1][:runs]})["p99"] for runs in numbers]
        said += looks[0].runs_needed is not None
        found += np.logical_or.accumulate([look.real for look in looks])
    return f"{said / len(draws):15.0%}  {', '.join(f'{share:.1%}' for share in found / len(draws))}"


def differences(latencies: Mapping[str, Seconds]) -> dict[str, Difference]:
    """Return the last scheme's differences from the first, as a report has them; `latencies` are [runs, requests]."""
    names = list(latencies)
    shape = next(iter(latencies.values())).shape
    run, request = np.indices(shape).reshape(2, -1)
    columns = {
        "scheme": np.repeat(np.arange(len(names)), run.size),
        "run": np.tile(run, len(names)),
        "request": np.tile(request, len(names)),
        "latency": np.concatenate([values.ravel() for values in latencies.values()]),
    }
    size = len(columns["run"])
    columns |= {"warmup": np.zeros(size, dtype=bool)}
    columns |= {name: np.zeros(size, int) for name in ("image", "predicted", "label")}
    requests = Table(columns, {"scheme": names})
    nothing = Table({"scheme": np.zeros(0, int)}, {"scheme": names})
    whole = Run(Path(), {}, requests, nothing, nothing, (), (), ())
    times = {name: latency(whole.of(name).requests) for name in names}
    figures = compare(whole, times, names[0])[names[-1]].figures
    return {name: difference for name, difference in figures.items() if difference is not None}


def pooled_p99(latencies: Seconds) -> float:
    """Return the p99 of all runs together."""
    return quantile(np.sort(latencies.ravel()), 0.99)


def p99_by_run(latencies: Seconds) -> Seconds:
    """Return the p99 of each run, from [runs, requests]."""
    p99: Seconds = np.quantile(latencies, 0.99, axis=1, method="inverted_cdf")
    return p99


def simulate(plan: Plan, variant: Variant, runs: int) -> Seconds:
    """Return the latencies of a scheme in seconds, [runs, requests after the warm-up]."""
    return counted(plan, [simulate_run(plan, variant, run) for run in range(runs)])


def counted(plan: Plan, listeners: Sequence[Latencies]) -> Seconds:
    """Return the latencies that the first runs' listeners recorded, [runs, requests after the warm-up]."""
    return np.array([listener.values[plan.workloads[run].warmup :] for run, listener in enumerate(listeners)])


class Course(Latencies):
    """Also records the worker of each request's first task."""

    def __init__(self, requests: int) -> None:
        super().__init__(requests)
        self.workers = np.full(requests, -1)

    def sent(self, job: Job) -> None:
        """Record the worker of a first task."""
        if job.task.role == "single" and self.workers[job.task.requests[0].id] < 0:
            self.workers[job.task.requests[0].id] = job.worker


def simulate_run(plan: Plan, variant: Variant, run: int) -> Course:
    """Simulate one run; return its listener."""
    listener = Course(plan.config.requests)
    conduct = conductor_of(plan, variant, run, listener)
    simulate_cell(conduct, plan.requests(run), plan.compute_of(variant), plan.config.deadline)
    return listener


if __name__ == "__main__":
    main()
