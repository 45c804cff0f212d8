"""Notes of delays: those that never pass, are known late, or end just after what they wait for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from collagebench.config import option
from collagebench.results.reader import Run

JUST, MANY = 0.05, 0.1
"""What comes less than this share before a delay may come after it on real machines; so many are worth a word."""
AT_ONCE = ("hedge", "hedge-idle", "reissue", "default")
"""Schemes whose delay waits for a single task, which the deadline ends."""
DELAYS = ("hedge_delay", "reissue_after", "default_after", "coded_after")
"""Options that are the seconds after which something is done about what has not come."""
HOLD = "hold"
"""Seconds before which no group's answer is used, whatever the scheme."""
REPLIES = 20
"""From so many replies on a running percentile is known (see `schemes.percentile`)."""


def just_in_time(run: Run, variant: str) -> list[str]:
    """Say where a delay never passes, or, simulated, is as long as many services, of which no two really are alike."""
    options, deadline = _settings(run, variant), run.config.get("deadline")
    requests = run.of(variant).requests
    own = ~requests["warmup"] & requests.equal("source", "own")  # and no answer that the delay itself has brought
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
            share = float((((1 - JUST) * delay < latency) & (latency <= delay * (1 + 1e-6))).mean())
            if share > MANY:
                found.append(
                    f"{variant}: {100 * share:.0f} % of its answers arrive just before its --{option(name)} of "
                    f"{1e3 * delay:g} ms; on real machines, where services vary, many of them would be late: choose a "
                    "delay apart from the usual service time."
                )
    return found


def known_late(run: Run, variant: str) -> list[str]:
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
        f"which takes {REPLIES} replies: raise --requests or --warmup."
    ]


def _settings(run: Run, variant: str) -> Mapping[str, Any]:
    facts = run.scheme(variant)
    settings: Mapping[str, Any] = facts.get("settings", facts.get("options", {}))
    return settings


def _number(value: Any) -> float:
    """Return seconds that were given as a number or as a text; 0 for everything else, such as a percentile."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
