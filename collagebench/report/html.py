"""The report as one self-contained HTML file: no network, no fonts, and only a few lines of script.

The verdict comes first, then the figures, the plots, and the environment of the run. The page is complete without its
script; with it, values of the curves can be read with a pointer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from collagebench.report.alike import said_once
from collagebench.report.comparison import comparison
from collagebench.report.curves import cdf, curves_of, tail
from collagebench.report.document import document
from collagebench.report.figures import accuracy_table, figures, schemes_table, work_table
from collagebench.report.frame import Looks, dot, looks_in
from collagebench.report.gates import labelled
from collagebench.report.injection import injection
from collagebench.report.lanes import LEGEND, timelines
from collagebench.report.markup import Markup, join, tag
from collagebench.report.phases import phases
from collagebench.report.summary import bound_of
from collagebench.report.table import conditions
from collagebench.report.tradeoffs import against_accuracy, against_work
from collagebench.report.whiskers import accuracy, quantiles
from collagebench.results.reader import Run

Object = dict[str, Any]

FIRST = 5
"""The number of sentences after the first that are not folded."""
NOTES = 3
"""The number of notes that are not folded."""


def page(summary: Object, runs: Sequence[Run], names: Sequence[str]) -> str:
    """Return the whole page, from the object that `summarise` made of `runs`, whose names are `names`."""
    parts: list[Object] = summary.get("runs", [summary])
    looks = looks_in(parts)
    title = " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if len(names) < 4 else f"{len(names)} runs"
    several = len(parts) > 1
    body = [
        tag("header", tag("p", "collagebench report", class_="brand"), tag("h1", title), _verdicts(summary, parts)),
        legend(looks, any(bound_of(one["schemes"]) for one in parts)),
        tag("main", comparison(summary, parts, runs, looks) if several else None, _parts(parts, runs, names, looks)),
        tag("footer", tag("p", _made(parts))),
    ]
    return document(title, body, hiding(looks))


def _parts(parts: Sequence[Object], runs: Sequence[Run], names: Sequence[str], looks: Looks) -> list[Markup]:
    return [
        _part(f"r{place}", one, run, looks, name if len(parts) > 1 else None)
        for place, (one, run, name) in enumerate(zip(parts, runs, names, strict=True))
    ]


def _part(key: str, one: Object, run: Run, looks: Looks, name: str | None) -> Markup:
    """Return everything about one run; if it is one of several, it has a heading with its name."""
    level = "h3" if name else "h2"
    return tag(
        "section",
        [tag("h2", name), _verdict(one)] if name else None,
        tag(level, "Figures", class_="part"),
        figures(one, looks),
        tag("details", tag("summary", "What each scheme does, and its settings"), schemes_table(one, looks)),
        tag("details", tag("summary", "Answers by source"), accuracy_table(one, looks)),
        tag("details", tag("summary", "Work"), work_table(one, looks)),
        tag(level, "Plots", class_="part"),
        tag("div", _plots(key, one, run, looks), class_="plots"),
        _slowest(key, run, looks, level),
        tag(level, "Made with", class_="part"),
        _made_with(one),
        class_="run",
    )


def _verdicts(summary: Object, parts: Sequence[Object]) -> Markup:
    """Return the verdict of one run, or short verdicts of several."""
    if len(parts) == 1:
        return _verdict(parts[0])
    return tag(
        "div",
        tag("p", badge(summary["valid"], "all VALID", "not all VALID")),
        [
            [
                tag("h2", one["name"], " ", badge(one["valid"])),
                [tag("p", sentence(text)) for text in one["verdict"][:1]],
            ]
            for one in parts
        ],
        class_="verdict",
    )


def _verdict(one: Object) -> Markup:
    """Return the badge, the sentences of the verdict, reasons, gates and notes."""
    sentences = one["verdict"]
    firm = [("because", reason) for reason in said_once(one, "reasons")]
    firm += map(labelled, one.get("gates", []))
    return tag(
        "div",
        tag("p", badge(one["valid"])),
        tag("p", sentence(sentences[0]), class_="lead") if sentences else None,
        rest(sentences[1:], FIRST, "The other schemes"),
        noted(firm, said_once(one, "warnings")),
        tag("p", conditions(one), class_="conditions"),
        class_="verdict",
    )


def noted(firm: Sequence[tuple[str, str]], warnings: Sequence[str]) -> list[Markup]:
    """Return what must be seen, as pairs of kind and text, and the warnings; those after the first few are folded."""
    notes = [("note", text) for text in warnings]
    shown, folded = [*firm, *notes[:NOTES]], notes[NOTES:]
    first, more = (
        tag("ul", [tag("li", tag("b", kind), " ", sentence(text)) for kind, text in some], class_="notes")
        for some in (shown, folded)
    )
    title = f"{len(folded)} more note{'s' if len(folded) > 1 else ''}"
    unfolded = [tag("details", tag("summary", title), more)] if folded else []
    return [first, *unfolded] if shown else unfolded


def rest(sentences: Sequence[str], most: int, title: str) -> list[Markup]:
    """Return a list of the sentences after the first; those after `most` of them are folded, below `title`."""
    shown, folded = (
        tag("ul", [tag("li", sentence(text)) for text in some], class_="rest")
        for some in (sentences[:most], sentences[most:])
    )
    more = [tag("details", tag("summary", title), folded)] if sentences[most:] else []
    return [shown, *more] if sentences else []


def sentence(text: str) -> list[str]:
    """Return the parts of a sentence, with command-line options marked as code."""
    parts = re.split(r"((?<![\w-])--[a-z][a-z-]*)", text)
    return [tag("code", part) if place % 2 else part for place, part in enumerate(parts)]


def badge(valid: bool, yes: str = "VALID", no: str = "INVALID") -> Markup:
    """Return VALID or INVALID as a coloured badge."""
    return tag("span", yes if valid else no, class_="badge valid" if valid else "badge invalid")


def _plots(key: str, one: Object, run: Run, looks: Looks) -> list[Markup | None]:
    curves = curves_of(run, looks)
    return [
        cdf(f"{key}-cdf", curves) if curves else None,
        tail(f"{key}-tail", curves) if curves else None,
        against_accuracy(f"{key}-accuracy-p99", one, looks),
        against_work(f"{key}-work-p99", one, looks),
        phases(f"{key}-phases", one, looks),
        quantiles(f"{key}-quantiles", one, looks),
        *accuracy(f"{key}-accuracy", one, looks),
        injection(f"{key}-injection", run),
    ]


def _slowest(key: str, run: Run, looks: Looks, level: str) -> Markup | None:
    """Return the plot of each scheme's slowest request, and those of the next slowest, folded."""
    plots = timelines(f"{key}-slow", run, looks)
    if not plots:
        return None
    others = [plot for of_scheme in plots for plot in of_scheme[1:]]
    more = tag("details", tag("summary", "The next slowest"), tag("div", others, class_="plots"))
    return join(
        [
            tag(level, "Around the slowest request of each scheme", class_="part"),
            tag("p", LEGEND, class_="note"),
            tag("div", [of_scheme[0] for of_scheme in plots], class_="plots"),
            more if others else None,
        ]
    )


def _made_with(one: Object) -> Markup:
    """Return the environment as a list, and the config and the rest folded."""
    environment = one["environment"]
    simple = {name: value for name, value in environment.items() if not isinstance(value, (dict, list))}
    facts = {
        "engine": one["engine"],
        "status": one["status"],
        "tool": one["tool"],
        "made": one["created_utc"],
        **simple,
    }
    shown = [tag("div", tag("dt", _fact(name)), tag("dd", _said(name, value))) for name, value in facts.items()]
    whole = {
        "Config": one["config"],
        "Environment": environment,
        "Models": one["models"],
        "Hosts": one["hosts"],
    }
    folded = [
        tag("details", tag("summary", name), tag("pre", json.dumps(value, indent=1, ensure_ascii=False), tabindex="0"))
        for name, value in whole.items()
        if value
    ]
    return join([tag("dl", shown, class_="facts"), folded])


def _fact(name: str) -> str:
    return name.removesuffix("_bytes").replace("_", " ")


def _said(name: str, value: Any) -> str:
    if value is None:
        return "not known"
    return f"{value / 2**30:.1f} GiB" if name.endswith("_bytes") and isinstance(value, (int, float)) else str(value)


def legend(looks: Looks, bound: bool) -> Markup:
    """Return the names and colours of the schemes, with checkboxes that hide a scheme in every plot."""
    entries = [
        tag(
            "label",
            tag("input", type="checkbox", checked=True, id=f"show-{look.number}"),
            swatch(look.colour, look.shape),
            tag("span", name, title=name),
        )
        for name, look in looks.items()
    ]
    if bound:
        entries.append(tag("p", swatch("bound"), "bound: the same arrivals without stragglers"))
    return tag("div", entries, class_="legend", role="group", aria_label="Schemes shown in the plots")


def swatch(classes: str, shape: str | None = None) -> Markup:
    """Return a sample of a line, and of a dot of this shape if one is given."""
    width = 40 if shape else 26
    drawn = [tag("path", d="M0 5h26", class_="curve"), dot(34, 5, shape) if shape else None]
    return tag("svg", drawn, class_=classes, viewBox=f"0 0 {width} 10", width=width, height=10, aria_hidden="true")


def hiding(looks: Looks) -> str:
    """Return the style rules by which a checkbox hides its scheme, without a script."""
    return "".join(
        f"body:has(#show-{look.number}:not(:checked)) :is(figure,.lanes) .scheme-{look.number}{{display:none}}\n"
        for look in looks.values()
    )


def _made(parts: Sequence[Object]) -> str:
    tools = " and ".join(dict.fromkeys(str(one["tool"]) for one in parts if one["tool"]))
    return f"Made from records of {tools or 'an unknown tool'}. This file is complete: it loads nothing."
