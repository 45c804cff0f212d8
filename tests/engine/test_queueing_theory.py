"""Simulated fleets against queueing theory: means and quantiles agree with closed forms within sampling error.

Times are in mean services. Every figure is computed from independent runs, so that its standard error is known: theory
must lie within four of them, and they must be small enough for the test to mean something.

What is an M/M/k queue here, and what is not: workers have a queue each, and a task joins the shortest. Such a fleet
lies between one M/M/k queue, whose workers take the next task whoever they are (so nobody waits beside an idle worker),
and k queues M/M/1 that get a k-th of the tasks at random; only for k = 1 are the three the same. But `tied` on two
workers *is* an M/M/2 queue: every request stands in both queues until one of them begins it.

Sources: Kleinrock, "Queueing Systems", volume 1, 1975 (M/M/1, M/M/k, M/G/1); Erlang 1909, as in Iversen and Staalhagen,
"Waiting time distribution in M/D/1 queueing systems", Electronics Letters 35(25), 1999.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from collagebench.engine.bound import Latencies
from collagebench.engine.conductor import Conductor
from collagebench.engine.router import Router
from collagebench.engine.simulated import SimulatedTransport, simulate_cell
from collagebench.schemes import make
from collagebench.schemes.protocol import Request
from collagebench.stragglers.model import open_stragglers

RUNS, REQUESTS, WARMUP = 25, 3000, 300
Services = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]
"""Makes service times of the shape [requests, workers]."""


def exponential(random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return exponential services of mean 1."""
    return random.exponential(1.0, shape)


def constant(random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return services of length 1."""
    return np.ones(shape)


def run(
    scheme: str,
    workers: int,
    gaps: NDArray[np.float64],
    draw: Callable[[int, int, int, float], float],
    random: np.random.Generator,
    **options: object,
) -> NDArray[np.float64]:
    """Return the latencies of one run, the warm-up left out."""
    requests = [Request(number, 0, at) for number, at in enumerate(np.cumsum(gaps).tolist())]
    ties = random.random((len(gaps), workers)).tolist()
    listener = Latencies(len(gaps))

    def conduct(transport: SimulatedTransport) -> Conductor:
        def tie(request: int, attempt: int) -> float:
            return ties[request][attempt % workers]

        router = Router({"single": range(workers)})
        return Conductor(make(scheme, options), router, draw, tie, lambda _, drawn: drawn, transport, listener)

    simulate_cell(conduct, requests, lambda task: 0.0, math.inf)
    return listener.values[WARMUP:]


def latencies(
    scheme: str, workers: int, load: float, services: Services, seed: int, **options: object
) -> NDArray[np.float64]:
    """Return the latencies of all runs, [runs, requests], under Poisson arrivals at `load` per worker."""
    found = []
    for each in np.random.SeedSequence(seed).spawn(RUNS):
        random = np.random.default_rng(each)
        times = services(random, (REQUESTS, workers)).tolist()
        gaps = random.exponential(1 / (load * workers), REQUESTS)
        draw = partial(lambda times, worker, request, attempt, at: times[request][worker], times)
        found.append(run(scheme, workers, gaps, draw, random, **options))
    return np.array(found)


def agrees(figures: NDArray[np.float64], theory: float, precision: float) -> None:
    """Check that a figure's mean over the runs is that of theory; `precision` limits its relative standard error."""
    error = figures.std(ddof=1) / math.sqrt(len(figures))
    assert error < precision * theory
    assert abs(figures.mean() - theory) < 4 * error, f"{figures.mean():.4f} ± {error:.4f}, in theory {theory:.4f}"


def quantiles(found: NDArray[np.float64], q: float) -> NDArray[np.float64]:
    """Return the q-quantile of each run."""
    return np.quantile(found, q, axis=1, method="inverted_cdf")


def test_one_worker_with_exponential_services_is_an_m_m_1_queue() -> None:
    """Latency is exponential with mean 1 / (1 - load): mean, median, p90 and p99."""
    load = 0.7
    found, mean = latencies("none", 1, load, exponential, seed=1), 1 / (1 - load)
    agrees(found.mean(axis=1), mean, 0.03)
    for q in (0.5, 0.9, 0.99):
        agrees(quantiles(found, q), -math.log(1 - q) * mean, 0.06)


def waits_in_m_d_1(load: float, wait: float) -> float:
    """Return the share of requests that wait no longer than `wait` services of length 1 (Erlang's formula)."""
    terms = [(load * (k - wait)) ** k / math.factorial(k) * math.exp(load * (wait - k)) for k in range(int(wait) + 1)]
    return (1 - load) * math.fsum(terms)


def test_one_worker_with_constant_services_is_an_m_d_1_queue() -> None:
    """The mean wait is load / (2 (1 - load)), and the share that waits longer than a given time is Erlang's."""
    load = 0.7
    waits = latencies("none", 1, load, constant, seed=2) - 1
    agrees(waits.mean(axis=1), load / (2 * (1 - load)), 0.03)
    for most in (0.0, 0.5, 1.0, 1.7, 2.6):
        agrees((waits > most + 1e-9).mean(axis=1), 1 - waits_in_m_d_1(load, most), 0.1)


def test_one_worker_with_the_paper_s_latencies_is_an_m_g_1_queue() -> None:
    """The mean wait is that of Pollaczek and Khinchine: rate E[S^2] / (2 (1 - load))."""
    load, waits = 0.6, []
    for seed in range(RUNS):
        stragglers = open_stragglers("collage-trace", seed, 1)
        distribution = stragglers.distribution  # type: ignore[attr-defined]
        mean = distribution.mean
        square = np.mean([distribution.at(p) ** 2 for p in np.linspace(0.0005, 0.9995, 1000)])
        random = np.random.default_rng(seed)
        gaps = random.exponential(mean / load, REQUESTS)
        found = run("none", 1, gaps, partial(stragglers.draw, 0), random)
        waits.append(found.mean() - mean)
    agrees(np.array(waits), load / mean * square / (2 * (1 - load)), 0.05)


def erlang_c(workers: int, load: float) -> float:
    """Return the share of requests that wait in an M/M/k queue with `workers` workers at `load` each."""
    offered = workers * load
    last = offered**workers / math.factorial(workers) / (1 - load)
    return last / (sum(offered**n / math.factorial(n) for n in range(workers)) + last)


def test_tied_requests_on_two_workers_are_an_m_m_2_queue() -> None:
    """The share that waits is Erlang's C, a wait is exponential with mean 1 / (2 (1 - load)), the mean follows."""
    load = 0.7
    found = latencies("tied", 2, load, exponential, seed=3)
    waiting, rate = erlang_c(2, load), 2 * (1 - load)
    agrees(found.mean(axis=1), 1 + waiting / rate, 0.03)
    for most in (0.5, 2.0, 3.0):  # the wait, if any, and the service after it
        wait_and_serve = (rate * math.exp(-most) - math.exp(-rate * most)) / (rate - 1)
        longer = (1 - waiting) * math.exp(-most) + waiting * wait_and_serve
        agrees((found > most).mean(axis=1), longer, 0.06)


def test_joining_the_shortest_queue_lies_between_one_queue_and_many() -> None:
    """The mean latency is above that of M/M/k and below that of M/M/1, by more than four standard errors."""
    workers, load = 5, 0.7
    means = latencies("none", workers, load, exponential, seed=4).mean(axis=1)
    error = means.std(ddof=1) / math.sqrt(RUNS)
    one_queue = 1 + erlang_c(workers, load) / (workers * (1 - load))
    assert one_queue + 4 * error < means.mean() < 1 / (1 - load) - 4 * error


def test_replicas_that_never_queue_are_as_fast_as_the_fastest() -> None:
    """The first of three exponential services is exponential with mean 1/3: the mean, the median and the p99."""
    replicas, found = 3, []
    for each in np.random.SeedSequence(5).spawn(RUNS):
        random = np.random.default_rng(each)
        services = exponential(random, (REQUESTS, replicas)).tolist()
        draw = partial(lambda services, worker, request, attempt, at: services[request][worker], services)
        gaps = np.full(REQUESTS, 50.0)  # no service lasts as long
        found.append(run("replication", replicas, gaps, draw, random, replicas=replicas))
    each_run = np.array(found)
    agrees(each_run.mean(axis=1), 1 / replicas, 0.01)
    for q in (0.5, 0.99):
        agrees(quantiles(each_run, q), -math.log(1 - q) / replicas, 0.02)


def two_replicas_on_two_workers(rate: float, most: int) -> float:
    """Return the mean latency of the Markov chain that replication on two workers is, solved for `most` requests.

    A state is the number of open requests and the number of workers that serve the oldest; the other worker, if any,
    still serves a replica that lost. With no request open, both workers are idle, or one finishes a loser.
    """
    states = {state: place for place, state in enumerate((n, c) for n in range(most + 1) for c in (1, 2))}
    flows = np.zeros((len(states), len(states)))

    def flow(source: tuple[int, int], target: tuple[int, int], at: float) -> None:
        flows[states[source], states[target]] += at
        flows[states[source], states[source]] -= at

    for n, c in states:  # (0, 1): one worker finishes a loser, (0, 2): both are idle
        if n < most:
            flow((n, c), (n + 1, c), rate)
        if n:
            flow((n, c), (n - 1, 1), float(c))  # the oldest is answered; where two served it, one of them lost
        if c == 1:
            flow((n, 1), (n, 2), 1.0)  # a loser ends, and its worker helps with the oldest
    balance = np.vstack([flows.T, np.ones(len(states))])
    shares = np.linalg.lstsq(balance, np.eye(len(states) + 1)[-1], rcond=None)[0]
    return float(sum(n * shares[place] for (n, _), place in states.items()) / rate)


def test_two_replicas_on_two_workers_are_their_markov_chain() -> None:
    """The mean latency is that of the chain: a losing replica is cancelled if it queues, and runs on in service."""
    load = 0.35
    found = latencies("replication", 2, load, exponential, seed=6, replicas=2)
    agrees(found.mean(axis=1), two_replicas_on_two_workers(2 * load, 100), 0.03)
