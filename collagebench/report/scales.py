"""Scales of plots, linear and logarithmic, with round ticks; and the space that text takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

CHARACTER = 6.9
"""Average width of a character in a plot, in pixels, rounded up; a Chinese or Japanese one counts twice."""

BEGIN = 3
"""Characters that a shortened name keeps of its beginning."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values from `low` to `high` to pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of `value`; values outside the scale are put at the nearer end."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def holds(self, value: float) -> bool:
        """Return whether `value` is on the scale."""
        return self.low <= value <= self.high

    def ticks(self, room: float = 44) -> list[float]:
        """Return round values on the scale, at most about one per `room` pixels."""
        most = max(2, int(abs(self.end - self.start) / room))
        return _log_ticks(self.low, self.high, most) if self.log else _linear_ticks(self.low, self.high, most)


def linear(values: Sequence[float], start: float, end: float, *, margin: float = 0.05) -> Scale:
    """Return a linear scale that holds the finite `values`, with a margin."""
    low, high = _extent(values)
    more = margin * (high - low) or abs(high) * 0.05 or 1.0
    return Scale(low - more, high + more, start, end)


def of_shares(values: Sequence[float], start: float, end: float, *, margin: float = 0.05) -> Scale:
    """Return a linear scale of shares, with a margin, but from 0 to just above 1 at most."""
    found = linear(values, start, end, margin=margin)
    return Scale(max(0.0, found.low), min(found.high, 1.003), start, end)


def logarithmic(values: Sequence[float], start: float, end: float, *, margin: float = 0.03) -> Scale:
    """Return a logarithmic scale that holds the finite `values` above 0, with a margin."""
    low, high = _extent([value for value in values if value > 0])
    if not low > 0:
        low, high = 1.0, 10.0
    low = max(low, 1e-15 * high)  # smaller values are put at the end
    more = max((high / low) ** margin, 1.05)
    return Scale(low / more, high * more, start, end, log=True)


def _extent(values: Sequence[float]) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else (0.0, 1.0)


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    found: list[float] = []
    rough = (high - low) / most
    while not found:  # a short scale may lie between two steps
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        found = [float(f"{place * step:.12g}") for place in range(first, last + 1)]
        rough /= 2
    return found


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [s * 10.0**power for power in range(first, last + 1) for s in steps if low <= s * 10.0**power <= high]
        if len(found) <= most:
            return found if len(found) > 1 else _linear_ticks(low, high, most)
    return found[:: math.ceil(len(found) / most)]


def room_for(names: Iterable[str], most: float) -> float:
    """Return the width of the longest of `names` in pixels, at most `most`."""
    return min(most, CHARACTER * max(map(cell_len, names), default=0) + 6)


def shorten(text: str, room: float) -> str:
    """Shorten `text` to `room` pixels, keeping its beginning and its end, in which names mostly differ."""
    most = max(2, int(room / CHARACTER + 1e-9))
    if cell_len(text) <= most:
        return text
    begin, end = text[: min(BEGIN, most - 2)], text[1:]
    while cell_len(begin) + 1 + cell_len(end) > most and len(end) > 1:
        end = end[1:]
    return f"{begin}…{end}"
