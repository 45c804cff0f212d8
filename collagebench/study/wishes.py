"""What a user asks of a scheme, what each candidate gives, and which of those that give it is chosen.

A candidate is judged at every load of the range that was asked for, and by its worst:

    steady      its queue does not grow without end
    in time     the quantile of latency that the SLO is about is below the SLO: surely, if the upper end of its 95 %
                interval is, else perhaps
    accurate    it answers as many requests rightly as the floor wants, and loses no more against no redundancy than
                the user allows: surely, if that holds at the worse end of the 95 % interval, else perhaps
    affordable  the worker time that it spends on a request is within the budget, beside that of no redundancy, at
                every load

What is left is ranked by cost, which is worker time a request beside no redundancy, the mean over the loads: on equal
hardware that is energy, and room for other work. Where costs are about equal, the more accurate wins, then the one
whose latency is surely lower, by the upper end of its interval; but where no redundancy will do, nothing is simpler,
and it comes first. Where there is no SLO, latency comes first: what is shown to be faster than no redundancy (the
paired tests of `statistics.best` over the runs that all of them met), then no redundancy; and of those, of the fastest
and what is not shown to be slower, the cheapest, then the most accurate. ABOUT says what differences are too small to
decide anything.

A candidate is on the front if no other is at least as good in latency, accuracy and cost, and better in one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from collagebench.errors import UsageError
from collagebench.statistics.best import Figure, faster_than, fastest
from collagebench.statistics.ratio import Tail

ABOUT = {"cost": 0.02, "accuracy": 0.001, "latency": 0.05, "upper end": 0.05}
"""Cost and accuracy: differences; latency and the upper end of its interval: a share of the lower one."""
LOSS = 0.01
"""Share of answers that redundancy may make wrong where nothing else is asked for."""
QUANTILES = ("p50", "p90", "p95", "p99")
"""What an SLO may be about."""

Status = Literal["meets", "perhaps", "unsteady", "late", "inaccurate", "expensive"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked for; None: nothing."""

    slo: float | None = None
    """Seconds that the quantile may take."""
    quantile: str = "p99"
    accuracy: float | None = None
    """Share of all answers that must be right."""
    loss: float | None = None
    """Share of answers that may be wrong in addition to those of no redundancy; None: LOSS unless `accuracy` is set."""
    budget: float | None = None
    """Worker time beyond that of no redundancy, as a share of it."""

    def __post_init__(self) -> None:
        if self.quantile not in QUANTILES:
            raise UsageError(f"--slo-quantile must be one of {', '.join(QUANTILES)}, not {self.quantile!r}")
        for name, least, most in (("accuracy", 0.0, 1.0), ("loss", 0.0, 1.0), ("budget", 0.0, math.inf)):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                ends = f"from {least:g} to {most:g}" if most < math.inf else f"from {least:g} up"
                raise UsageError(f"--{OPTIONS[name]} is a share {ends}, not {value:g}")

    @property
    def allowed_loss(self) -> float | None:
        """The loss of accuracy that is really allowed."""
        return LOSS if self.loss is None and self.accuracy is None else self.loss


OPTIONS = {"accuracy": "accuracy-floor", "loss": "accuracy-loss", "budget": "budget"}
"""What the command line calls the fields."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one candidate gave at one load."""

    latency: float
    """The quantile that is asked about, in seconds; infinite where failures reach it or the queue grew."""
    low: float
    high: float
    """Ends of its 95 % interval; the infinite and 0 where there is none."""
    accuracy: float | None
    lost: float | None
    """Share of requests that no redundancy answers rightly and this does not, on balance; below 0 if it is better."""
    work: float | None
    """Worker time a request, beside that of no redundancy."""
    unsteady: str | None = None
    """Why its latency means nothing, if so."""
    accuracy_low: float | None = None
    """The lower end of the 95 % interval of `accuracy`."""
    lost_high: float | None = None
    """The upper end of that of `lost`."""
    bounded: bool = True
    """Whether `latency` is the quantile; else there are too few requests to say more than that it is not lower."""
    by_run: tuple[float, ...] = ()
    """The quantile in each run."""
    tail: Tail | None = None
    """What its ratio to another candidate's is made of; None where `latency` is not the quantile."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A variant and what it gave at each load, in the order of the loads."""

    variant: str
    scheme: str
    options: Mapping[str, Any]
    at: tuple[Figures, ...]

    @property
    def worst(self) -> Figures:
        """The load at which it is slowest."""
        return max(self.at, key=lambda figures: (figures.unsteady is not None, figures.latency, figures.high))

    @property
    def at_most(self) -> float:
        """The highest upper end of its latency over the loads; infinite where one has no interval."""
        return max(figures.high for figures in self.at)

    @property
    def cost(self) -> float:
        """Mean work over the loads; infinite where it is not known."""
        known = [figures.work for figures in self.at if figures.work is not None]
        return sum(known) / len(known) if len(known) == len(self.at) else math.inf

    @property
    def dearest(self) -> float:
        """The most work at any load; infinite where it is not known."""
        return max(math.inf if figures.work is None else figures.work for figures in self.at)

    @property
    def accuracy(self) -> float | None:
        """The lowest over the loads."""
        known = [figures.accuracy for figures in self.at if figures.accuracy is not None]
        return min(known) if known else None

    @property
    def lost(self) -> float | None:
        """The most over the loads."""
        known = [figures.lost for figures in self.at if figures.lost is not None]
        return max(known) if known else None

    @property
    def lost_at_most(self) -> float | None:
        """The highest upper end of its loss over the loads; None where none is known."""
        known = [figures.lost_high for figures in self.at if figures.lost_high is not None]
        return max(known) if known else None

    @property
    def accuracy_at_least(self) -> float | None:
        """The lowest lower end of its accuracy over the loads; None where none is known."""
        known = [figures.accuracy_low for figures in self.at if figures.accuracy_low is not None]
        return min(known) if known else None

    def beats(self, other: Candidate) -> bool:
        """Say whether this is nowhere worse in latency, accuracy and cost, and somewhere better."""
        if self.worst.unsteady is not None:
            return False
        pairs = [(self.worst.latency, other.worst.latency), (self.cost, other.cost)]
        if self.accuracy is not None and other.accuracy is not None:
            pairs.append((-self.accuracy, -other.accuracy))
        return all(own <= its for own, its in pairs) and any(own < its for own, its in pairs)


def status(candidate: Candidate, wishes: Wishes) -> Status:
    """Say what the candidate breaks, if anything: the first of what is listed above."""
    worst = candidate.worst
    if worst.unsteady is not None:
        return "unsteady"
    if wishes.slo is not None and worst.latency > wishes.slo:
        return "late"
    if not math.isfinite(worst.latency):
        return "late"
    accuracy, lost, allowed = candidate.accuracy, candidate.lost, wishes.allowed_loss
    if wishes.accuracy is not None and (accuracy is None or accuracy < wishes.accuracy):
        return "inaccurate"
    if allowed is not None and allowed < 1 and (lost is None or lost > allowed):
        return "inaccurate"
    if wishes.budget is not None and candidate.dearest > 1 + wishes.budget:
        return "expensive"
    least, most = candidate.accuracy_at_least, candidate.lost_at_most
    surely = (
        candidate.at_most < math.inf if wishes.slo is None else candidate.at_most <= wishes.slo,
        wishes.accuracy is None or least is None or least >= wishes.accuracy,
        allowed is None or most is None or most <= allowed,
    )
    return "meets" if all(surely) else "perhaps"


def ranked(candidates: Sequence[Candidate], wishes: Wishes) -> list[Candidate]:
    """Return those that meet what is asked for, the best first; those that only perhaps do follow the others."""
    found: list[Candidate] = []
    none = next((candidate for candidate in candidates if candidate.scheme == "none"), None)
    for wanted in ("meets", "perhaps"):
        some = [candidate for candidate in candidates if status(candidate, wishes) == wanted]
        if wishes.slo is None:
            found += _by_speed(some, none)
        else:
            plain = [candidate for candidate in some if candidate.scheme == "none"]
            others = [candidate for candidate in some if candidate.scheme != "none"]
            found += plain + _in_order(others, ("cost", "accuracy", "upper end"))
    return found


def near_misses(candidates: Sequence[Candidate], wishes: Wishes) -> dict[str, Candidate]:
    """Return, for when nothing meets all wishes, which candidate is nearest to it if one of them is dropped, by name.

    That is the cheapest without a budget, the most accurate without a floor or a limit to its loss, and the fastest
    without an SLO. A wish is left out that was not made, or without which nothing meets the others either.
    """
    dropped: dict[str, tuple[Wishes, Callable[[Candidate], float]]] = {}
    if wishes.budget is not None:
        dropped["budget"] = replace(wishes, budget=None), lambda one: one.cost
    least = wishes.allowed_loss
    if wishes.accuracy is not None:
        easier = replace(wishes, accuracy=None, loss=1.0 if least is None else least)
        dropped["floor"] = easier, lambda one: -(one.accuracy or 0.0)
    if least is not None:
        dropped["loss"] = replace(wishes, loss=1.0), lambda one: -(one.accuracy or 0.0)
    if wishes.slo is not None:
        dropped["slo"] = replace(wishes, slo=None), lambda one: one.worst.latency
    found = {}
    for name, (easier, distance) in dropped.items():
        some = [one for one in candidates if status(one, easier) in ("meets", "perhaps")]
        if some:
            found[name] = min(some, key=distance)
    return found


def front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return those that no other beats, the fastest first."""
    steady = [candidate for candidate in candidates if candidate.worst.unsteady is None]
    best = [candidate for candidate in steady if not any(other.beats(candidate) for other in steady)]
    return sorted(best, key=lambda candidate: candidate.worst.latency)


def _by_speed(some: Sequence[Candidate], none: Candidate | None) -> list[Candidate]:
    """Sort by latency, those that are not told apart from the fastest of what is left by cost and accuracy.

    What is shown to be faster than no redundancy comes before it, everything else behind.
    """
    rivals = [one for one in some if one is not none]
    faster = rivals if none is None else faster_than_none(rivals, none)
    rest = [one for one in rivals if one not in faster]
    return [*_in_groups(faster), *(one for one in some if one is none), *_in_groups(rest)]


def _in_groups(some: Sequence[Candidate]) -> list[Candidate]:
    left, found = list(some), []
    while left:
        first = _in_order(as_fast(left), ("cost", "accuracy"))[0]
        left.remove(first)
        found.append(first)
    return found


def faster_than_none(some: Sequence[Candidate], none: Candidate) -> list[Candidate]:
    """Return those that are shown to be faster than no redundancy; where there is one run, those that are so by far."""
    if none.worst.unsteady is not None:
        return [one for one in some if one.worst.unsteady is None]
    steady = [one for one in some if one.worst.unsteady is None]
    if min(len(one.worst.by_run) for one in [*steady, none]) < 2:
        return [one for one in steady if none.worst.latency > one.worst.latency * (1 + ABOUT["latency"])]
    names = faster_than(_figure(none), {one.variant: _figure(one) for one in steady}, ABOUT["latency"])
    return [one for one in steady if one.variant in names]


def as_fast(some: Sequence[Candidate]) -> list[Candidate]:
    """Return the fastest and those that are not shown to be slower; where there is one run, those about as fast."""
    best = min(some, key=lambda one: one.worst.latency)
    if min(len(one.worst.by_run) for one in some) < 2:
        return [one for one in some if one.worst.latency <= best.worst.latency * (1 + ABOUT["latency"])]
    names = fastest({one.variant: _figure(one) for one in some}, ABOUT["latency"])
    return [one for one in some if one.variant in names] or [best]


def _figure(one: Candidate) -> Figure:
    return Figure(one.worst.latency, one.worst.by_run, one.worst.tail)


def _in_order(some: Sequence[Candidate], keys: Sequence[str]) -> list[Candidate]:
    """Sort by the first key, those that are about equal to the best of what is left by the second, and so on."""
    left, found = list(some), []
    while left:
        best = left
        for key in keys:
            values = [_key(candidate, key) for candidate in best]
            least = min(values)
            limit = least * (1 + ABOUT[key]) if key == "upper end" else least + ABOUT[key]
            best = [candidate for candidate, value in zip(best, values, strict=True) if value <= limit]
        first = min(best, key=lambda candidate: [_key(candidate, key) for key in keys])
        left.remove(first)
        found.append(first)
    return found


def _key(candidate: Candidate, name: str) -> float:
    """Return what is lower the better the candidate is."""
    if name == "accuracy":
        return -(candidate.accuracy or 0.0)
    return candidate.at_most if name == "upper end" else candidate.cost
