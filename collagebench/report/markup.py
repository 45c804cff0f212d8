"""HTML and SVG built from nested calls, so that text cannot become markup.

A run directory may come from anybody, and names in it may contain `<script>`. So there is only one way to put text into
a page: `tag`, which escapes every text that is not the result of another `tag`.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

Content = str | int | float | None | Iterable[Any]
"""The content of an element: text, a number, nothing, or several of these."""
VOID = frozenset({"meta", "input", "br"})
"""HTML elements without an end tag."""


class Markup(str):
    """Text that is already markup, and is not escaped."""

    __slots__ = ()


def tag(name: str, /, *contents: Content, **attributes: str | float | bool | None) -> Markup:
    """Return the element `name` with `contents`; text is escaped, and None is left out.

    `class_` means class, and `stroke_width` stroke-width. An attribute that is None or False is left out; one that is
    True has no value. Numbers are written with at most one decimal, which is enough for pixels.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    start = f"<{name}{written}>"
    return Markup(start if name in VOID else f"{start}{join(contents)}</{name}>")


def join(contents: Iterable[Content]) -> Markup:
    """Concatenate contents; text is escaped."""
    parts: list[str] = []
    for content in contents:
        if content is None:
            continue
        if isinstance(content, Markup):
            parts.append(content)
        elif isinstance(content, str):
            parts.append(escape(_printable(content), quote=False))
        elif isinstance(content, (int, float)):
            parts.append(number(content))
        else:
            parts.append(join(content))
    return Markup("".join(parts))


def number(value: float) -> str:
    """Return a number with at most one decimal."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    key = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {key}"
    text = value if isinstance(value, str) else number(value)
    return f' {key}="{escape(_printable(text))}"'


def _printable(text: str) -> str:
    """Replace control characters and lone surrogates, which a page must not contain."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if (c < " " and c not in "\n\t") or "\ud800" <= c <= "\udfff" or c == "\x7f" else c
        for c in text
    )
