"""Merging of reasons and notes that differ only in their subject (a scheme, a cell) and in their numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

NUMBER = re.compile(r"(?<![\w.=/-])(?<!worker )(?<!run )(?<!seed )\d+(?:,\d{3})*(?:\.\d+)?(?!\.?\d)")
"""A number that is a measurement: not part of a name, nor the number of a worker, a run or a seed."""


def gathered(said: Sequence[tuple[str, str]]) -> list[tuple[list[str], str]]:
    """Return merged texts with all their subjects, in the order of their first occurrence.

    `said` holds pairs of a subject and a text. Texts that differ only in their numbers become one, with the least and
    the largest number. Texts without a subject ("") are not merged.
    """
    return [(names, _ranged(texts)) for names, texts in _alike(said)]


def _alike(said: Sequence[tuple[str, str]]) -> list[tuple[list[str], list[str]]]:
    """Return the subjects and the texts of each group of texts that `gathered` merges."""
    found: dict[tuple[str, int], tuple[list[str], list[str]]] = {}
    for place, (whose, text) in enumerate(said):
        names, texts = found.setdefault((NUMBER.sub("#", text), -1 if whose else place), ([], []))
        names.append(whose)
        texts.append(text)
    return list(found.values())


def _ranged(texts: Sequence[str]) -> str:
    columns = iter(list(zip(*(NUMBER.findall(text) for text in texts), strict=True)))

    def ends(_: re.Match[str]) -> str:
        values = sorted(next(columns), key=lambda value: float(value.replace(",", "")))
        return values[0] if values[0] == values[-1] else f"{values[0]} to {values[-1]}"

    return NUMBER.sub(ends, texts[0])


def of_schemes(texts: Sequence[str], variants: Sequence[str]) -> list[str]:
    """Merge texts about several schemes; a text about a scheme begins with its name."""
    return [
        f"{_each(list(dict.fromkeys(names)))}{text}"
        for names, text in gathered([(name, text.removeprefix(f"{name}: ")) for name, text in _owned(texts, variants)])
    ]


def said_once(one: dict[str, Any], what: str) -> list[str]:
    """Return the `reasons` or the `warnings` of a run's summary, merged over its schemes."""
    return of_schemes(one[what], [scheme["variant"] for scheme in one["schemes"]])


def _owned(texts: Sequence[str], variants: Sequence[str]) -> list[tuple[str, str]]:
    return [(next((name for name in variants if text.startswith(f"{name}: ")), ""), text) for text in texts]


def _each(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{names[0]}: " if names[0] else ""
    return f"each of {', '.join(names[:-1])} and {names[-1]}: "


def across(said: Sequence[tuple[str, str]], variants: Sequence[str]) -> list[tuple[list[str], str]]:
    """Merge texts from several experiments, and return them with the experiments' names; schemes are not merged.

    `said` holds pairs of an experiment's name and a text, as in `of_schemes`.
    """
    return [
        (names, f"{whose}: {_ranged(texts)}" if whose else _ranged(texts))
        for whose, names, texts in _of_each(said, variants)
    ]


def of_cells(said: Sequence[tuple[str, str]], variants: Sequence[str]) -> list[tuple[list[str], str]]:
    """Merge as `across` does, and also over schemes whose texts occur in the same cells."""
    found: dict[tuple[str, ...], list[str]] = {}
    for whose, cells, texts in _of_each(said, variants):
        own = [f"{whose}: {text}" for text in texts] if whose else [_ranged(texts)]
        found.setdefault(tuple(dict.fromkeys(cells)), []).extend(own)  # a cell may say it twice
    return [(list(cells), text) for cells, texts in found.items() for text in of_schemes(texts, variants)]


def _of_each(said: Sequence[tuple[str, str]], variants: Sequence[str]) -> list[tuple[str, list[str], list[str]]]:
    """Return for each scheme ("" for none) the texts that differ only in their numbers, with their experiments."""
    by_scheme: dict[str, list[tuple[str, str]]] = {}
    for (name, text), (whose, _) in zip(said, _owned([text for _, text in said], variants), strict=True):
        by_scheme.setdefault(whose, []).append((name, text.removeprefix(f"{whose}: ")))
    return [(whose, names, texts) for whose, mine in by_scheme.items() for names, texts in _alike(mine)]
