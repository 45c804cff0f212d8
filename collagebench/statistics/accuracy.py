"""Accuracy, and the sources of answers.

Accuracy is the share of right answers among the answered requests. A failed request has no class that could be right or
wrong, and is reported as failed. Overall accuracy is the mean of the accuracies by source, weighted by their shares.
Intervals use the effective number of answers, because images are repeated and runs differ: see `clusters`.
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
    """A share, `count` of `of`, with Wilson's 95 % interval."""

    count: float
    """A whole number, unless it is a mean of several counts."""
    of: int
    worth: float | None = None
    """The effective number of independent ones; None for `of`."""

    @property
    def value(self) -> float | None:
        """The share; None if `of` is 0."""
        return self.count / self.of if self.of else None

    @property
    def ci95(self) -> Interval | None:
        """Wilson's interval; None if `of` is 0."""
        share = self.value
        worth = self.of if self.worth is None else self.worth
        return None if share is None else wilson(share * worth, worth)


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one scheme, without the warm-up."""

    overall: Share
    """Right answers among those whose class is known."""
    by_source: dict[str, Share]
    sources: dict[str, Share]
    """The share of each source among all answers; requests count as independent."""
    straggled: Share
    """Right answers among those to requests that straggled (see `RequestRecord`), if their class is known."""


def sample(run: Run) -> int | None:
    """Return the number of answers of each run that were sampled and classified; None if all were."""
    if run.header.get("engine") == "live" and run.config.get("compute") == "real":
        return None
    requests = run.config.get("requests", 0)
    few: int = run.config.get("accuracy", requests)
    return few if few < requests else None


def answers(requests: Table) -> Answers:
    """Return accuracy and shares of one scheme's requests; those of the warm-up are ignored."""
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
