"""The line of each key in a TOML file, which the standard library's parser does not report.

The text is known to be valid TOML, so nothing is checked: it is read key by key, and values are skipped. A skipped
value ends at the end of its line, unless a bracket or a multi-line string is still open.

A key is identified by its path in the parsed data, its `Way`: ("scheme", 1, "grid") is the key `grid` of the second
[[scheme]] table.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Way = tuple[str | int, ...]

DEEPEST = 100
"""The most parts of a key."""

_BASIC, _LITERAL = r'"(?:\\.|[^"\\\n])*"', r"'[^'\n]*'"
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_NAME = rf"(?:[\w-]+|{_BASIC}|{_LITERAL})"
_PART = re.compile(rf"[\s\[{{]*{_NAME}[\s\]]*")
_KEY = re.compile(rf"{_NAME}(?:[ \t]*\.[ \t]*{_NAME})*")
_VALUE = re.compile(
    r'"""(?:\\.|(?!""")[^\\])*"""(?:"{0,2})'  # a multi-line string may itself end in one or two quotes
    r"|'''(?:(?!''').)*'''(?:'{0,2})"
    rf"|{_BASIC}|{_LITERAL}|#[^\n]*|[\[{{]|[\]}}]|\n|[^\"'#\[\]{{}}\n]+",
    re.DOTALL,
)


def key_lines(text: str) -> dict[Way, int]:
    """Return the line, from 1, of every key and table of `text`, which must be valid TOML.

    The line of a table is the first that names it. Keys inside the brackets of a value have no entry.
    """
    lines: dict[Way, int] = {}
    elements: dict[Way, int] = {}
    """The index of the latest table in each array of tables."""
    table: Way = ()
    place, line, seen = 0, 1, 0

    def resolved(way: Way, names: list[str]) -> Way:
        for name in names:
            way = (*way, name)
            lines.setdefault(way, line)
            if way in elements:
                way = (*way, elements[way])
        return way

    while (place := _end(_SPACE, text, place)) < len(text):
        line, seen = line + text.count("\n", seen, place), place
        brackets = 2 if text.startswith("[[", place) else 1 if text[place] == "[" else 0
        place = _end(_SPACE, text, place + brackets)
        end = _end(_KEY, text, place)
        names = _names(text[place:end])
        if brackets == 2:
            array = (*resolved((), names[:-1]), names[-1])
            elements[array] = elements.get(array, -1) + 1
            table = (*array, elements[array])
            lines.setdefault(array, line)
        elif brackets:
            table = resolved((), names)
        else:
            resolved(table, names)
        lines.setdefault(table, line)
        place = _skip(text, end)
    lines.pop((), None)
    return lines


def too_deep(text: str) -> int | None:
    """Return the line of a key with more than DEEPEST parts, if there is one, in text that need not be valid TOML.

    A parser's time grows with the square of the number. No dot of a key follows another, and a comma or a # can only be
    within quotes. Between its dots are single words, unlike those of a text.
    """
    for number, line in enumerate(text.split("\n"), 1):
        for piece in re.split(r"[,=#]|\.\.", line):
            parts = piece.split(".") if piece.count(".") >= DEEPEST else []
            if sum(_PART.fullmatch(part) is not None for part in parts) >= DEEPEST:
                return number
    return None


def line_of(lines: Mapping[Way, int], *way: str | int) -> int | None:
    """Return the line of a key, or of the innermost enclosing table or key that has one."""
    return next((lines[way[:n]] for n in range(len(way), 0, -1) if way[:n] in lines), None)


def _end(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return found.end() if found else place


def _names(key: str) -> list[str]:
    """Return the parts of a dotted key, without their quotes."""
    inner, names = tomllib.loads(f"{key} = 0"), []
    while isinstance(inner, dict):
        ((name, inner),) = inner.items()
        names.append(name)
    return names


def _skip(text: str, place: int) -> int:
    """Return the end of the statement whose key ends at `place`."""
    depth = 0
    while found := _VALUE.match(text, place):
        place = found.end()
        token = found.group()
        depth += (token in "[{") - (token in "]}")
        if token == "\n" and depth <= 0:
            break
    return place
