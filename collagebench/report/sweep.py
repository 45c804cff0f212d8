"""The report of a sweep as one JSON object: its axes, the report of each cell, and findings along the axes.

Many sweeps are meant to find where a scheme cannot sustain the load. Where a queue grows without limit, the scheme is
marked unstable in that cell; the cell's other figures are not affected. So such a cell does not make the sweep INVALID.
Everything else that makes a run INVALID does, and so does a cell that is not done, or lacks runs that are being added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collagebench.config import option
from collagebench.report import gates
from collagebench.report.alike import of_cells
from collagebench.report.expression import Gate
from collagebench.report.summary import SCHEMA, failing, finite, summarise
from collagebench.report.tails import tail_of
from collagebench.results.directory import HEADER
from collagebench.results.labels import labels
from collagebench.results.reader import load
from collagebench.results.sweep import Sweep, read_sweep
from collagebench.statistics.best import Figure, fastest

Object = dict[str, Any]
NAMED, ALIKE = 4, 2
"""The most cells, and the most schemes that are not told apart, that a sentence names."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The cells along one axis, with the other axes fixed."""

    axis: Object
    fixed: tuple[tuple[str, str], ...]
    """Option and label of each of the other axes."""
    cells: tuple[tuple[str, Object | None], ...]
    """Label and cell for each value of the axis, in order; the cell is None if it is missing."""


def summarise_sweep(directory: Path, baseline: str | None = None, slo_ms: float | None = None) -> Object:
    """Return the report of a sweep as plain JSON values.

    A cell is valid unless there are other reasons against its figures than that schemes are unstable.

    Raises:
        DataError: the sweep or one of its cells cannot be read.
        UsageError: there is no scheme called `baseline`.
    """
    sweep = read_sweep(directory)
    cells: list[Object] = []
    missing: list[str] = []
    for name, values in sweep.cells.items():
        if not (directory / name / HEADER).exists():
            missing.append(name)
            continue
        one = summarise([load(directory / name)], baseline, slo_ms)
        firm = _firm_reasons(one)
        one |= {"valid": not firm, "reasons": firm}
        own = {option(axis): value for axis, value in values.items()}
        cells.append({"name": name, "values": own, "fastest": _fastest(one), **one})
    axes = [
        {"option": option(name), "values": list(values), "labels": labels(values)}
        for name, values in sweep.axes.items()
    ]
    studied = {"axes": axes, "cells": cells}
    reasons = _reasons(sweep, missing, studied)
    found = {
        "schema": SCHEMA,
        "valid": not reasons,
        "reasons": reasons,
        "warnings": _warnings(studied),
        "status": sweep.status,
        "engine": sweep.engine,
        "created_utc": sweep.created_utc,
        "axes": axes,
        "missing": missing,
        "cells": cells,
    }
    whole: Object = finite({**found, "findings": findings(found)})
    return whole


def apply_gates(summary: Object, fail_if: Sequence[Gate]) -> bool:
    """Add the outcome of each gate in each cell to the summary; return whether any failed."""
    together: Object = {"runs": summary["cells"]}
    failed = gates.apply(together, fail_if)
    summary["gates"] = together["gates"]
    return failed


def _firm_reasons(cell: Object) -> list[str]:
    """Return why the figures of a cell cannot be trusted, other than that schemes are unstable."""
    known = {reason for scheme in cell["schemes"] for reason in scheme["unstable"]}
    return [reason for reason in cell["reasons"] if reason not in known]


def slices(summary: Object, axis: Object) -> Iterator[Slice]:
    """Yield the cells along `axis`, once for every combination of the other axes."""
    others = [other for other in summary["axes"] if other is not axis]
    found: dict[tuple[tuple[str, str], ...], dict[str, Object]] = {}
    for cell in summary["cells"]:
        fixed = tuple((other["option"], label_of(other, cell)) for other in others)
        found.setdefault(fixed, {})[label_of(axis, cell)] = cell
    for fixed, cells in found.items():
        yield Slice(axis, fixed, tuple((label, cells.get(label)) for label in axis["labels"]))


def label_of(axis: Object, cell: Object) -> str:
    """Return the label of a cell's value on an axis."""
    label: str = axis["labels"][axis["values"].index(cell["values"][axis["option"]])]
    return label


def variants(summary: Object) -> list[str]:
    """Return the variants of all cells, in order."""
    return list(dict.fromkeys(scheme["variant"] for cell in summary["cells"] for scheme in cell["schemes"]))


def scheme_of(cell: Object | None, variant: str) -> Object | None:
    """Return a scheme's entry in a cell; None if the cell has no complete run of it."""
    schemes = cell["schemes"] if cell else []
    return next((scheme for scheme in schemes if scheme["variant"] == variant and scheme["runs"]), None)


def findings(summary: Object) -> list[str]:
    """Return sentences about the axes: which scheme is fastest where, and which cannot sustain the load."""
    if not summary["cells"] or len(variants(summary)) < 2:
        return []
    found = []
    longest = _longest(summary)
    for part in slices(summary, longest):
        where = "".join(f"{name} {label}, " for name, label in part.fixed)
        spans = _spans([(label, tuple(cell["fastest"])) for label, cell in part.cells if cell])
        said = [f"{_named(best)} {_at(longest, span)}" for best, span in spans if best]
        if said:
            found.append(f"{where}lowest p99: {'; '.join(said)}")
        endless = _spans([(label, _endless(cell)) for label, cell in part.cells if cell])
        at = ", ".join(_at(longest, span) for so, span in endless if so)
        if at:
            found.append(f"{where}no scheme has a finite p99 {at}: too many requests fail")
        for variant in variants(summary):
            marked = [(label, failing(scheme)) for label, cell in part.cells if (scheme := scheme_of(cell, variant))]
            spans_ = _spans(marked)
            for what in dict.fromkeys(what for what, _ in spans_ if what):
                at = ", ".join(_at(longest, span) for why, span in spans_ if why == what)
                found.append(f"{where}{variant} {what} {at}")
    return found


def _spans(marked: Sequence[tuple[str, Any]]) -> list[tuple[Any, list[str]]]:
    """Merge neighbours with equal values; return the values and the neighbours' labels."""
    found: list[tuple[Any, list[str]]] = []
    for label, what in marked:
        if found and found[-1][0] == what:
            found[-1][1].append(label)
        else:
            found.append((what, [label]))
    return found


def _numeric(axis: Object) -> bool:
    return all(isinstance(value, (int, float)) for value in axis["values"])


def _at(axis: Object, span: Sequence[str]) -> str:
    if len(span) > 1 and _numeric(axis):
        return f"from {axis['option']} {span[0]} to {span[-1]}"
    return f"at {axis['option']} {' and '.join(span)}"


def _named(best: Sequence[str]) -> str:
    """Return the name of the best, or of some if they are not told apart."""
    more = len(best) - ALIKE
    if more > 1:
        return f"{', '.join(best[:ALIKE])} or {more} more (not told apart)"
    return best[0] if len(best) == 1 else f"{', '.join(best[:-1])} or {best[-1]} (not told apart)"


def _endless(cell: Object) -> bool:
    """Return whether no scheme has a finite p99, and one that is not unstable has an infinite one."""
    p99 = [None if scheme["unstable"] else "p99" in scheme["infinite"] for scheme in cell["schemes"]]
    return any(p99) and False not in p99


def _fastest(one: Object) -> list[str]:
    """Return the schemes with the lowest p99, without unstable ones; empty if the cell is not done."""
    if one["status"] != "done" or len({tuple(scheme["by_run"]["run"]) for scheme in one["schemes"]}) > 1:
        return []  # schemes met different runs
    figures = {
        scheme["variant"]: Figure(
            scheme["latency_s"]["p99"],
            [float("inf") if p99 is None else p99 for p99 in scheme["by_run"]["p99_s"]],
            tail_of(scheme, "p99"),
        )
        for scheme in one["schemes"]
        if scheme["latency_s"]["p99"] is not None and not scheme["unstable"]
    }
    return sorted(fastest(figures, one["minimum_effect"]["latency"]))


def _reasons(sweep: Sweep, missing: Sequence[str], found: Object) -> list[str]:
    reasons = []
    if missing:
        shown = ", ".join(missing[:NAMED]) + (f" and {len(missing) - NAMED} more" if len(missing) > NAMED else "")
        why = f", because the sweep failed ({sweep.error})" if sweep.error else ""
        reasons.append(
            f"{len(missing)} of {len(sweep.cells)} cells are not done{why}: continue with --resume ({shown})"
        )
    runs, fewer = _with_fewer_runs(sweep, found["cells"])
    if fewer:
        names, more = _cells(found, fewer), f"continue with --resume --runs {runs}"
        reasons.append(f"{names}: fewer than {runs} runs, because runs are being added: {more}")
    said = [(cell["name"], reason) for cell in found["cells"] for reason in cell["reasons"]]
    return reasons + _once(found, said)


def _with_fewer_runs(sweep: Sweep, cells: Sequence[Object]) -> tuple[int, list[str]]:
    """Return how many runs the sweep, or one of its cells, is to have, and the names of the cells that have fewer.

    There are none if the number of runs is an axis.
    """
    asked = sweep.values.get("runs")
    if "runs" in sweep.axes or isinstance(asked, list):
        return 0, []
    has = {cell["name"]: cell["config"].get("runs", 0) for cell in cells}
    most = max([asked or 0, *has.values()])
    return most, [name for name, runs in has.items() if runs < most]


def _warnings(found: Object) -> list[str]:
    """Return the cells' warnings, merged; those about a scheme that is unstable in the cell are left out."""
    said = []
    for cell in found["cells"]:
        unstable = tuple(f"{scheme['variant']}: " for scheme in cell["schemes"] if scheme["unstable"])
        said += [(cell["name"], text) for text in cell["warnings"] if not (unstable and text.startswith(unstable))]
    return _once(found, said)


def _once(found: Object, said: Sequence[tuple[str, str]]) -> list[str]:
    """Merge texts from several cells; a text has the cells' names in front, unless it is from all cells."""
    merged = of_cells(said, variants(found))
    return [text if len(names) == len(found["cells"]) else f"{_cells(found, names)}: {text}" for names, text in merged]


def _cells(found: Object, names: Sequence[str]) -> str:
    """Return the names of some cells, merged along one axis, as in `utilisation=0.1 to 0.5 with stragglers=pareto`."""
    longest = _longest(found)
    told = []
    for part in slices(found, longest):
        place = {label: number for number, (label, cell) in enumerate(part.cells) if cell and cell["name"] in names}
        if not place:
            continue
        labels = list(place)
        row = len(labels) > 2 and _numeric(longest) and place[labels[-1]] - place[labels[0]] == len(labels) - 1
        span = f"{labels[0]} to {labels[-1]}" if row else ", ".join(labels)
        values = {longest["option"]: span, **dict(part.fixed)}
        said = " with ".join(f"{axis['option']}={values[axis['option']]}" for axis in found["axes"])
        told.append((said, len(labels)))
    more = sum(count for _, count in told[NAMED:])
    shown = "; ".join(text for text, _ in told[:NAMED])
    return f"{shown} and {more} more cells" if more else shown


def _longest(summary: Object) -> Object:
    """Return the axis that sentences are about: the one with the most values, if possible a numeric one."""
    axis: Object = max(summary["axes"], key=lambda axis: (_numeric(axis), len(axis["values"])))
    return axis
