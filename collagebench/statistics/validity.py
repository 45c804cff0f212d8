"""Whether a run's figures can be trusted. Any reason makes the report INVALID; `warnings` are only shown.

Each reason is one sentence that names the scheme and the next step.
"""

from __future__ import annotations

from collagebench.results.reader import Run
from collagebench.results.table import Table
from collagebench.statistics.accuracy import answers
from collagebench.statistics.growth import growing
from collagebench.statistics.in_vain import bereft, waits_in_vain
from collagebench.statistics.injection import injection
from collagebench.statistics.latency import failures
from collagebench.statistics.lateness import late_schemes
from collagebench.statistics.strain import strained

STOLEN = 0.005
"""From this share of the processors' time on, stolen time (a virtual machine's steal) is named as a cause."""
INJECTION_SHARE = 0.05
INJECTION_FLOOR = 0.001
"""Seconds. Service times are wrong only if the median error, of all tasks, of the slow ones or of one worker's, exceeds
this and INJECTION_SHARE of the wanted time."""
MUCH_LESS = 0.1
"""How much less accurate a foreign server's model may be than its manifest says, as the images may differ."""
BY_DEADLINE = 0.05
"""Share of the requests that may fail by their deadline on workers that are always busy."""


def judge(run: Run) -> list[str]:
    """Return the reasons why the figures of `run` cannot be trusted; empty if they can."""
    reasons = _unfinished(run)
    if run.changed:
        reasons.append(
            f"{' and '.join(run.changed)} changed since the run was written, so no figure can be trusted: copy the "
            "directory again, or run it again"
        )
    if not len(run.cells):
        reasons.append(
            "no scheme has a complete run, so there is nothing to report: finish it with --resume, or run it again"
        )
    reasons += _lost_workers(run)
    reasons += _late_client(run)
    reasons += _incomplete(run)
    reasons += _other_model(run)
    for variant in run.variants:
        reasons += overwhelmed(run, variant)
        reasons += _wrong_injection(variant, run.of(variant))
    return reasons


def overwhelmed(run: Run, variant: str) -> list[str]:
    """Return the reasons why one scheme cannot sustain the load; they do not affect other schemes' figures."""
    return _mostly_failed(variant, run.of(variant).requests) or _shed(run, variant) or _overload(run, variant)


def _unfinished(run: Run) -> list[str]:
    status = run.header.get("status")
    if status == "done":
        return []
    if status == "failed":
        why = str(run.header.get("error", "no reason was recorded"))
        own = any(":" in str(facts.get("scheme")) for facts in run.header.get("schemes", []))
        if own and "the scheme " in why:
            return [f"the run failed ({why}): fix that and run it again, since no run goes on with a changed scheme"]
        return [f"the run failed ({why}): fix that, then continue with --resume, or run it again"]
    if status == "interrupted":
        return [
            "the run was interrupted, so schemes may have met different arrivals: continue with --resume, or run it "
            "again"
        ]
    return ["the run has not ended, or was killed: wait for it to end, or continue with --resume"]


def _lost_workers(run: Run) -> list[str]:
    cells = run.cells
    reasons = []
    for scheme, number, lost in zip(cells["scheme"], cells["run"], cells["lost_workers"], strict=True):
        if text := cells.texts["lost_workers"][lost]:
            name = cells.texts["scheme"][scheme]
            reasons.append(f"{name}: lost in run {number}: {text}; continue with --resume, or run it again")
    if not reasons:  # the cell with the loss may never have been completed
        events = run.header.get("events", [])
        reasons = [
            f"lost: {event['message']}; continue with --resume, or run it again"
            for event in events
            if event["kind"] == "worker lost"
        ]
    return reasons


def _incomplete(run: Run) -> list[str]:
    """Check that a run marked as done has the same runs of every scheme."""
    if run.header.get("status") != "done" or not (run.left_out and len(run.cells)):
        return []
    return [
        f"records are missing although the run is marked as done ({', '.join(run.left_out)}), so schemes met different "
        "runs: copy the directory again, or run it again"
    ]


def _mostly_failed(variant: str, requests: Table) -> list[str]:
    failed, of = failures(requests)
    forgotten = int((requests.equal("reason", "unanswered") & ~requests["warmup"]).sum())
    if forgotten:
        return [
            f"{variant}: {forgotten} of {of} requests were neither answered nor given up when the run ended, which "
            "is a bug in the scheme; if it settles them later than the deadline, it must say so in `waits`"
        ]
    if 2 * failed <= of:
        return []
    return [
        f"{variant}: {failed} of {of} requests failed, so there is little to measure: raise --deadline or lower the "
        "load; the reason column of requests.csv says why"
    ]


def _shed(run: Run, variant: str) -> list[str]:
    """Check that the deadline does not hide an overload: it can keep a queue short by giving up requests.

    Requests that were given up because a reply was lost do not count.
    """
    mine = run.of(variant)
    counted = ~mine.requests["warmup"]
    given_up, of = mine.requests.equal("reason", "deadline") & counted, int(counted.sum())
    busy = strained(run, variant)
    if not busy or given_up.sum() <= BY_DEADLINE * of:
        return []
    numbers = zip(mine.requests["run"][given_up].tolist(), mine.requests["request"][given_up].tolist(), strict=True)
    late = len(set(numbers) - bereft(mine).keys())
    if late <= BY_DEADLINE * of:
        return []
    role, share = max(busy.items(), key=lambda item: item[1])
    return [
        f"{variant}: {late} of {of} requests were given up at their --deadline while its {role} workers were busy "
        f"{100 * share:.0f} % of the time, so it cannot sustain the load: lower --utilisation or --rate, or give it "
        "more workers"
    ]


def _late_client(run: Run) -> list[str]:
    late = [
        f"{variant} {times.lag * 1e3:.2f} ms, median latency {times.p50 * 1e3:.1f} ms"
        for variant, times in late_schemes(run).items()
    ]
    if not late:
        return []
    ways = ["lower --utilisation or --rate", "raise --time-scale", "leave the client a core of its own"]
    if run.config.get("stragglers") == "none":
        ways.remove("raise --time-scale")
    if run.header.get("client_priority") == "nice":
        ways.append("start it without nice")
    if run.header.get("client_priority") == "normal":
        ways.append("give it real-time priority (CAP_SYS_NICE, or a `ulimit -r` that is not 0)")
    advice = f"{', '.join(ways[:-1])}, or {ways[-1]}"
    stolen = run.header.get("stolen_share", 0.0)
    if stolen >= STOLEN:
        advice = (
            f"the host of this virtual machine took {100 * stolen:.1f} % of its processor time meanwhile (steal), so "
            f"run it again at a quieter time or on another machine, or {advice}"
        )
    return [
        f"the client handled requests late (dispatch lag p99 above 5 % of the median latency: {'; '.join(late)}): "
        + advice
    ]


def _overload(run: Run, variant: str) -> list[str]:
    mine = run.of(variant)
    growth = growing(mine.requests)
    if growth is not None:  # rare, and only then worth reading which requests each task had
        growth = growing(mine.requests, waits_in_vain(mine))
    if growth is None:
        return []
    lost = mine.tasks.equal("outcome", "dropped").any()
    deadline = "--deadline, until which a worker whose reply was lost may stand idle, or " if lost else ""
    return [
        f"{variant}: its queue was still growing at the end (by {growth:.0f} open requests from the second to the last "
        f"quarter of a run), so its latencies depend on the length of the run: lower {deadline}--rate or "
        "--utilisation, or raise --requests if the run was too short to fill the fleet"
    ]


def _other_model(run: Run) -> list[str]:
    """Check the accuracy of foreign servers: they may serve another model, or expect another scale of pixels."""
    if run.config.get("fleet") != "endpoint":
        return []
    known = {model["name"]: model.get("accuracy") for model in run.header.get("models", [])}
    for variant in run.variants:
        promised = known.get((run.scheme(variant).get("models") or {}).get("single"))
        share = answers(run.of(variant).requests).by_source.get("own")
        ends = share.ci95 if share else None
        if promised and share and ends and ends[1] < promised - MUCH_LESS:
            return [
                f"{variant}: the servers' own answers were right in {100 * (share.value or 0.0):.1f} % of {share.of} "
                f"cases, but the manifest says {100 * promised:.1f} % for their model: check that they serve exactly "
                "that model, with its classes in the manifest's order, and that --pixel-scale fits it"
            ]
    return []


def _wrong_injection(variant: str, run: Run) -> list[str]:
    found = injection(run)
    if found.p50 is None or found.wanted is None:
        return []
    parts = {"": (found.p50, found.wanted), **{f" of {name}": medians for name, medians in found.by_part.items()}}
    for whose, (error, wanted) in parts.items():
        if error > INJECTION_FLOOR and error > INJECTION_SHARE * wanted:
            return [
                f"{variant}: service times{whose} missed what the stragglers asked for by {error * 1e3:.1f} ms "
                f"(median; asked for: {wanted * 1e3:.1f} ms), so the machine is too busy: use fewer --workers, a lower "
                "--rate or --compute emulated"
            ]
    return []
