"""Repeats runs in which the client was late.

All schemes of such a run are measured again, with the same requests, arrivals and delays, at a time that is as quiet or
as busy for all of them. If stragglers are natural instead of injected, the cause of the client's delay may be the very
thing that is measured, so no run is repeated.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from typing import Any

from collagebench.engine.cells import Progress, begin, in_order
from collagebench.engine.plan import Plan
from collagebench.engine.variants import Variant
from collagebench.fleet.fleet import to_its_end
from collagebench.results.reader import load
from collagebench.results.writer import RunWriter
from collagebench.statistics.lateness import Times, late_runs
from collagebench.stragglers.natural import Natural

AGAIN = 2
"""How often late runs are measured again."""
FEW = 0.5
"""The largest share of runs that is repeated; if more are late, the cause is not a passing disturbance."""


async def late_again(
    plan: Plan, writer: RunWriter, directory: Path, progress: Progress, lost: Collection[int]
) -> AsyncIterator[Sequence[tuple[int, int, Variant]]]:
    """Yield the cells of each run in which the client was late, to be measured again; their old records are dropped.

    It yields nothing if too many runs were late, and stops if the disk has no room or a worker is `lost`.
    """
    if isinstance(plan.stragglers, Natural) or plan.config.stragglers == "none":
        return
    for repeat in range(AGAIN):
        progress.stage("checking whether the client was late")
        late = late_runs(await asyncio.to_thread(load, directory))
        if not 0 < len(late) <= FEW * plan.config.runs:
            return
        cells = {number: [cell for cell in in_order(plan) if cell[1] == number] for number in late}
        lag = max(times.lag for schemes in late.values() for times in schemes.values())
        again = "once more" if repeat else "again"
        progress.show(
            f"measuring {len(late)} of {plan.config.runs} runs {again}, because the client was late (dispatch lag p99 "
            f"up to {1e3 * lag:.1f} ms)"
        )
        begin(plan, progress, [cell for some in cells.values() for cell in some])
        for number, schemes in late.items():
            if lost:
                return
            facts = [_replaced(scheme, number, times) for scheme, times in schemes.items()]
            if not await to_its_end(asyncio.to_thread(writer.replace, facts)):  # takes seconds for millions of records
                progress.show(f"there is no room in {directory} to measure again")
                return
            yield cells[number]


def _replaced(scheme: str, run: int, times: Times) -> dict[str, Any]:
    """Return the figures that are kept of a cell whose records are dropped."""
    p50, p99 = (seconds if math.isfinite(seconds) else None for seconds in (times.p50, times.p99))
    return {"scheme": scheme, "run": run, "dispatch_lag_p99_s": times.lag, "p50_s": p50, "p99_s": p99}
