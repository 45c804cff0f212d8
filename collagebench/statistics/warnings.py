"""What a reader of valid figures should know: each one sentence, with the next step to take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from collagebench.config import option
from collagebench.results.reader import Run, Table
from collagebench.statistics.accuracy import sample
from collagebench.statistics.drift import over_places, within_runs
from collagebench.statistics.quantiles import requests_needed
from collagebench.statistics.silence import silences
from collagebench.statistics.strain import BUSY, NEARLY, client_share, own_stragglers, saturated, slow_transport
from collagebench.stragglers.causes import NATURAL

FLEETS = 40
"""Runs below which chance says too much about how many of them have a slow machine."""
JUST, MANY = 0.05, 0.1
"""What comes less than this share before a delay may come after it on real machines; so many are worth a word."""
LOAD = 0.1
"""By so much of it the load may be another than that which was reckoned with."""
AT_ONCE = ("hedge", "hedge-idle", "reissue", "default")
"""Schemes whose delay waits for a single task, which the deadline ends."""
DELAYS = ("hedge_delay", "reissue_after", "default_after", "coded_after")
"""Options that are the seconds after which something is done about what has not come."""
REPLIES = 20
"""A running percentile is known from so many replies on (see `schemes.percentile`)."""
HOLD = "hold"
"""Seconds before which no group's answer is used, whatever the scheme."""
A_MAXIMUM = 100
"""The p99 of fewer requests is their maximum."""


def warnings(run: Run) -> list[str]:
    """Return what a reader of the figures of `run` should know although they are valid."""
    found = [*run.notes]
    found += [event["message"] for event in run.header.get("events", []) if event["kind"] != "worker lost"]
    found += _measured_again(run)
    if run.left_out:
        found.append(f"left out because they are not complete: {', '.join(run.left_out)}.")
    small, single, maxima = [], [], []
    for variant in run.variants:
        mine = run.of(variant)
        if not len(mine.cells):
            found.append(f"{variant}: no complete run, so it has no figures.")
            continue
        failed, of = failures(mine.requests)
        if failed:
            found.append(
                f"{variant}: {failed} of {of} requests failed and count as infinitely slow; "
                "the column reason of requests.csv says why."
            )
        given_up = int(mine.tasks.equal("outcome", "deadline").sum())
        if given_up:
            found.append(f"{variant}: {given_up} tasks were given up at their --deadline, answered in time or not.")
        found += _saturation(run, variant) + _drift(variant, mine.requests)
        found += _just_in_time(run, variant) + _known_late(run, variant)
        if 0 < of < requests_needed(0.99):
            small.append(f"{variant} {of}")
        elif len(mine.cells) > 1 and of < A_MAXIMUM * len(mine.cells):
            maxima.append(f"{variant} {of // len(mine.cells)}")
        if len(mine.cells) < 2:
            single.append(variant)
    if small:
        found.append(
            f"fewer than 368 requests bound a p99 from below only ({', '.join(small)}): raise --requests or --runs."
        )
    if maxima:
        found.append(
            f"in runs of fewer than {A_MAXIMUM} requests ({', '.join(maxima)}) each run's p99 is its maximum, and that "
            "is what intervals and comparisons are made of: raise --requests."
        )
    if single:
        found.append(f"one run gives no interval ({', '.join(single)}): raise --runs.")
    found += _load(run) + _sampled(run) + _whole_runs(run) + _other_fleet(run)
    return found + _place(run) + _silent(run) + _host(run)


def _measured_again(run: Run) -> list[str]:
    """Say which runs were measured more than once, because the client was late."""
    replaced = run.header.get("replaced", [])
    if not replaced:
        return []
    numbers = {cell["run"] for cell in replaced}
    of = (run.header.get("config") or {}).get("runs", len(numbers))
    lag = max(cell["dispatch_lag_p99_s"] for cell in replaced)
    return [
        f"the client was late in {len(numbers)} of {of} runs (dispatch lag p99 up to {1e3 * lag:.1f} ms), so all "
        "schemes were measured there again, with the same requests and delays; what they had been like is in run.json."
    ]


def few_fleets(stragglers: Mapping[str, Any], workers: int, runs: int) -> bool:
    """Say whether chance decides once a run which machines there are, and does so in too few runs.

    `stragglers` is what a header says of them. Logs are dealt without repetition: where all of them are dealt in every
    run, nothing is left to chance.
    """
    parameters, logs = stragglers.get("parameters") or {}, stragglers.get("logs")
    anywhere = parameters.get("slow_place") == "anywhere" and parameters.get("slow_machines") != 0
    dealt = parameters.get("replay") in ("per-machine", "sequential") and (logs is None or workers % logs != 0)
    return (anywhere or dealt) and runs < FLEETS


def _whole_runs(run: Run) -> list[str]:
    """Say where chance decides once a run which machine is slow: then there are as few draws as there are runs."""
    stragglers = run.header.get("stragglers") or {}
    parameters = stragglers.get("parameters") or {}
    runs = len(set(run.cells["run"].tolist()))
    if runs < 2 or not few_fleets(stragglers, (run.header.get("config") or {}).get("workers") or 1, runs):
        return []
    known = ", or say where it is with --slow-place" if "slow_place" in parameters else ""
    return [
        f"which machines are slow is drawn once for each run, so a p99 of {runs} runs depends on how many of them met "
        f"one, more than its interval tells: {FLEETS} --runs or more{known}."
    ]


def _other_fleet(run: Run) -> list[str]:
    """Say where a recorded fleet had another number of machines than this one has workers."""
    machines = (run.header.get("stragglers") or {}).get("machines")
    workers = (run.header.get("config") or {}).get("workers")
    if not machines or not workers or machines == workers:
        return []
    if machines > workers:
        left = f"machines {workers} to {machines - 1} have" if machines - workers > 1 else f"machine {workers} has"
        return [f"the profile holds {machines} machines for {workers} workers, so {left} no part, slow or not."]
    return [
        f"the profile holds {machines} machines for {workers} workers, so workers {machines} to {workers - 1} are the "
        "first of them once more."
    ]


def _sampled(run: Run) -> list[str]:
    few = sample(run)
    if few is None:
        return []
    if few == 0:
        return ["no answer was classified (--accuracy none), so nothing is known of accuracy."]
    return [f"accuracy is that of {few:,} answers of each run, drawn at random: for all of them say --accuracy all."]


def failures(requests: Table) -> tuple[int, int]:
    """Return how many requests failed, and of how many, warm-up left out."""
    counted = ~requests["warmup"]
    return int((np.isnan(requests["latency"]) & counted).sum()), int(counted.sum())


def strained(run: Run, variant: str, least: float = BUSY) -> dict[str, float]:
    """Return the busy share of each role of a scheme whose workers were busier than `least` while tasks waited."""
    allotment: dict[str, int] = {}
    mine = run.of(variant)
    for scheme in run.header.get("schemes", []):
        if (scheme.get("variant") or scheme["scheme"]) == variant:
            allotment = scheme.get("allotment") or {}
    return saturated(mine.tasks, mine.requests, allotment, least)


def _saturation(run: Run, variant: str) -> list[str]:
    return [
        f"{variant}: its {role} workers were busy {100 * busy:.0f} % of the time while tasks waited, so "
        + (
            "latencies depend on the length of the run: lower --utilisation or --rate, or give it more workers."
            if busy > BUSY
            else "the interval of its p99 is narrower than it should be: raise --requests."
        )
        for role, busy in strained(run, variant, NEARLY).items()
    ]


def _load(run: Run) -> list[str]:
    """Say where serving every request once was another load than was reckoned with, in the first scheme that did so."""
    reckoned: Mapping[str, Any] = run.header.get("service") or {}
    names = {scheme.get("variant") or scheme["scheme"]: scheme["scheme"] for scheme in run.header.get("schemes", [])}
    plain = next((name for name in run.variants if names.get(name) in ("none", "equal")), None)
    mean, load = reckoned.get("mean_s"), reckoned.get("utilisation")
    if not (plain and mean and load):
        return []
    service = run.of(plain).tasks["service"]
    service = service[~np.isnan(service)]
    if not len(service) or abs(float(service.mean()) - mean) <= LOAD * mean:
        return []
    took = float(service.mean())
    config = run.header.get("config") or {}
    if f"{load * took / mean:.2f}" == f"{load:.2f}" or config.get("stragglers") in NATURAL:
        return []
    less = took < mean
    why = (
        "workers that stay slow are sent fewer requests, and the rarest slowness may not have come"
        if less
        else "rare slowness came more often than on average, or the machine itself was slow"
    )
    return [
        f"the load without redundancy was {load * took / mean:.2f}, not {load:.2f}: services took {1e3 * took:.3g} ms "
        f"on average in place of {1e3 * mean:.3g} ({why}): {'raise' if less else 'lower'} "
        f"--{'rate' if config.get('rate') else 'utilisation'}, or raise --requests, to compare at the load that was "
        "meant."
    ]


def _known_late(run: Run, variant: str) -> list[str]:
    """Say where a percentile was not known for many requests, as on a fleet that has not replied to enough by then."""
    given = {name: value for name, value in _settings(run, variant).items() if name in DELAYS}
    named = next((name for name, value in given.items() if str(value)[:1] in "pP"), None)
    requests = run.of(variant).requests
    without = counted = 0
    for number in np.unique(requests["run"]) if named else ():
        mine = requests.where(requests["run"] == number)
        replies = np.sort(mine["answered"])
        known = replies[REPLIES - 1] if len(replies) >= REPLIES else np.nan
        without += int((~mine["warmup"] & ~(mine["arrival"] >= known)).sum())
        counted += int((~mine["warmup"]).sum())
    if named is None or without <= MANY * counted:
        return []
    return [
        f"{variant}: {100 * without / counted:.0f} % of its requests arrived before its --{option(named)} was known, "
        f"which takes {REPLIES} replies: raise --requests, or --warmup."
    ]


def _settings(run: Run, variant: str) -> Mapping[str, Any]:
    schemes = run.header.get("schemes", [])
    return next(
        (item.get("settings", item.get("options", {})) for item in schemes if item.get("variant") == variant), {}
    )


def _just_in_time(run: Run, variant: str) -> list[str]:
    """Say where a delay never passes, or, simulated, is as long as many services, of which no two really are alike."""
    schemes = run.header.get("schemes", [])
    options = _settings(run, variant)
    requests = run.of(variant).requests
    own = ~requests["warmup"] & requests.equal("source", "own")  # and no answer that the delay itself has brought
    latency = requests["latency"][own]
    if not len(latency):
        return []
    scheme: str = next((item.get("scheme", "") for item in schemes if item.get("variant") == variant), "")
    simulated = run.header.get("engine") == "simulated"
    found = []
    for name in (*DELAYS, HOLD):
        delay = _number(options.get(name))
        deadline = (run.header.get("config") or {}).get("deadline")
        if delay and deadline and delay >= deadline and (scheme in AT_ONCE or name == HOLD):
            found.append(
                f"{variant}: its --{option(name)} of {delay:g} s never passes, for tasks are given up at the "
                f"--deadline of {deadline:g} s; it is in seconds."
            )
        elif delay and simulated and name != HOLD:
            share = float((((1 - JUST) * delay < latency) & (latency <= delay * (1 + 1e-6))).mean())
            if share > MANY:
                found.append(
                    f"{variant}: {100 * share:.0f} % of its answers come just before its --{option(name)} of "
                    f"{1e3 * delay:g} ms; on real machines, where services vary, many of them would be late: choose "
                    "a delay apart from the usual service time."
                )
    return found


def _number(value: Any) -> float:
    """Return seconds that were given as a number or as a text; 0 for everything else, such as a percentile."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def _drift(variant: str, requests: Table) -> list[str]:
    ratio = within_runs(requests)
    if ratio is None:
        return []
    if ratio > 1:
        return [
            f"{variant}: the first quarter of a run was {ratio:.2f}x as slow as the rest (medians), so it was still "
            "warming up: raise --warmup."
        ]
    return [
        f"{variant}: a run was {1 / ratio:.2f}x as slow after its first quarter (medians), so its queue was still "
        "filling or the machine tires: raise --warmup and --requests."
    ]


def _place(run: Run) -> list[str]:
    times = over_places(run)
    if times is None:
        return []
    how = f"{times:.2f}x as slow" if times > 1 else f"{1 / times:.2f}x as fast"
    return [
        f"the last scheme of a run was {how} as the first, whichever it was: the machine changes its speed; the random "
        "order evens that out over many runs, so raise --runs, or let the machine come to rest first."
    ]


def _silent(run: Run) -> list[str]:
    """Say where the network failed for a while, or a host stood still."""
    found = []
    for host, silent in silences(run).items():
        (variant, number), seconds = max(silent.items(), key=lambda item: item[1])
        others = len(silent) - 1
        more = f" (and in {others} other{'s' if others > 1 else ''} for over a second)" if others else ""
        found.append(
            f"{host} was not heard of for up to {seconds:.1f} s in run {number} of {variant}{more}: a p99 there is "
            "that of the network, or of a host that stood still; run it again when they are well."
        )
    return found


def _host(run: Run) -> list[str]:
    """Say where the machine was the straggler; simulated machines never are."""
    if run.header.get("engine") != "live" or not len(run.cells):
        return []
    found = []
    config, environment = run.header.get("config") or {}, run.header.get("environment") or {}
    own = own_stragglers(run.tasks)
    if own is not None and config.get("stragglers") != "none":
        found.append(
            f"the machine itself was the straggler in {100 * own:.1f} % of the tasks (their inference, or a delay that "
            "came out too long, took over twice the median service time): use fewer --workers, a lower --rate or "
            "--compute emulated, or let nothing else run."
        )
    share = client_share(run.cells)
    if share is not None:
        found.append(
            f"the client used {100 * share:.0f} % of a core, so it was part of the latency: lower --rate or raise "
            "--time-scale."
        )
    slow = [name for name in run.variants if slow_transport(run.of(name).requests) is not None]
    if slow:
        local = config.get("fleet", "local") == "local"
        who = "the cores are too busy" if local else "the network or the hosts are too slow or too busy"
        found.append(
            f"the p99 of the time on the way to the workers and back is over half of the median latency "
            f"({', '.join(slow)}): {who} to pass messages on; use fewer --workers or a lower --rate."
        )
    load, cores = environment.get("load_average"), environment.get("cpu_quota_cores")
    cores = cores or environment.get("affinity_cores") or environment.get("logical_cores")
    if load and cores and load[0] > cores:
        found.append(
            f"when the run began the machine's load was {load[0]:.1f} on {cores:g} cores: let nothing else run "
            "beside it."
        )
    return found
