"""The question of a search for crossovers: which schemes, which metric, along which axis, how finely."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from collagebench.config import Config, option
from collagebench.errors import UsageError, nearest
from collagebench.statistics.crossing import Between, halfway
from collagebench.statistics.quantiles import QUANTILES, requests_needed

METRICS = (*QUANTILES, "mean")
MOST_STEPS = 40
SURE, LOG_SURE = 0.01, 0.05
"""Default tolerances: a share of the range; on a logarithmic axis, a share of the value."""
NO_AXES = {"seed", "requests", "runs", "warmup", "accuracy", "slo_ms", "pixel_scale", "ray_cpus", "log_length",
           "stop_every", "stop_for", "quota", "transfers", "transfer_mb"}  # fmt: skip
"""Numeric fields that cannot be an axis: they do not change how a simulated fleet behaves."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which schemes to compare, by which metric, along which axis."""

    config: Config
    """The experiment, with at least two schemes; its value of the axis is replaced."""
    over: str
    """The axis: the name of a Config field."""
    low: float
    high: float
    metric: str = "p99"
    steps: int = 6
    """Number of values to simulate first."""
    tolerance: float | None = None
    """Required precision of a crossing; with `log`, a share of the value. None: `SURE` or `LOG_SURE`."""
    log: bool = False
    """Whether the values are spaced by equal ratios."""

    def __post_init__(self) -> None:
        check_axis(self.over)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UsageError(
                f"--from and --to must be numbers, and --from below --to; they are {self.low:g} and {self.high:g}"
            )
        if self.metric not in METRICS:
            raise UsageError(f"--metric must be one of {', '.join(METRICS)}, not {self.metric!r}")
        if self.log and self.low <= 0:
            raise UsageError(f"--log needs a --from above 0, not {self.low:g}")
        if self.whole and not (self.low.is_integer() and self.high.is_integer()):
            raise UsageError(f"--{option(self.over)} is a whole number, so --from and --to must be whole numbers, too")
        if not 2 <= self.steps <= MOST_STEPS:
            raise UsageError(f"--steps must be from 2 to {MOST_STEPS}, not {self.steps}")
        if self.tolerance is not None and not 0 < self.tolerance < (math.inf if self.log else self.high - self.low):
            raise UsageError(f"--tolerance must be above 0 and below the range, not {self.tolerance:g}")
        if len(self.config.schemes) < 2:
            raise UsageError("a crossover is between two schemes: name at least two with --scheme")
        if self.config.runs < 3:
            raise UsageError(f"a crossover takes at least 3 runs to show anything, not {self.config.runs}")
        counted = self.config.runs * (self.config.requests - round(self.config.warmup * self.config.requests))
        if self.metric in QUANTILES and counted < (needed := requests_needed(QUANTILES[self.metric])):
            raise UsageError(
                f"{counted:,} requests after the warm-up are too few for a {self.metric}, which takes {needed:,}: "
                "raise --requests or --runs"
            )
        for value in (self.low, self.high):
            at(self, value)  # raises UsageError if the config refuses the value

    @property
    def near(self) -> float:
        """The tolerance that applies: the given one or the default."""
        if self.tolerance is not None:
            return self.tolerance
        return LOG_SURE if self.log else SURE * (self.high - self.low)

    @property
    def whole(self) -> bool:
        """Whether the axis takes whole numbers only."""
        return AXES[self.over].startswith("int")

    @property
    def between(self) -> Between:
        """The function that picks the next value between two others."""
        return halfway(self.near, self.log, self.whole)

    def first(self) -> list[float]:
        """Return the values to simulate first, including both ends."""
        shares = [place / (self.steps - 1) for place in range(1, self.steps - 1)]
        if self.log:
            inner = [self.low * (self.high / self.low) ** share for share in shares]
        else:
            inner = [self.low + share * (self.high - self.low) for share in shares]
        tidy = (float(round(value)) if self.whole else float(f"{value:.12g}") for value in inner)
        return sorted({self.low, *tidy, self.high})


AXES = {
    field.name: str(field.type)
    for field in fields(Config)
    if str(field.type).split(" |")[0] in ("float", "int") and field.name not in NO_AXES
}
"""The fields that can be an axis, and their types."""


def check_axis(over: str) -> None:
    """Raise a UsageError if `over` is not a field that can be an axis."""
    if over not in AXES:
        raise UsageError(f"--over takes an option that is a number{nearest(option(over), map(option, AXES))}")


def at(question: Question, value: float) -> Config:
    """Return the config of the experiment at one value of the axis."""
    changes: dict[str, Any] = {question.over: int(value) if question.whole else value}
    if question.over in ("rate", "utilisation"):
        changes = {"rate": None, "utilisation": None, **changes}
    return replace(question.config, **changes)
