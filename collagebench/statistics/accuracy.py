"""Accuracy and where the answers came from.

Accuracy is the share of right answers among the requests that were answered: a request that failed has no class to be
right or wrong about, and is shown as failed. Overall accuracy is the accuracies by source, weighted by their shares.
Intervals count as many answers as those that there are are worth, images being repeated and runs being unlike: see
`clusters`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collagebench.results.reader import Run
from collagebench.results.table import EMPTY, Table
from collagebench.statistics.clusters import effective
from collagebench.statistics.intervals import Interval, wilson


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many, with Wilson's 95 % interval."""

    count: float
    """A whole number, unless it is the mean of several ways to count."""
    of: int
    worth: float | None = None
    """How many independent ones these are worth; None: as many as there are."""

    @property
    def value(self) -> float | None:
        """The share, None when there is nothing to count."""
        return self.count / self.of if self.of else None

    @property
    def ci95(self) -> Interval | None:
        """Wilson's interval, None when there is nothing to count."""
        share = self.value
        worth = self.of if self.worth is None else self.worth
        return None if share is None else wilson(share * worth, worth)


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one scheme, warm-up left out."""

    overall: Share
    """Right answers among those whose class is known."""
    by_source: dict[str, Share]
    sources: dict[str, Share]
    """Answers from each source among all answers, each request counting for itself."""
    straggled: Share
    """Right answers among requests that straggled (see `RequestRecord`), and whose class is known."""


def sample(run: Run) -> int | None:
    """Return how many answers of each run were classified, drawn at random; None where all were."""
    if run.header.get("engine") == "live" and run.config.get("compute") == "real":
        return None
    requests = run.config.get("requests", 0)
    few: int = run.config.get("accuracy", requests)
    return few if few < requests else None


def answers(requests: Table) -> Answers:
    """Return accuracy and shares of one scheme's requests, warm-up among them being ignored."""
    counted = requests.where(~requests["warmup"] & ~np.isnan(requests["latency"]))
    evaluated = counted["predicted"] != EMPTY
    right = evaluated & (counted["predicted"] == counted["label"])

    def share(of: NDArray[np.bool_]) -> Share:
        mask = evaluated & of
        return Share(
            int(right[mask].sum()),
            int(mask.sum()),
            effective(right[mask], counted["image"][mask], counted["run"][mask]),
        )

    by_source, sources = {}, {}
    for source in counted.texts["source"]:
        mask = counted.equal("source", source)
        if mask.any():
            by_source[source] = share(mask)
            sources[source] = Share(int(mask.sum()), len(counted))
    return Answers(share(evaluated), by_source, sources, share(counted["straggled"] == 1))
