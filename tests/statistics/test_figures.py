"""Latency, accuracy, cost and timing of one scheme, against figures calculated by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from synthetic_run import cell, lognormal, make_run, request, task

from collagebench.results.reader import Run, load
from collagebench.results.records import NO_CLASS
from collagebench.results.writer import RunWriter
from collagebench.statistics.accuracy import answers, sample
from collagebench.statistics.cost import busy_share, cost, goodput, goodput_ci95
from collagebench.statistics.intervals import of_share, slower_share
from collagebench.statistics.latency import latency
from collagebench.statistics.timing import dispatch_lag, phase_means
from collagebench.statistics.warnings import warnings


def written(directory: Path, requests: list, tasks: list = (), duration: float = 10.0) -> Run:
    """Return a run of one cell of the scheme `none` with these records."""
    writer = RunWriter(directory / "run", {"schemes": [{"scheme": "none", "variant": "none"}]})
    for record in requests:
        writer.request(record)
    for record in tasks:
        writer.task(record)
    for run in sorted({record.run for record in requests}):
        writer.cell(cell(run=run, requests=sum(record.run == run for record in requests), duration=duration))
    writer.finish("done")
    writer.close()
    return load(directory / "run")


def test_goodput_of_a_sample_stands_for_all(tmp_path):
    """If three of four sampled answers are right, ten arrivals in nine seconds have a goodput of 7.5 / 9."""
    classes = [0, 0, 0, 1, *[None] * 6]
    records = [
        request(number=n, arrival=float(n), latency=1.0, label=0, predicted=predicted)
        for n, predicted in enumerate(classes)
    ]
    requests = written(tmp_path, records).requests
    assert goodput(requests, None) is None
    assert goodput(requests, None, sampled=True) == pytest.approx(7.5 / 9)
    assert goodput(requests.where(requests["predicted"] < 0), None, sampled=True) is None


def test_latency_of_known_requests(tmp_path):
    """Mean, deviation, maximum and median of 1 to 10 s are right; a warm-up request of 100 s does not count."""
    records = [request(number=n, latency=float(n)) for n in range(1, 11)]
    found = latency(written(tmp_path, [request(latency=100.0, warmup=True), *records]).requests)
    assert (found.requests, found.failed, found.mean, found.max) == (10, 0, 5.5, 10.0)
    assert found.std == pytest.approx(math.sqrt(8.25))
    assert found.quantiles["p50"].known == 5.0
    assert found.quantiles["p50"].ci95 is None


def test_each_quantile_is_the_one_that_its_name_says(tmp_path):
    """Of 1 to 10,000 ms the p50 is 5,000 ms, the p90 9,000, the p95 9,500, the p99 9,900 and the p99.9 9,990."""
    values = [number / 1000 for number in range(1, 10_001)]
    found = latency(load(make_run(tmp_path / "run", {"none": [values]})).requests).quantiles
    assert {name: quantile.known for name, quantile in found.items()} == {
        "p50": 5.0,
        "p90": 9.0,
        "p95": 9.5,
        "p99": 9.9,
        "p999": 9.99,
    }


def test_no_request_has_no_latency(tmp_path):
    """If all requests belong to the warm-up, there is neither a quantile nor a mean."""
    found = latency(written(tmp_path, [request(number=number, warmup=True) for number in range(3)]).requests)
    assert (found.requests, found.failed, found.quantiles, found.mean_by_run) == (0, 0, {}, {})
    assert (found.mean, found.std, found.max) == (None, None, None)


def test_small_sample_only_bounds_p99_from_below(tmp_path):
    """367 requests give only a lower bound of p99; 368 give p99."""
    values = lognormal(1, 1, 368)[0]
    small = latency(load(make_run(tmp_path / "small", {"none": [values[:367]]})).requests).quantiles["p99"]
    large = latency(load(make_run(tmp_path / "large", {"none": [values]})).requests).quantiles["p99"]
    assert small.known is None
    assert small.at_least <= small.observed
    assert large.known == large.observed == pytest.approx(sorted(values)[364], rel=1e-9)


def test_pooled_quantile_and_its_interval(tmp_path):
    """The p90 is that of all requests together, and its interval has the quantiles at the shares that the runs allow.

    Of ten runs nine have all of their requests below it, and one has all above: by Student's t hardly any request,
    or up to a third of them, may be above the true p90.
    """
    runs = [[0.001 * number for number in range(1, 101)] for _ in range(9)]
    runs.append([0.2 + 0.001 * number for number in range(1, 101)])
    found = latency(load(make_run(tmp_path / "run", {"none": runs})).requests)
    p90 = found.quantiles["p90"]
    assert p90.known == pytest.approx(0.1)
    assert list(p90.above.values()) == pytest.approx([0.0] * 9 + [1.0])
    median = list(found.quantiles["p50"].above.values())
    assert p90.share_ci95 == pytest.approx(slower_share(0.9, [0.0] * 9 + [1.0], median, [100] * 10))
    ordered = np.sort(np.array(runs).ravel())
    least, most = (round(1000 * (1 - share) + 0.5) for share in p90.share_ci95)
    assert p90.ci95 == pytest.approx((ordered[most - 1], ordered[least - 1]))
    assert found.quantiles["p50"].share_ci95 == pytest.approx(slower_share(0.5, median, median, [100] * 10))


def test_equal_latencies_are_above_and_below(tmp_path):
    """Of values equal to the quantile, as many count as above it as bring the share above to 1 - q."""
    runs = [[0.1] * 400, [0.1] * 200 + [0.3] * 200]
    p90 = latency(load(make_run(tmp_path / "run", {"none": runs})).requests).quantiles["p90"]
    assert p90.known == 0.3
    assert list(p90.above.values()) == pytest.approx([0.0, 0.2])


def test_failed_requests_are_infinitely_slow(tmp_path):
    """With 2 % failed requests p99, mean and maximum are unknown, and the median is known."""
    found = latency(load(make_run(tmp_path / "run", {"none": [[0.1] * 980 + [None] * 20]})).requests)
    assert (found.requests, found.failed) == (1000, 20)
    assert (found.mean, found.std, found.max) == (None, None, None)
    assert found.quantiles["p99"].observed == math.inf
    assert found.quantiles["p99"].known is None
    assert found.quantiles["p50"].known == 0.1


def test_accuracy_overall_and_by_source(tmp_path):
    """Shares are of answered requests, and accuracy, also of those that straggled, is of answers with a known class."""
    run = written(
        tmp_path,
        [request(number=n) for n in range(6)]
        + [request(number=6, source="collage"), request(number=7, source="collage", predicted=0)]
        + [request(number=8, latency=None), request(number=9, source="hedge", predicted=None)]
        + [request(number=10, warmup=True, predicted=0, straggled=True)]
        + [request(number=11, straggled=True, predicted=0), request(number=12, straggled=True)],
    )
    found = answers(run.requests)
    assert (found.straggled.count, found.straggled.of) == (1, 2)
    assert (found.overall.count, found.overall.of) == (8, 10)
    assert {name: share.value for name, share in found.by_source.items()} == {
        "own": 7 / 8,
        "collage": 0.5,
        "hedge": None,
    }
    assert {name: share.value for name, share in found.sources.items()} == pytest.approx(
        {"own": 8 / 11, "collage": 2 / 11, "hedge": 1 / 11}
    )


def test_an_answer_without_a_class_is_wrong(tmp_path):
    """An answer in which the model found no class counts as wrong, in accuracy and in goodput."""
    one = [request(number=number, arrival=float(number), latency=1.0) for number in range(3)]
    requests = written(tmp_path, [*one, request(number=3, arrival=3.0, latency=1.0, predicted=NO_CLASS)]).requests
    found = answers(requests)
    assert (found.overall.count, found.overall.of) == (3, 4)
    assert goodput(requests, None) == pytest.approx(3 / 3)


def test_cost_of_known_tasks(tmp_path):
    """A task cancelled in service is executed and wasted, one cancelled earlier cost bytes; a lost one is unknown."""
    run = written(
        tmp_path,
        [request()],
        [
            task(number=0, service=0.5),
            task(number=1, service=0.25, outcome="wasted"),
            task(number=4, service=0.125, outcome="cancelled in service"),
            task(number=2, service=None, wanted_s=None, outcome="cancelled"),
            task(number=3, service=None, wanted_s=None, outcome="lost"),
        ],
    )
    found = cost(run.tasks)
    assert (found.tasks, found.executed_s, found.wasted_s) == (5, 0.875, 0.375)
    assert (found.cancelled_in_service_tasks, found.cancelled_in_service_s) == (1, 0.125)
    assert (found.cancelled_tasks, found.cancelled_s, found.unreported_tasks) == (1, None, 1)
    assert found.bytes_sent == 5 * 3072
    assert busy_share(run.tasks, run.requests, 5) is None, "a single request arrives at no rate"


def test_workers_are_busy_by_what_they_serve_while_requests_arrive(tmp_path):
    """Workers are busy for the service that falls between the first and the last arrival, here 3.5 s in two runs of 10
    and 30 s.

    Service outside of that time is left out, and so is a task whose service is unknown.
    """
    runs = [
        request(run=run, number=n, arrival=5.0 + at)
        for run, last in ((0, 10.0), (1, 30.0))
        for n, at in enumerate((0.0, last))
    ]
    tasks = [
        task(number=0, sent=6.0, queue=1.0, service=2.0, ended=50.0),
        task(number=1, sent=14.0, queue=0.5, service=2.0, ended=50.0),
        task(number=2, sent=4.5, queue=0.0, service=1.0, ended=50.0),
        task(number=3, sent=15.0, queue=3.0, service=9.0, ended=50.0),
        task(number=4, sent=6.0, queue=None, service=None, wanted_s=None, outcome="dropped", ended=900.0),
        task(run=1, number=0, sent=34.0, queue=0.5, service=1.0, ended=50.0),
    ]
    found = written(tmp_path, runs, tasks, duration=900.0)
    assert busy_share(found.tasks, found.requests, 2) == pytest.approx((2.0 + 0.5 + 0.5 + 0.5) / (2 * 40.0))


def test_nothing_cancelled_saves_nothing(tmp_path):
    """Without cancelled tasks the saved time is 0; otherwise it is the sum of what the engine knows."""
    none = written(tmp_path / "a", [request()], [task()])
    some = written(tmp_path / "b", [request()], [task(outcome="cancelled", service=None, wanted_s=0.5)])
    assert (cost(none.tasks).cancelled_s, cost(some.tasks).cancelled_s) == (0.0, 0.5)


def test_goodput_counts_right_answers_in_time(tmp_path):
    """Of 5 requests over 4 s one is wrong, one failed, one late: 3 in 4 s without an SLO, 2 in 4.1 s with 0.1 s."""
    run = written(
        tmp_path,
        [
            request(number=0),
            request(number=1, predicted=0),
            request(number=2, latency=None),
            request(number=3, latency=0.5),
            request(number=4, latency=0.0),
        ],
    )
    assert goodput(run.requests, None) == pytest.approx(3 / 4)
    assert goodput(run.requests, 0.1) == pytest.approx(2 / 4.1)


@pytest.mark.parametrize(
    ("engine", "compute", "accuracy", "expected"),
    [
        ("simulated", "emulated", 40, 40),
        ("simulated", "emulated", 0, 0),
        ("simulated", "emulated", 100, None),
        ("simulated", "real", 40, 40),
        ("live", "emulated", 40, 40),
        ("live", "real", 40, None),
    ],
)
def test_it_is_said_how_many_answers_were_classified(tmp_path, engine, compute, accuracy, expected):
    """Workers that compute classify all answers; otherwise a warning says how many of each run were classified."""
    config = {"requests": 100, "accuracy": accuracy, "compute": compute, "workers": 10}
    run = load(make_run(tmp_path / "run", {"none": lognormal(1, 4, 100)}, header={"engine": engine, "config": config}))
    assert sample(run) == expected
    said = [text for text in warnings(run) if "classified" in text or "drawn at random" in text]
    begins = {0: "no answer was classified", 40: "accuracy is that of 40 answers of each run"}
    assert [text.startswith(begins[expected]) for text in said] == ([] if expected is None else [True])


def test_goodput_of_a_short_run(tmp_path):
    """Eleven right answers in a tenth of a second are 110 a second; a single request has no rate."""
    records = [request(number=number, arrival=number / 100) for number in range(11)]
    requests = written(tmp_path, records).requests
    assert goodput(requests, None) == pytest.approx(110)
    assert goodput(requests.where(requests["request"] == 0), None) is None


def test_what_comes_late_or_never_takes_nothing_from_what_came_in_time(tmp_path):
    """With an SLO goodput depends only on right answers in time, whether the others are late, lost or wrong."""
    fates = {"lost": None, "late": 10.0, "wrong": 0.05}
    found = [
        goodput(
            written(
                tmp_path / fate,
                [
                    *[request(number=n, arrival=float(n), latency=0.05) for n in range(4)],
                    request(number=4, arrival=4.0, latency=latency, predicted=0 if fate == "wrong" else 1),
                ],
            ).requests,
            0.1,
        )
        for fate, latency in fates.items()
    ]
    assert found == [pytest.approx(4 / 4.1)] * 3


def test_the_interval_of_goodput_is_that_of_the_share_in_time_whatever_the_arrivals(tmp_path):
    """Goodput's interval is that of the runs' shares in time, times the rate of all runs together.

    Three runs of 8 requests, of which 5, 6 and 4 are right in time, arrive in 7, 14 and 21 s.
    """
    records = [
        request(run=run, number=n, arrival=float(run + 1) * n, latency=0.05 if n < right else 0.5)
        for run, right in enumerate((5, 6, 4))
        for n in range(8)
    ]
    requests = written(tmp_path, records).requests
    rate = 24 / (42 + 3 * 0.1)
    low, high = of_share(0.625, [5 / 8, 6 / 8, 4 / 8], [8, 8, 8], 24)
    assert goodput(requests, 0.1) == pytest.approx(0.625 * rate)
    assert goodput_ci95(requests, 0.1) == pytest.approx((low * rate, high * rate))
    assert goodput_ci95(requests.where(requests["run"] == 0), 0.1) is None


@pytest.mark.parametrize("sampled", [False, True])
def test_where_nothing_is_answered_nothing_is_right_in_time(tmp_path, sampled):
    """A run without any answer counts with a share of 0, and the goodput of such runs alone is 0."""
    records = [
        request(run=run, number=n, arrival=float(n), latency=None if run == 1 else 0.05)
        for run in range(3)
        for n in range(8)
    ]
    requests = written(tmp_path, records).requests
    rate = 24 / (3 * 7.1)
    assert goodput(requests, 0.1, sampled) == pytest.approx(2 / 3 * rate)
    low, high = goodput_ci95(requests, 0.1, sampled)
    assert (0 <= low < 0.02 * rate, 0.98 * rate < high <= rate) == (True, True)
    nothing = requests.where(requests["run"] == 1)
    assert (goodput(nothing, 0.1, sampled), goodput(nothing, None, sampled)) == (0.0, 0.0)
    assert goodput(requests.where(requests["run"] > 2), None, sampled) is None


def test_no_goodput_is_above_what_arrived(tmp_path):
    """The interval of goodput is between 0 and the rate of arrivals, and has a width even if all runs are perfect."""
    found = []
    for name, rights in {"unlike": (4, 2), "perfect": (4, 4), "useless": (0, 0)}.items():
        records = [
            request(run=run, number=n, arrival=float(n), latency=0.05, predicted=3 if n < right else 0)
            for run, right in enumerate(rights)
            for n in range(4)
        ]
        found.append(goodput_ci95(written(tmp_path / name, records).requests, None))
    assert found == [
        (pytest.approx(0, abs=0.01), pytest.approx(8 / 6, abs=0.01)),
        (pytest.approx(0.025 ** (1 / 8) * 8 / 6), pytest.approx(8 / 6)),
        (0.0, pytest.approx((1 - 0.025 ** (1 / 8)) * 8 / 6)),
    ]


def test_of_sampled_answers_only_the_class_is_unknown(tmp_path):
    """Whether an answer is in time is known of every request, though only some answers are classified.

    Of eight requests five are in time; of four that are classified three are in time, of which two are right.
    """
    fates = [(0.05, 3), (0.05, 3), (0.05, 0), (0.05, None), (0.05, None), (0.5, 3), (0.5, None), (None, None)]
    records = [
        request(run=run, number=n, arrival=float(n), latency=latency, predicted=predicted)
        for run in range(2)
        for n, (latency, predicted) in enumerate(fates)
    ]
    requests = written(tmp_path, records).requests
    rate = 16 / (2 * 7.1)
    assert goodput(requests, 0.1, sampled=True) == pytest.approx(5 / 8 * 2 / 3 * rate)
    low, high = of_share(5 / 8 * 2 / 3, [5 / 8 * 2 / 3] * 2, [8, 8], 10)  # eight classified answers and two failures
    assert goodput_ci95(requests, 0.1, sampled=True) == pytest.approx((low * rate, high * rate))
    late = requests.where((requests["predicted"] < 0) | (requests["latency"] > 0.1))
    assert goodput(late, 0.1, sampled=True) == pytest.approx(2 / 5 * late_rate(late))  # the late one stands for all


def late_rate(requests):
    """Return the requests per second of two runs, with an SLO of 0.1 s."""
    arrivals = [requests["arrival"][requests["run"] == run] for run in range(2)]
    return len(requests) / sum(float(times.max() - times.min()) + 0.1 for times in arrivals)


def test_goodput_is_unknown_where_classes_are(tmp_path):
    """Goodput is unknown if the class of an answer is, because it may have been right."""
    assert goodput(written(tmp_path, [request(), request(number=1, predicted=None)]).requests, None) is None


def test_means_of_phases(tmp_path):
    """Each phase is averaged over the answered requests in which it is known."""
    simulated = {"encode": None, "transport": None, "decode": None}
    records = [
        request(latency=0.3, queue=0.1, service=0.2, **simulated),
        request(number=1, latency=0.5, queue=0.3, service=0.2, **simulated),
        request(number=2, queue=None, service=None, transport=None),
    ]
    found = phase_means(written(tmp_path, [*records, request(number=3, latency=None, queue=9.0, decode=9.0)]).requests)
    assert found["queue"] == pytest.approx(0.2)
    assert found["decode"] == 0.0


def test_dispatch_lag(tmp_path):
    """The dispatch lag is given as p50 and p99, and as None in simulation, where there is none."""
    live = written(tmp_path / "a", [request(number=n, lag=n / 1000) for n in range(1, 101)])
    simulated = written(tmp_path / "b", [request(lag=None)])
    assert dispatch_lag(live.requests) == pytest.approx({"p50": 0.05, "p99": 0.099})
    assert dispatch_lag(simulated.requests) == {"p50": None, "p99": None}
