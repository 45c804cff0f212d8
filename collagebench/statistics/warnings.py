"""Warnings about valid figures: each is one sentence, mostly with the next step to take."""

from __future__ import annotations

from collagebench.results.reader import Run
from collagebench.statistics.latency import failures
from collagebench.statistics.notes.delays import just_in_time, known_late, over_budget
from collagebench.statistics.notes.load import after_the_end, few_bursts, other_load, saturation
from collagebench.statistics.notes.machine import busy_host, drift, measured_again, places, silent_hosts
from collagebench.statistics.notes.sample import extended, few_requests, other_fleet, sampled, whole_runs
from collagebench.statistics.validity import overwhelmed


def warnings(run: Run) -> list[str]:
    """Return the warnings about the figures of `run`."""
    found = [*run.notes]
    found += [event["message"] for event in run.header.get("events", []) if event["kind"] != "worker lost"]
    found += measured_again(run)
    if run.left_out:
        found.append(f"left out as incomplete: {', '.join(run.left_out)}.")
    for variant in run.variants:
        found += _of_scheme(run, variant)
    found += few_requests(run) + few_bursts(run) + other_load(run) + sampled(run) + whole_runs(run) + other_fleet(run)
    found += extended(run)
    return found + places(run) + silent_hosts(run) + busy_host(run)


def _of_scheme(run: Run, variant: str) -> list[str]:
    mine = run.of(variant)
    if not len(mine.cells):
        return [f"{variant}: no complete run, so it has no figures."]
    found = []
    failed, of = failures(mine.requests)
    if failed:
        found.append(
            f"{variant}: {failed} of {of} requests failed and count as infinitely slow; the reason column of "
            "requests.csv says why."
        )
    given_up = int(mine.tasks.equal("outcome", "deadline").sum())
    if given_up:
        found.append(
            f"{variant}: {given_up} tasks were given up at their --deadline, whether or not their requests were "
            "answered."
        )
    if not overwhelmed(run, variant):  # otherwise busy workers and growing latencies are already reported
        found += [*saturation(run, variant), *drift(run, variant)]
    found += [*after_the_end(run, variant), *just_in_time(run, variant), *known_late(run, variant)]
    return found + over_budget(run, variant)
