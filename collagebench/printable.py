"""Text from files and arguments, made safe to print: it cannot control a terminal, or reorder what is read there."""

from __future__ import annotations

import re

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and newline, line separators, characters that change the direction of writing, and
halves of characters."""


def printable(text: str) -> str:
    """Return a text with its control characters written as escapes, such as \\x1b."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
