"""Requests that wait in vain: their reply is lost, no worker is working on them, and the client waits for the deadline.

Such waits are not a queue, and a lower load would not help, however many there are. A request waits in vain while one
of its replies is lost, the client does not know that yet, and none of its other tasks is at a worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from collagebench.results.carried import carried
from collagebench.results.reader import Run

Span = tuple[float, float]


def bereft(mine: Run) -> dict[tuple[int, int], list[int]]:
    """Return the requests, by run and id, with a lost reply, and for each the rows of all its tasks in `mine.tasks`.

    `mine` has the records of one scheme.
    """
    tasks = mine.tasks
    lost = tasks.equal("outcome", "dropped")
    if not lost.any():
        return {}
    scheme = tasks.texts["scheme"][tasks["scheme"][0]]
    requests_of = carried(mine.directory, {(scheme, run) for run in np.unique(tasks["run"][lost]).tolist()})
    found: dict[tuple[int, int], list[int]] = {}
    without = set()
    for row, (run, task, is_lost) in enumerate(zip(tasks["run"].tolist(), tasks["task"].tolist(), lost, strict=True)):
        for request in requests_of.get((scheme, run), {}).get(task, ()):
            found.setdefault((run, request), []).append(row)
            if is_lost:
                without.add((run, request))
    return {request: found[request] for request in sorted(without)}


def waits_in_vain(mine: Run) -> dict[int, NDArray[np.float64]]:
    """Return when answered requests of one scheme waited in vain: for each run, beginnings and ends, [2, waits].

    Times are clipped to the time in which the request was open.
    """
    requests, tasks = mine.requests, mine.tasks
    rows_of = bereft(mine)
    if not rows_of:
        return {}
    numbers = zip(requests["run"].tolist(), requests["request"].tolist(), strict=True)
    times = dict(zip(numbers, zip(requests["arrival"], requests["answered"], strict=True), strict=True))
    lost = tasks.equal("outcome", "dropped")
    served = tasks["sent"] + tasks["queue"] + tasks["service"]
    served = np.where(lost & ~np.isnan(served), served, tasks["ended"])
    found: dict[int, list[Span]] = {}
    for at, rows in rows_of.items():
        arrival, answered = times.get(at, (np.nan, np.nan))  # a task's request may have no record
        if np.isnan(answered):
            continue
        waits = [(float(served[row]), float(tasks["ended"][row])) for row in rows if lost[row]]
        hands = [(float(tasks["sent"][row]), float(served[row])) for row in rows]
        spans = ((max(start, arrival), min(end, answered)) for start, end in _alone(waits, hands))
        found.setdefault(at[0], []).extend((start, end) for start, end in spans if end > start)
    return {run: np.array(spans).reshape(-1, 2).T for run, spans in found.items()}


def sent_again(mine: Run) -> tuple[int, int]:
    """Return how many requests of one scheme were sent again after a lost reply; and how many only after the last
    arrival.

    The work of the latter was no load on the fleet while other requests arrived.
    """
    tasks, requests = mine.tasks, mine.requests
    rows_of = bereft(mine)
    last = {run: float(requests["arrival"][requests["run"] == run].max()) for run in {run for run, _ in rows_of}}
    lost = tasks.equal("outcome", "dropped")
    again = late = 0
    for (run, _), rows in rows_of.items():
        given_up = min(float(tasks["ended"][row]) for row in rows if lost[row])
        sent = [at for row in rows if (at := float(tasks["sent"][row])) >= given_up]
        again += bool(sent)
        late += bool(sent) and all(at > last[run] for at in sent)
    return again, late


def _alone(waits: Sequence[Span], hands: Sequence[Span]) -> Iterator[Span]:
    """Yield the spans of time that are inside any of `waits` and inside none of `hands`."""
    moments = sorted({moment for span in (*waits, *hands) for moment in span})
    for start, end in pairwise(moments):
        among = [any(low <= start and end <= high for low, high in spans) for spans in (waits, hands)]
        if among == [True, False]:
            yield start, end
