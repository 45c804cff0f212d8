"""The user's wishes, the figures of each candidate, and how the candidates that meet the wishes are ranked.

A candidate is judged at every given load, and by the worst one. It must be:

    steady      its queue does not grow without bound
    in time     its latency quantile is not above the SLO: surely, if the upper end of the 95 % interval is not, else
                perhaps
    accurate    its share of right answers reaches the floor, and its loss against no redundancy is within the limit:
                surely, if this holds at the worse end of the 95 % interval, else perhaps
    affordable  its worker time per request, relative to no redundancy, is within the budget at every load

With an SLO, the remaining candidates are ranked by cost: worker time per request relative to no redundancy, the mean
over the loads. On equal hardware it stands for energy and for room for other work. If costs are about equal, the more
accurate candidate wins, then the one with the lower upper end of its latency interval. But if the candidate without
redundancy meets the wishes, it comes first, because nothing is simpler.

Without an SLO, candidates that are shown to be faster than no redundancy (by the paired tests of `statistics.best` over
the common runs) come first, then no redundancy, then the rest. Within each group, the next place goes to the cheapest,
then the most accurate, of the fastest and those that are not shown to be slower.

ABOUT lists the differences that are too small to decide anything.

A candidate is on the front if no other is at least as good in latency, accuracy and cost, and better in one of them.
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
"""Cost and accuracy: absolute differences. Latency and the upper end of its interval: shares of the lower value."""
LOSS = 0.01
"""Share of answers that redundancy may make wrong, unless the user states a limit or a floor."""
QUANTILES = ("p50", "p90", "p95", "p99")
"""Quantiles to which an SLO may apply."""

Status = Literal["meets", "perhaps", "unsteady", "late", "inaccurate", "expensive"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """The user's requirements; None means no requirement."""

    slo: float | None = None
    """Highest allowed value of the quantile, in seconds."""
    quantile: str = "p99"
    accuracy: float | None = None
    """Share of all answers that must be right."""
    loss: float | None = None
    """Share of answers that may be wrong beyond those without redundancy; None: LOSS unless `accuracy` is set."""
    budget: float | None = None
    """Allowed extra worker time, as a share of that without redundancy."""

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
        """The loss of accuracy that is allowed, with the default applied."""
        return LOSS if self.loss is None and self.accuracy is None else self.loss


OPTIONS = {"accuracy": "accuracy-floor", "loss": "accuracy-loss", "budget": "budget"}
"""Names of the fields on the command line."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one candidate at one load."""

    latency: float
    """The wished quantile, in seconds; infinite if failures reach it or the queue grows."""
    low: float
    high: float
    """Ends of its 95 % interval; 0 and infinity if there is none."""
    accuracy: float | None
    lost: float | None
    """Accuracy without redundancy minus that of this candidate; below 0 if this one is better."""
    work: float | None
    """Worker time per request, relative to no redundancy."""
    unsteady: str | None = None
    """Why the latency is meaningless; None if it is not."""
    accuracy_low: float | None = None
    """The lower end of the 95 % interval of `accuracy`."""
    lost_high: float | None = None
    """The upper end of the 95 % interval of `lost`."""
    bounded: bool = True
    """Whether `latency` is the quantile itself; if False, there are too few requests, and it is only a lower bound."""
    by_run: tuple[float, ...] = ()
    """The quantile in each run."""
    tail: Tail | None = None
    """What a ratio of two candidates' quantiles is computed from; None if `latency` is not the quantile."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A variant and its figures at each load, in the order of the loads."""

    variant: str
    scheme: str
    options: Mapping[str, Any]
    at: tuple[Figures, ...]

    @property
    def worst(self) -> Figures:
        """The figures at the load where it is slowest."""
        return max(self.at, key=lambda figures: (figures.unsteady is not None, figures.latency, figures.high))

    @property
    def at_most(self) -> float:
        """The highest upper end of its latency interval over the loads; infinite if a load has no interval."""
        return max(figures.high for figures in self.at)

    @property
    def cost(self) -> float:
        """Mean work over the loads; infinite if it is unknown at one of them."""
        known = [figures.work for figures in self.at if figures.work is not None]
        return sum(known) / len(known) if len(known) == len(self.at) else math.inf

    @property
    def dearest(self) -> float:
        """The most work at any load; infinite if it is unknown at one of them."""
        return max(math.inf if figures.work is None else figures.work for figures in self.at)

    @property
    def accuracy(self) -> float | None:
        """The lowest accuracy over the loads; None if unknown."""
        known = [figures.accuracy for figures in self.at if figures.accuracy is not None]
        return min(known) if known else None

    @property
    def lost(self) -> float | None:
        """The greatest loss over the loads; None if unknown."""
        known = [figures.lost for figures in self.at if figures.lost is not None]
        return max(known) if known else None

    @property
    def lost_at_most(self) -> float | None:
        """The highest upper end of its loss over the loads; None if none is known."""
        known = [figures.lost_high for figures in self.at if figures.lost_high is not None]
        return max(known) if known else None

    @property
    def accuracy_at_least(self) -> float | None:
        """The lowest lower end of its accuracy over the loads; None if none is known."""
        known = [figures.accuracy_low for figures in self.at if figures.accuracy_low is not None]
        return min(known) if known else None

    def beats(self, other: Candidate) -> bool:
        """Tell whether this is not worse in latency, accuracy or cost, and better in at least one of them."""
        if self.worst.unsteady is not None:
            return False
        pairs = [(self.worst.latency, other.worst.latency), (self.cost, other.cost)]
        if self.accuracy is not None and other.accuracy is not None:
            pairs.append((-self.accuracy, -other.accuracy))
        return all(own <= its for own, its in pairs) and any(own < its for own, its in pairs)


def status(candidate: Candidate, wishes: Wishes) -> Status:
    """Return the first requirement that the candidate breaks, in the order above, or how surely it meets all."""
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
    """Return the candidates that meet the wishes, the best first, followed by those that perhaps do."""
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
    """Return, for each wish, the candidate that meets all other wishes and comes nearest to this one.

    Used if nothing meets all wishes. Nearest is the cheapest for the budget, the most accurate for the floor or the
    limit of loss, and the fastest for the SLO. A wish is left out if the user did not make it, or if no candidate meets
    all others.
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
    """Return the steady candidates that no other beats, the fastest first."""
    steady = [candidate for candidate in candidates if candidate.worst.unsteady is None]
    best = [candidate for candidate in steady if not any(other.beats(candidate) for other in steady)]
    return sorted(best, key=lambda candidate: candidate.worst.latency)


def _by_speed(some: Sequence[Candidate], none: Candidate | None) -> list[Candidate]:
    """Rank candidates without an SLO: those shown to be faster than `none`, then `none`, then the rest."""
    rivals = [one for one in some if one is not none]
    faster = rivals if none is None else faster_than_none(rivals, none)
    rest = [one for one in rivals if one not in faster]
    return [*_in_groups(faster), *(one for one in some if one is none), *_in_groups(rest)]


def _in_groups(some: Sequence[Candidate]) -> list[Candidate]:
    """Repeatedly take the cheapest, then most accurate, of the fastest left and those not shown to be slower."""
    left, found = list(some), []
    while left:
        first = _in_order(as_fast(left), ("cost", "accuracy"))[0]
        left.remove(first)
        found.append(first)
    return found


def faster_than_none(some: Sequence[Candidate], none: Candidate) -> list[Candidate]:
    """Return those shown to be faster than no redundancy; with a single run, those faster by more than ABOUT."""
    if none.worst.unsteady is not None:
        return [one for one in some if one.worst.unsteady is None]
    steady = [one for one in some if one.worst.unsteady is None]
    if min(len(one.worst.by_run) for one in [*steady, none]) < 2:
        return [one for one in steady if none.worst.latency > one.worst.latency * (1 + ABOUT["latency"])]
    names = faster_than(_figure(none), {one.variant: _figure(one) for one in steady}, ABOUT["latency"])
    return [one for one in steady if one.variant in names]


def as_fast(some: Sequence[Candidate]) -> list[Candidate]:
    """Return the fastest and those not shown to be slower; with a single run, those about as fast."""
    best = min(some, key=lambda one: one.worst.latency)
    if min(len(one.worst.by_run) for one in some) < 2:
        return [one for one in some if one.worst.latency <= best.worst.latency * (1 + ABOUT["latency"])]
    names = fastest({one.variant: _figure(one) for one in some}, ABOUT["latency"])
    return [one for one in some if one.variant in names] or [best]


def _figure(one: Candidate) -> Figure:
    return Figure(one.worst.latency, one.worst.by_run, one.worst.tail)


def _in_order(some: Sequence[Candidate], keys: Sequence[str]) -> list[Candidate]:
    """Sort by the first key; candidates about equal to the best one left are sorted by the next key, and so on."""
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
    """Return the value of a key, turned so that lower is better."""
    if name == "accuracy":
        return -(candidate.accuracy or 0.0)
    return candidate.at_most if name == "upper end" else candidate.cost
