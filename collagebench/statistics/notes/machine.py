"""Notes on the machines: effects of the client, the workers' hosts and the network on the figures."""

from __future__ import annotations

from collagebench.results.reader import Run
from collagebench.statistics.drift import over_places, within_runs
from collagebench.statistics.silence import silences
from collagebench.statistics.strain import client_share, own_stragglers, slow_transport


def measured_again(run: Run) -> list[str]:
    """Report the runs that were measured more than once, because the client was late."""
    replaced = run.header.get("replaced", [])
    if not replaced:
        return []
    numbers = {cell["run"] for cell in replaced}
    of = run.config.get("runs", len(numbers))
    lag = max(cell["dispatch_lag_p99_s"] for cell in replaced)
    return [
        f"the client was late in {len(numbers)} of {of} runs (dispatch lag p99 up to {1e3 * lag:.1f} ms), so all "
        "schemes were measured again in those runs, with the same requests and delays; run.json has the replaced "
        "figures."
    ]


def drift(run: Run, variant: str) -> list[str]:
    """Report that a scheme was slower, or faster, at the beginning of its runs."""
    ratio = within_runs(run.of(variant).requests)
    if ratio is None:
        return []
    if ratio > 1:
        return [
            f"{variant}: latencies in the first quarter of a run were {ratio:.2f}x those of the rest (medians), so it "
            "was still warming up: raise --warmup."
        ]
    return [
        f"{variant}: latencies after the first quarter of a run were {1 / ratio:.2f}x those in it (medians), so its "
        "queue was still filling or the machine was slowing down: raise --warmup and --requests."
    ]


def places(run: Run) -> list[str]:
    """Report that the machine's speed changed from cell to cell."""
    times = over_places(run)
    if times is None:
        return []
    how = f"{times:.2f}x as slow" if times > 1 else f"{1 / times:.2f}x as fast"
    return [
        f"whichever scheme came last in a run was {how} as the first: the speed of the machine changes. The random "
        "order evens this out over many runs, so raise --runs, or let the machine settle first."
    ]


def silent_hosts(run: Run) -> list[str]:
    """Report hosts that were silent: the network failed for a while, or the host stalled."""
    found = []
    for host, silent in silences(run).items():
        (variant, number), seconds = max(silent.items(), key=lambda item: item[1])
        others = len(silent) - 1
        more = f" (and in {others} other{'s' if others > 1 else ''} for over a second)" if others else ""
        found.append(
            f"{host} was silent for up to {seconds:.1f} s in run {number} of {variant}{more}: a p99 there reflects the "
            "network, or a host that stalled; run it again when both are healthy."
        )
    return found


def busy_host(run: Run) -> list[str]:
    """Report that the machine itself was overloaded; not in simulation."""
    if run.header.get("engine") != "live" or not len(run.cells):
        return []
    found = []
    environment = run.header.get("environment", {})
    own = own_stragglers(run.tasks)
    if own is not None and run.config.get("stragglers") != "none":
        found.append(
            f"the machine itself was the straggler in {100 * own:.1f} % of the tasks (their inference, or a delay that "
            "came out too long, took over twice the median service time): use fewer --workers, a lower --rate or "
            "--compute emulated, or run nothing else."
        )
    share = client_share(run.cells)
    if share is not None:
        found.append(
            f"the client used {100 * share:.0f} % of a core, so it added to the latency: lower --rate or raise "
            "--time-scale."
        )
    slow = [name for name in run.variants if slow_transport(run.of(name).requests) is not None]
    if slow:
        local = run.config.get("fleet", "local") == "local"
        who = "the cores are too busy" if local else "the network or the hosts are too slow or too busy"
        found.append(
            f"the p99 of transport to the workers and back is over half the median latency ({', '.join(slow)}): {who} "
            "to pass messages on; use fewer --workers or a lower --rate."
        )
    load, cores = environment.get("load_average"), environment.get("cpu_quota_cores")
    cores = cores or environment.get("affinity_cores") or environment.get("logical_cores")
    if load and cores and load[0] > cores:
        found.append(
            f"the machine's load average was {load[0]:.1f} on {cores:g} cores when the run began: run nothing else "
            "beside it."
        )
    return found
