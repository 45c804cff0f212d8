"""Notes on delays: those that never expire, are known late, or expire just after what they wait for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from collagebench.config import option
from collagebench.results.reader import Run

JUST, MANY = 0.05, 0.1
"""An answer that comes less than JUST of a delay before it may come after it on real machines; a share of MANY such
answers is worth a note."""
AT_ONCE = ("hedge", "hedge-idle", "reissue", "default")
"""Schemes whose delay waits for a single task, which the deadline ends anyway."""
DELAYS = ("hedge_delay", "reissue_after", "default_after", "coded_after")
"""Options in seconds, after which a scheme acts on a missing reply."""
HOLD = "hold"
"""The option, in seconds, for how long any scheme holds a group's answer back."""
OVER = 1.1
"""A fitted hedge may copy so many times its budget without a note, as chance may also do that."""
REPLIES = 20
"""The number of replies from which on a running percentile is known (see `schemes.percentile`)."""


def just_in_time(run: Run, variant: str) -> list[str]:
    """Report a delay that never expires, or one in simulation just above many service times, which really vary."""
    options, deadline = _settings(run, variant), run.config.get("deadline")
    requests = run.of(variant).requests
    own = ~requests["warmup"] & requests.equal("source", "own")  # not answers that the delay itself caused
    latency = requests["latency"][own]
    if not len(latency):
        return []
    at_once = run.scheme(variant).get("scheme") in AT_ONCE
    simulated = run.header.get("engine") == "simulated"
    found = []
    for name in (*DELAYS, HOLD):
        delay = _number(options.get(name))
        if delay and deadline and delay >= deadline and (at_once or name == HOLD):
            found.append(
                f"{variant}: its --{option(name)} of {delay:g} s never expires, because tasks are given up at the "
                f"--deadline of {deadline:g} s; the value is in seconds."
            )
        elif delay and simulated and name != HOLD:
            just = ((1 - JUST) * delay < latency) & (latency <= delay * (1 + 1e-6))
            share = float(just.sum() / (~requests["warmup"] & ~np.isnan(requests["latency"])).sum())
            if share > MANY:
                found.append(
                    f"{variant}: {100 * share:.0f} % of its answers arrive just before its --{option(name)} of "
                    f"{1e3 * delay:g} ms; on real machines, where services vary, many of them would be late: choose a "
                    "delay apart from the usual service time."
                )
    return found


def over_budget(run: Run, variant: str) -> list[str]:
    """Report that a hedge that was fitted to a budget copied clearly more, because copies add load."""
    mine = run.of(variant)
    given = {one.get("variant"): one.get("options") for one in run.config.get("schemes", [])}
    options: dict[str, Any] = dict(given.get(variant) or {})
    budget = _number(options.get("hedge_budget"))
    if options.get("hedge_delay") != "fit" or not budget:
        return []
    share = int((mine.tasks["attempt"] > 0).sum()) / int(mine.cells["requests"].sum())
    if share <= OVER * budget:
        return []
    return [
        f"{variant}: {100 * share:.3g} % of its requests were copied, for a --hedge-budget of {100 * budget:g} %, "
        "because the fit does not count the load that copies add: choose a smaller one."
    ]


def known_late(run: Run, variant: str) -> list[str]:
    """Report that a delay given as a percentile was not yet known for many requests."""
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
        f"which takes {REPLIES} replies: raise --requests or --warmup."
    ]


def _settings(run: Run, variant: str) -> Mapping[str, Any]:
    facts = run.scheme(variant)
    settings: Mapping[str, Any] = facts.get("settings", facts.get("options", {}))
    return settings


def _number(value: Any) -> float:
    """Return seconds given as a number or a string; 0 for anything else, such as a percentile."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
