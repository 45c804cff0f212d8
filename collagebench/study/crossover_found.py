"""What a search for crossovers found for a pair of schemes, and a sentence on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collagebench.config import option
from collagebench.statistics.crossing import Crossing, Look, crossings, firm
from collagebench.study.crossover_question import Question


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for a pair of schemes."""

    first: str
    second: str
    looks: Mapping[float, Look]
    """By value of the axis."""
    initial: Sequence[float]
    """The values that were simulated first."""

    @property
    def crossings(self) -> list[Crossing]:
        """The crossings, in ascending order."""
        return crossings(self.looks, self.initial)

    @property
    def better(self) -> int:
        """The first firm verdict: -1 if the first scheme is better, 1 if the second is, 0 if none is firm."""
        return next((verdict for _, verdict in firm(self.looks, self.initial)), 0)

    @property
    def names(self) -> dict[int, str]:
        """The name of the scheme that is better, by verdict."""
        return {-1: self.first, 1: self.second}

    @property
    def outcome(self) -> str:
        """`crossing`, `throughout`, `where apart` (better at some values, worse at none), `alike` or `unknown`."""
        if self.crossings:
            return "crossing"
        if not any(one.known for one in self.looks.values()):
            return "unknown"
        if not self.better:
            return "alike"
        return "throughout" if all(one.verdict == self.better for one in self.looks.values()) else "where apart"


def said(question: Question, found: Found) -> str:
    """Return a sentence on what was found for a pair of schemes."""
    axis, looks, outcome, better = option(question.over), found.looks, found.outcome, found.better
    names = {sign: "no redundancy" if name == "none" else name for sign, name in found.names.items()}
    span = f"from {axis} {question.low:g} to {question.high:g}"
    unknown = [value for value, one in sorted(looks.items()) if not one.known]
    gaps = f"; at {_list(unknown)} there is nothing to compare" if unknown else ""
    if outcome == "unknown":
        return (
            f"{names[-1]} and {names[1]} cannot be compared {span}: at no value do both have a {question.metric} in "
            "every run"
        )
    if outcome == "alike":
        return f"{names[-1]} and {names[1]} cannot be told apart {span}{gaps}"
    if outcome == "throughout":
        return f"{names[better]} is better than {names[-better]} {span}: no crossover"
    if outcome == "where apart":
        shown = [value for value, one in sorted(looks.items()) if one.verdict == better]
        unsure = [value for value, one in sorted(looks.items()) if one.known and one.verdict != better]
        contrary = [value for value in unsure if looks[value].difference * better < 0]
        if contrary:
            firmly = any(looks[value].verdict == -better for value in contrary)
            one_of = f"is not shown after correcting for {len(found.initial)} values" if firmly else "is not shown"
            return (
                f"{names[better]} is shown to be better than {names[-better]} at {axis} {_list(shown)}; at "
                f"{_list(contrary)} its {question.metric} is higher, but that {one_of}: there may be a crossover, and "
                f"more --runs or --requests would tell{gaps}"
            )
        if len(unsure) + len(unknown) < len(shown):
            rest = f", wherever a difference is shown (none is shown at {_list(unsure)})" if unsure else ""
            return f"{names[better]} is better than {names[-better]} {span}{rest}: no crossover{gaps}"
        return (
            f"{names[better]} is shown to be better than {names[-better]} only at {axis} {_list(shown)}, and worse "
            f"nowhere from {question.low:g} to {question.high:g}: no crossover{gaps}"
        )
    crossed = found.crossings
    parts = [f"{names[crossed[0].before]} is better up to"]
    for one in crossed:
        behind = names[-one.before]
        place = round(one.at) if question.whole else one.at
        parts.append(f"{axis} {place:.3g} ({one.low:.3g} to {one.high:.3g})")
        parts.append(f", {behind} above" if one is crossed[-1] else f", {behind} from there to")
    return " ".join(parts).replace(" ,", ",") + gaps


def _list(values: Sequence[float]) -> str:
    told = [f"{value:.3g}" for value in values[:6]]
    if len(values) > len(told):
        return f"{', '.join(told)}, …"
    return " and ".join([", ".join(told[:-1]), told[-1]]) if len(told) > 1 else told[0]
