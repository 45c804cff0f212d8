"""Kinds of values that options take: one or several, seconds or a word, a number of answers."""

from __future__ import annotations

import os
from typing import Any

import click

from collagebench.config import ANSWERS
from collagebench.errors import UsageError
from collagebench.study.grid import several


def seconds_or_word(text: str) -> str | float:
    """Return a number as a float, and anything else as it is; the scheme checks whether the word is valid."""
    try:
        return float(text)
    except ValueError:
        return text


class Several(click.ParamType):  # type: ignore[type-arg, unused-ignore] # generic in newer versions of click
    """A parameter type for one value of a kind, or several separated by commas, which become a tuple."""

    def __init__(self, kind: Any) -> None:
        self._kind = click.types.convert_type(kind)
        self.name = self._kind.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value, or a tuple of values."""
        if not isinstance(value, str) or "," not in value or os.path.isfile(value):
            try:
                return self._kind.convert(value, param, ctx)
            except click.BadParameter as error:
                self.fail(f"{error.message.rstrip('.')}; separate several values by commas, as in 1,2,3", param, ctx)
        said = str(param.opts[0] if param else self.name)
        found = [self._one(text.strip(), said, param, ctx) for text in value.split(",")]
        return several(found, said)

    def _one(self, text: str, said: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not text:
            raise UsageError(f"{said} has a comma with no value before or after it")
        return self._kind.convert(text, param, ctx)


INT, FLOAT, TEXT = Several(int), Several(float), Several(str)


def flat(context: click.Context, parameter: click.Parameter, names: tuple[Any, ...]) -> tuple[str, ...]:
    """Return the names of a repeatable option, each of which may be a tuple of several, as one tuple."""
    return tuple(name for part in names for name in (part if isinstance(part, tuple) else (part,)))


def number_of_answers(text: str) -> int:
    """Read a number, `all` or `none`."""
    try:
        return ANSWERS[text] if text in ANSWERS else int(text)
    except ValueError:
        raise UsageError(f"--accuracy must be all, none or a number of answers from 0 up, not {text!r}") from None
