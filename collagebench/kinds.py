"""JSON files that users hand over, and the kinds of values in them: what is wrong is said in words for a user."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collagebench.ordinary import ordinary

FINITE = sys.float_info.max
"""Whole numbers up to this can be converted to floats."""
LARGEST = 2**53
"""Whole numbers up to this are exact in every program that reads JSON."""


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number, not too large for a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= FINITE


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "text": ("a string", lambda value: isinstance(value, str)),
    "name": ("a non-empty string", lambda value: isinstance(value, str) and value != ""),
    "truth": ("true or false", lambda value: isinstance(value, bool)),
    "float": ("a number", lambda value: isinstance(value, float) or is_number(value)),
    "number": ("a number", is_number),
    "amount": ("a number from 0 up", lambda value: is_number(value) and value >= 0),
    "positive": ("a number above 0", lambda value: is_number(value) and value > 0),
    "share": ("a number from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1),
    "whole": ("a whole number", lambda value: type(value) is int and is_number(value)),
    "count": ("a whole number from 0 up", _is_count),
    "seed": ("a whole number from 0 up", lambda value: type(value) is int and value >= 0),
    "some": ("a whole number from 1 up", lambda value: _is_count(value) and value > 0),
    "object": ("an object", lambda value: isinstance(value, dict)),
}
"""What a value of each kind must be, in words and as a test; a kind followed by `?` may also be null."""


def shown(value: Any) -> str:
    """Return a value of a JSON file for a message, shortened."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"


def read_json(path: Path) -> Any:
    """Return the content of a JSON file in UTF-8.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON that can be printed again; the message says why.
    """
    try:
        text = ordinary(path).read_text(encoding="utf-8-sig")
        data = json.loads(text)
        json.dumps(data, ensure_ascii=False).encode()  # fails for a lone surrogate, which could not be printed
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} is not JSON") from None
    except UnicodeError:
        raise ValueError("its text is not valid Unicode") from None
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None
    except ValueError:  # from `int`
        raise ValueError("a number in it has thousands of digits") from None
    return data
