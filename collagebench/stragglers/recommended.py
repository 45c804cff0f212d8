"""Recommend what to inject to reproduce a recording, and say why.

A family is recommended if no machine is slow throughout (a family would spread that machine's slowness over all
workers) and if the family's times are within a Kolmogorov-Smirnov distance of 0.05 of the recorded ones. Of several
such families, the one with the smallest AIC is recommended. Otherwise the recommendation is to replay the recorded
quantiles, machine by machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from collagebench.stragglers.fitting import Fit

FITS = 0.05
"""The largest Kolmogorov-Smirnov distance at which a family counts as fitting."""
RECORDED = "recorded"


def recommend(
    fits: Sequence[Fit],
    fleet: Mapping[str, Any],
    machines: Sequence[Mapping[str, Any]],
    drawn: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the recommendation as plain JSON values: `stragglers` (a family or `recorded`), `options`, `because`.

    `fits` are from `fit_all`, `fleet` and `machines` from `observed.describe`; `drawn` holds the parameters of each
    family that can be injected, by its name.
    """
    slow = [machine for machine in machines if machine["slow_throughout"]]
    close = [fit for fit in fits if fit.ks <= FITS and _can_be_drawn(fit, drawn)]
    closest = min(fits, key=lambda fit: fit.ks)
    if slow:
        names = ", ".join(str(machine["worker"]) for machine in slow)
        times = max(machine["times_the_middle"] for machine in slow)
        one = len(slow) == 1
        because = (
            f"worker{'' if one else 's'} {names} {'is' if one else 'are'} slow throughout (median "
            f"{'' if one else 'up to '}{times:.1f} times the others'), but a family would spread that over all workers"
        )
    elif not close:
        because = (
            f"no family that can be drawn comes within a Kolmogorov-Smirnov distance of {FITS:g} of the measurements "
            f"(the closest fit, {closest.family}, has {closest.ks:.2g})"
        )
    else:
        best = close[0]
        because = (
            f"of the families within a Kolmogorov-Smirnov distance of {FITS:g}, it has the smallest AIC (distance "
            f"{best.ks:.2g})"
        )
        return {"stragglers": best.family, "options": _options(best, fleet, drawn), "because": because}
    return {"stragglers": RECORDED, "options": None, "because": because}


def _can_be_drawn(fit: Fit, drawn: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the fit can be injected: the family takes all fitted parameters, and its mean is finite."""
    return set(fit.parameters) <= set(drawn.get(fit.family, ())) and fit.parameters.get("shape", math.inf) > 1


def _options(fit: Fit, fleet: Mapping[str, Any], drawn: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    options: dict[str, Any] = {"stragglers": fit.family, "time_scale": 1.0}
    options.update({name: float(f"{value:.4g}") for name, value in fit.parameters.items()})
    if fleet["slow_lasts"] and "persistence" in drawn[fit.family]:
        options["persistence"] = float(f"{fleet['slow_period_s']:.4g}")
        if "slow_share" in drawn[fit.family]:  # unless it was fitted
            options.setdefault("slow_share", float(f"{fleet['slow_share']:.4g}"))
    return options
