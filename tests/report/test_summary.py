"""The JSON object of a report: its guaranteed keys, and when a figure is null."""

from __future__ import annotations

import json

import pytest
from synthetic_run import HEADER, cell, lognormal, make_run, request, task

from collagebench.errors import UsageError
from collagebench.report.summary import summarise
from collagebench.results.reader import load
from collagebench.results.writer import RunWriter
from collagebench.statistics.unpaired import unpaired

BOUND = {"p50": 0.01, "p90": 0.02, "p95": 0.03, "p99": float("inf"), "mean": 0.01, "requests": 9, "source": "simulated"}


@pytest.fixture
def pair(tmp_path):
    """Return a run of two schemes, the second twice as slow, with twice the work."""
    base = lognormal(1, 4, 250)
    schemes = [{"scheme": s, "variant": s, "allotment": {"single": 10}, "options": {}} for s in ("none", "replication")]
    writer = RunWriter(tmp_path / "pair", {**HEADER, "schemes": schemes})
    for scheme, factor in (("none", 1), ("replication", 2)):
        for run, values in enumerate(base):
            for number, latency in enumerate(values):
                writer.request(request(scheme, run, number, latency=factor * latency))
                for copy in range(factor):
                    writer.task(task(scheme, run, 250 * copy + number, outcome="wasted" if copy else "used"))
            writer.cell(cell(scheme, run, 250))
    writer.finish("done", bound=BOUND)
    writer.close()
    return load(tmp_path / "pair")


def test_keys_of_the_contract(pair):
    """Every key that programs rely on is there, with units in its name."""
    found = summarise([pair])
    assert {"schema", "valid", "reasons", "config", "environment", "schemes"} <= found.keys()
    for scheme in found["schemes"]:
        assert {
            "scheme", "variant", "workers", "utilisation", "requests", "failed", "latency_s", "ci95_s", "phases_s",
            "accuracy", "sources", "cost", "goodput_rps", "dispatch_lag_s", "bound",
        } <= scheme.keys()  # fmt: skip
        assert {"p50", "p90", "p95", "p99", "p999", "mean", "std", "max"} == scheme["latency_s"].keys()
        assert {"p50", "p99"} <= scheme["ci95_s"].keys()
        assert {"group", "encode", "queue", "service", "transport", "decode"} <= scheme["phases_s"].keys()
        assert {"overall", "by_source"} <= scheme["accuracy"].keys()
        assert {"executed_s", "cancelled_s", "wasted_s", "bytes_sent"} <= scheme["cost"].keys()
        assert {"p50", "p99"} == scheme["dispatch_lag_s"].keys()


def test_figures_relative_to_the_baseline(pair):
    """Twice the latency and work are 2 relative to the first scheme; with the other as baseline, p99 is 1/2."""
    none, replication = summarise([pair])["schemes"]
    assert none["relative"] == {"p50": 1.0, "p99": 1.0, "executed": 1.0}
    assert replication["relative"] == pytest.approx({"p50": 2.0, "p99": 2.0, "executed": 2.0})
    assert summarise([pair], baseline="replication")["schemes"][0]["relative"]["p99"] == pytest.approx(0.5)


def test_unknown_baseline(pair):
    """A baseline that the run does not have is a usage error that lists the run's schemes."""
    with pytest.raises(UsageError, match="no scheme 'tied'; its schemes are none, replication"):
        summarise([pair], baseline="tied")


def test_bound_is_shown_without_what_json_does_not_know(pair):
    """The bound has its source; its infinite quantiles, and those that were not computed, are null."""
    bound = summarise([pair])["schemes"][1]["bound"]
    assert (bound["source"], bound["requests"], bound["latency_s"]["p50"]) == ("simulated", 9, 0.01)
    assert bound["latency_s"]["p99"] is None
    assert bound["latency_s"]["p999"] is None
    json.dumps(summarise([pair]), allow_nan=False)


def test_unknown_figures_are_null(tmp_path):
    """A scheme without a complete run has null for every figure, and 0 only for counts."""
    run = load(make_run(tmp_path / "run", {"none": []}, header={"service": None, "config": None}))
    found = summarise([run])
    (scheme,) = found["schemes"]
    assert (found["valid"], found["rate"]) == (False, None)
    assert set(scheme["latency_s"].values()) == {None}
    assert set(scheme["phases_s"].values()) == {None}
    assert (scheme["cost"], scheme["goodput_rps"], scheme["utilisation"], scheme["bound"]) == (None,) * 4
    assert (scheme["accuracy"]["overall"], scheme["sources"]) == (None, {})
    assert (scheme["requests"], scheme["failed"]) == (0, 0)


def test_unbounded_and_infinite_quantiles_are_told_apart(tmp_path):
    """A p99 is null with a lower bound if requests are too few, and null and listed as infinite if too many failed."""
    few = summarise([load(make_run(tmp_path / "few", {"none": [[0.02] * 300]}))])["schemes"][0]
    failing = summarise([load(make_run(tmp_path / "failing", {"none": [[0.02] * 380 + [None] * 20]}))])["schemes"][0]
    assert (few["latency_s"]["p99"], few["latency_at_least_s"]["p99"], few["infinite"]) == (None, 0.02, [])
    assert (failing["latency_s"]["p99"], failing["latency_at_least_s"]["p99"]) == (None, None)
    assert "p99" in failing["infinite"]
    assert failing["failed"] == 20


def test_an_slo_that_nothing_keeps_is_worth_a_word(tmp_path):
    """A warning asks to check the unit of an SLO that no answer meets, but not if all requests failed."""
    run = load(make_run(tmp_path / "run", {"none": [[0.01] * 100]}))
    said = [any("check that it is in milliseconds" in text for text in summarise([run], None, slo)["warnings"])
            for slo in (0.06, 60.0, None)]  # fmt: skip
    assert said == [True, False, False]
    failed = load(make_run(tmp_path / "failed", {"none": [[None] * 100]}))
    found = summarise([failed], None, 60.0)
    assert found["schemes"][0]["goodput_rps"] == 0.0  # not None, as it is without an SLO
    assert not any("check that it is in milliseconds" in text for text in found["warnings"])


def test_slo_given_later_wins_over_the_run_s_own(tmp_path):
    """Goodput uses the report's SLO, or else the run's, and counts until one SLO after the last arrival."""
    latencies = {"none": [[0.01] * 50 + [0.03] * 50]}
    own = load(make_run(tmp_path / "own", latencies, header={"config": {"slo_ms": 20.0}}))
    without = load(make_run(tmp_path / "without", latencies))
    rates = [
        summarise(*arguments)["schemes"][0]["goodput_rps"]
        for arguments in (([own],), ([own], None, 40.0), ([without],), ([without], None, 20.0))
    ]
    assert rates == pytest.approx([50 / 99.02, 100 / 99.04, 100 / 99, 50 / 99.02])


def test_several_runs_are_compared(tmp_path, pair):
    """Each run has its own object, schemes of both are compared, and one invalid run makes the report invalid."""
    other = make_run(tmp_path / "other", {"none": lognormal(1, 4, 250, median=0.04)}, status="interrupted")
    found = summarise([pair, load(other)])
    assert (found["valid"], [one["valid"] for one in found["runs"]]) == (False, [True, False])
    assert found["reasons"][0].startswith("other: the run was interrupted")
    assert [(row["variant"], row["run"]) for row in found["comparison"]] == [("none", "pair"), ("none", "other")]
    assert found["comparison"][1]["p99_ratio"] == pytest.approx(2.0)


def test_of_many_runs_of_one_thing_none_is_said_to_differ(tmp_path):
    """Of 20 runs of one distribution none differs, as p-values are corrected; one twice as slow does."""
    made = {f"{run}": {name: lognormal(7 * run + place, 5, 60) for place, name in enumerate("ab")} for run in range(20)}
    runs = [load(make_run(tmp_path / name, latencies)) for name, latencies in made.items()]
    first, *others = summarise(runs)["runs"]
    raw = [
        unpaired(own["by_run"][name], base["by_run"][name])
        for item in others
        for own, base in zip(item["schemes"], first["schemes"], strict=True)
        for name in ("p50_s", "p99_s")
    ]
    assert min(raw) < 0.05
    slow = load(make_run(tmp_path / "slow", {name: lognormal(place, 5, 60, 0.04) for place, name in enumerate("ab")}))
    differing = [row for row in summarise([*runs, slow])["comparison"] if row["p50_differs"] or row["p99_differs"]]
    assert [(row["run"], row["p50_differs"]) for row in differing] == [("slow", True)] * 2


def test_a_run_that_differs_by_less_than_the_minimum_effect_is_said_to_be_the_same(tmp_path):
    """A certain difference of 3 % does not count, as it is below the minimum effect of 5 %."""
    exact = [[0.02 + 1e-6 * number for number in range(300)]] * 4
    one = load(make_run(tmp_path / "one", {"none": exact}))
    other = load(make_run(tmp_path / "other", {"none": [[1.03 * value for value in run] for run in exact]}))
    assert [row["p99_differs"] for row in summarise([one, other])["comparison"]] == [None, False]


def test_runs_of_the_same_name_are_told_apart(tmp_path):
    """Two runs whose directories have the same name are shown with their paths."""
    paths = [make_run(tmp_path / name / "run", {"none": [[0.02] * 10]}) for name in "ab"]
    found = summarise([load(path) for path in paths])
    assert [one["name"] for one in found["runs"]] == [str(path) for path in paths]
