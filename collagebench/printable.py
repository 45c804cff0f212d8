"""Text from files and arguments, made safe to print: it cannot control a terminal, or reorder what is read there."""

from __future__ import annotations

import re

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and newline, line separators, characters that change the direction of writing, and
halves of characters."""
WORD = re.compile(r"([^\s/]{60})[^\s/]{176,}([^\s/]{20})")
"""A word longer than any file's name, and so no part of a path: its beginning and its end are kept."""
LINE = re.compile("(.{1000}).{500,}(.{500})")


def printable(text: str) -> str:
    """Return a text with its control characters written as escapes, such as \\x1b."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_toml(text: str) -> str:
    """Return the text of a TOML file with its control characters written as escapes of TOML, such as \\u009b."""
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shortened(text: str) -> str:
    """Return a message without the middle of words, and of lines, that are thousands of characters long."""
    return LINE.sub(r"\1…\2", WORD.sub(r"\1…\2", text))
