"""Reasons and notes that differ in nothing but whom or where they are about, and in their numbers, said once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

NUMBER = re.compile(r"(?<![\w.=/-])(?<!worker )(?<!run )(?<!seed )\d+(?:,\d{3})*(?:\.\d+)?(?!\.?\d)")
"""A number that measures something: none in a name, nor one that is a name."""


def gathered(said: Sequence[tuple[str, str]]) -> list[tuple[list[str], str]]:
    """Return texts with all those that they are about, in the order of the first of each.

    `said` is whom or where a text is about, and the text: texts that differ in their numbers alone are one, with the
    least and the largest of these. What is about nobody ("") is left as it is.
    """
    found: dict[tuple[str, int], tuple[list[str], list[str]]] = {}
    for place, (whose, text) in enumerate(said):
        names, texts = found.setdefault((NUMBER.sub("#", text), -1 if whose else place), ([], []))
        names.append(whose)
        texts.append(text)
    return [(names, _ranged(texts)) for names, texts in found.values()]


def _ranged(texts: Sequence[str]) -> str:
    columns = iter(list(zip(*(NUMBER.findall(text) for text in texts), strict=True)))

    def ends(_: re.Match[str]) -> str:
        values = sorted(next(columns), key=lambda value: float(value.replace(",", "")))
        return values[0] if values[0] == values[-1] else f"{values[0]} to {values[-1]}"

    return NUMBER.sub(ends, texts[0])


def of_schemes(texts: Sequence[str], variants: Sequence[str]) -> list[str]:
    """Return what is said of several schemes once: `texts` begin with the name of the scheme, if they are about one."""
    return [
        f"{_each(names)}{text}"
        for names, text in gathered([(name, text.removeprefix(f"{name}: ")) for name, text in _owned(texts, variants)])
    ]


def said_once(one: dict[str, Any], what: str) -> list[str]:
    """Return the `reasons` or the `warnings` of a run's summary, those alike of several schemes as one."""
    return of_schemes(one[what], [scheme["variant"] for scheme in one["schemes"]])


def _owned(texts: Sequence[str], variants: Sequence[str]) -> list[tuple[str, str]]:
    return [(next((name for name in variants if text.startswith(f"{name}: ")), ""), text) for text in texts]


def _each(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{names[0]}: " if names[0] else ""
    return f"each of {', '.join(names[:-1])} and {names[-1]}: "


def across(said: Sequence[tuple[str, str]], variants: Sequence[str]) -> list[tuple[list[str], str]]:
    """Return what is said in several experiments once, with their names; schemes stay apart.

    `said` is the name of an experiment and a text, as in `of_schemes`.
    """
    by_scheme: dict[str, list[tuple[str, str]]] = {}
    for (name, text), (whose, _) in zip(said, _owned([text for _, text in said], variants), strict=True):
        by_scheme.setdefault(whose, []).append((name, text.removeprefix(f"{whose}: ")))
    return [
        (names, f"{whose}: {text}" if whose else text)
        for whose, mine in by_scheme.items()
        for names, text in gathered(mine)
    ]


def of_cells(said: Sequence[tuple[str, str]], variants: Sequence[str]) -> list[tuple[list[str], str]]:
    """Return what `across` does, and once for the schemes of which it is said in the same cells."""
    found: dict[tuple[str, ...], list[str]] = {}
    for cells, text in across(said, variants):
        found.setdefault(tuple(dict.fromkeys(cells)), []).append(text)  # one may say it twice
    return [(list(cells), text) for cells, texts in found.items() for text in of_schemes(texts, variants)]
