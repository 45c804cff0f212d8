"""The grammar of gates, and its recursive-descent parser. A gate is one comparison of two sums of figures and numbers.

    gate    = sum  relation  sum            relation = "<" | "<=" | ">" | ">="
    sum     = product  { ("+" | "-")  product }
    product = term  { ("*" | "/")  term }
    term    = "-" term  |  "(" sum ")"  |  number  |  figure
    figure  = scheme "." metric             collage.p99, hedge-idle.mean, "collage wait".accuracy

A scheme's name begins with a letter and may contain digits, `_` and `-`; any other name must be quoted. A `-` after the
metric is a minus. There are no units: times are in seconds, shares from 0 to 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NoReturn

from rich.cells import cell_len

from collagebench.errors import UsageError, nearest

LATENCIES = ("p50", "p90", "p95", "p99", "p999", "mean", "std", "max")
ENDS = {f"{name}_{end}": (name, end) for name in ("p50", "p99", "accuracy", "goodput") for end in ("low", "high")}
"""Metrics that are the ends of a figure's 95 % interval."""
METRICS = {
    **dict.fromkeys(LATENCIES, ""),
    "p50": "latency in seconds, as are p90, p95, p99, p999, mean, std and max",
    "accuracy": "share of right answers among those that came",
    "not_own": "share of answers that did not come from the request's own first task",
    "failed": "number of requests without an answer; failed_share: their share",
    "failed_share": "",
    "work": "worker time per request / that of the baseline",
    "busy": "share of the workers' time in service while requests arrive",
    "goodput": "right answers in time, per second of the arrivals",
    **dict.fromkeys(ENDS, ""),
    "p50_low": "lower end of the 95 % interval of p50, p50_high the upper one; so are those of p99, accuracy, goodput",
}
"""The metrics, with their descriptions; those with an empty one are described with a metric above."""
LONGEST = 500
"""The most characters of a gate."""
DEEPEST = 50
"""The most nested parentheses and signs."""
SHOWN = 72
"""The most characters of an expression that are shown around an error."""

SPACE = re.compile(r"\s*")
NUMBER = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
NAME = re.compile(r"[^\W\d][\w-]*")
QUOTED = re.compile(r""""([^"]*)"|'([^']*)'""")
METRIC = re.compile(r"\w+")
RELATION = re.compile(r"<=|>=|<|>")


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one scheme."""

    scheme: str
    metric: str
    at: int
    """The position of its scheme in the text."""

    def __str__(self) -> str:
        """Return the figure as it is written in a gate."""
        plain = NAME.fullmatch(self.scheme) is not None
        return f"{self.scheme if plain else repr(self.scheme)}.{self.metric}"


@dataclass(frozen=True, slots=True)
class Operation:
    """An arithmetic operation on two values."""

    sign: str
    left: Value
    right: Value


Value = Number | Figure | Operation


@dataclass(frozen=True, slots=True)
class Gate:
    """The condition under which a report fails."""

    text: str
    left: Value
    relation: str
    right: Value


def parse(text: str) -> Gate:
    """Parse a gate.

    Raises:
        UsageError: `text` is not a gate; the message points at the character.
    """
    if len(text) > LONGEST:
        refuse(text, LONGEST, f"a gate has at most {LONGEST} characters; this one has {len(text):,}")
    return _Parser(text).gate()


def check(gate: Gate, schemes: Collection[str]) -> None:
    """Check that every scheme of the gate is one of `schemes`, the variants' names, or the bound.

    Raises:
        UsageError: one is not, or the bound does not have the figure; the message points at it.
    """
    for figure in figures(gate):
        if figure.scheme not in schemes and figure.scheme != "bound":
            refuse(gate.text, figure.at, f"there is no scheme {figure.scheme!r} here{nearest(figure.scheme, schemes)}")
        if figure.scheme not in schemes and figure.metric not in LATENCIES:
            refuse(gate.text, figure.at, f"the bound has only latencies ({' '.join(LATENCIES)})")


def figures(gate: Gate) -> list[Figure]:
    """Return the figures of a gate, in the order in which they are written."""
    found: list[Figure] = []
    todo: list[Value] = [gate.right, gate.left]
    while todo:
        value = todo.pop()
        if isinstance(value, Operation):
            todo += [value.right, value.left]
        elif isinstance(value, Figure):
            found.append(value)
    return found


def refuse(text: str, at: int, problem: str) -> NoReturn:
    """Raise a UsageError that points at the character `at` of `text`."""
    start = max(0, min(at - SHOWN // 2, len(text) - SHOWN))
    shown = "".join(c if c.isprintable() else "?" for c in text[start : start + SHOWN])
    before, after = "…" if start else "", "…" if start + SHOWN < len(text) else ""
    caret = " " * cell_len(before + shown[: at - start]) + "^"
    raise UsageError(f"--fail-if: {problem}\n  {before}{shown}{after}\n  {caret}")


class _Parser:
    """Parses one text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def gate(self) -> Gate:
        left = self._sum()
        self._skip()
        match = RELATION.match(self._text, self._at)
        if match is None:
            self._refuse("expected <, <=, > or >= here (the gate fails when the comparison is true)")
        self._at = match.end()
        right = self._sum()
        self._skip()
        if RELATION.match(self._text, self._at):
            self._refuse("a gate is one comparison; write a second --fail-if for another")
        if self._at < len(self._text):
            self._refuse("the gate should end here, or continue with +, -, * or /")
        return Gate(self._text, left, match.group(), right)

    def _sum(self) -> Value:
        value = self._product()
        while sign := self._one_of("+-"):
            value = Operation(sign, value, self._product())
        return value

    def _product(self) -> Value:
        value = self._term()
        while sign := self._one_of("*/"):
            value = Operation(sign, value, self._term())
        return value

    def _term(self) -> Value:
        self._depth += 1
        if self._depth > DEEPEST:
            self._refuse(f"more than {DEEPEST} nested parentheses or signs")
        value: Value
        if self._one_of("-"):
            value = Operation("-", Number(0.0), self._term())
        elif self._one_of("("):
            value = self._sum()
            if not self._one_of(")"):
                self._refuse("expected ), +, -, * or / here")
        else:
            value = self._atom()
        self._depth -= 1
        return value

    def _atom(self) -> Number | Figure:
        self._skip()
        start = self._at
        if match := NUMBER.match(self._text, start):
            self._at = match.end()
            value = float(match.group())
            if not math.isfinite(value):
                refuse(self._text, start, "this number is too large")
            if METRIC.match(self._text, self._at):
                self._refuse("the number ends here: times are in seconds, without a unit")
            if self._text.startswith("%", self._at):
                self._refuse("the number ends here: shares are from 0 to 1, without %")
            return Number(value)
        if match := QUOTED.match(self._text, start):
            scheme = match.group(1) or match.group(2) or ""
        elif match := NAME.match(self._text, start):
            scheme = match.group()
        elif self._text.startswith(("'", '"'), start):
            self._refuse("this quotation mark is not closed")
        else:
            self._refuse("expected a number or a figure such as collage.p99 here")
        self._at = match.end()
        if not self._text.startswith(".", self._at):
            self._refuse(f"expected a dot and a metric here: {', '.join(METRICS)}")
        self._at += 1
        metric = METRIC.match(self._text, self._at)
        if metric is None:
            self._refuse(f"expected a metric here: {', '.join(METRICS)}")
        if metric.group() not in METRICS:
            self._refuse(f"there is no metric {metric.group()!r}{nearest(metric.group(), METRICS)}")
        self._at = metric.end()
        return Figure(scheme, metric.group(), start)

    def _one_of(self, signs: str) -> str:
        """If the next character is one of `signs`, consume and return it; otherwise return an empty string."""
        self._skip()
        sign = self._text[self._at : self._at + 1]
        if not sign or sign not in signs:
            return ""
        self._at += 1
        return sign

    def _skip(self) -> None:
        match = SPACE.match(self._text, self._at)
        assert match is not None
        self._at = match.end()

    def _refuse(self, problem: str) -> NoReturn:
        refuse(self._text, self._at, problem)
