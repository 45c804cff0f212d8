"""The options of a scheme: the parameters of its constructor, and the values that they may have."""

from __future__ import annotations

import inspect
import math
import re
import types
from collections.abc import Callable, Mapping
from datetime import date, time
from typing import Any, Literal, Union, get_args, get_origin

from collagebench.errors import CollagebenchError, UsageError
from collagebench.schemes.faults import brief, failure, is_own, place

SIMPLE = (bool, int, float, str)
"""The types of values that a profile can give."""
ADVICE = "annotate it with int, float, str, bool, a Literal of these, or one of these | None"

MadeBy = Callable[..., object]


def parameters_of(name: str, made_by: MadeBy) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of the class of the scheme called `name`, with their evaluated annotations.

    Raises:
        CollagebenchError: the signature or an annotation cannot be evaluated.
    """
    try:
        return inspect.signature(made_by, eval_str=True).parameters
    except Exception as error:
        raise _unread(name, made_by, error) from error


def check_options(name: str, made_by: MadeBy, options: Mapping[str, Any]) -> None:
    """Check that the scheme called `name` has all `options`, and may have their values.

    Raises:
        UsageError: an option is unknown, has a wrong value, or has no value at all.
        CollagebenchError: as `parameters_of`.
    """
    parameters = parameters_of(name, made_by)
    known = nameable(parameters)
    if taken := {"name", "variant"} & known.keys():
        raise UsageError(f"{name} has an option {min(taken)!r}, which is a key of every [[scheme]] table: rename it")
    for option, value in options.items():
        written = option.replace("_", "-")
        if option not in known:
            listed = ", ".join(sorted(known)).replace("_", "-") or "none"
            raise UsageError(f"scheme {name} has no option {written!r}; its options: {listed}")
        wanted = known[option].annotation
        if not _accepts(wanted, value):
            raise UsageError(f"{written} of scheme {name} cannot be {_shown(value)}; it takes {_takes(wanted)}")
        if isinstance(value, float) and not math.isfinite(value) and isinstance(made_by, type) and is_own(made_by):
            raise UsageError(
                f"{written} of scheme {name} cannot be {value}: an option is a finite number; if it may be never, "
                "annotate it with float | None, give it the default None, and leave it out"
            )
    for option, parameter in parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind not in _OTHERS
        if needed and option not in {*options} & known.keys():
            raise UsageError(
                f"the option `{option}` of scheme {name} has no default: every option needs one{_place(made_by)}"
            )


def nameable(parameters: Mapping[str, inspect.Parameter]) -> dict[str, inspect.Parameter]:
    """Return those of a constructor's parameters that can be passed by name, without `**others`."""
    return {key: one for key, one in parameters.items() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}


_OTHERS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _unread(name: str, made_by: MadeBy, error: Exception) -> CollagebenchError:
    """Return the error for a signature that cannot be evaluated; it names the option if the error names its part."""
    missing = getattr(error, "name", None)
    try:
        written = {key: str(one.annotation) for key, one in inspect.signature(made_by).parameters.items()}
    except Exception:
        written = {}
    mine = [key for key, text in written.items() if missing and re.search(rf"\b{re.escape(missing)}\b", text)]
    if not written:
        return failure(f"the scheme {name}", "when its options were read", error)
    whose = f"the option `{mine[0]}`" if mine else "an option"
    hint = "; import what it names at run time, not under TYPE_CHECKING" if mine else ""
    return CollagebenchError(
        f"the annotation of {whose} of scheme {name} cannot be evaluated: {type(error).__name__}: {error}"
        f"{_place(made_by)}{hint}"
    )


def _place(made_by: MadeBy) -> str:
    """Return the end of a message: where the constructor of a class is."""
    constructor: Any = made_by
    return place(made_by, constructor.__init__) if isinstance(made_by, type) else ""


def _accepts(kind: Any, value: Any) -> bool:
    """Return whether an option takes a value; `kind` is its evaluated annotation.

    Without one it takes any simple value.
    """
    parts = get_args(kind)
    if value is not None and not isinstance(value, SIMPLE):
        return False
    if kind is inspect.Parameter.empty or kind is Any:
        return True
    if get_origin(kind) is Literal:
        return any(type(value) is type(one) and value == one for one in parts)
    if get_origin(kind) in (Union, types.UnionType):
        return any(_accepts(one, value) for one in parts)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if parts or not isinstance(kind, type):
        return False
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _takes(kind: Any) -> str:
    """Return what an option with an annotation takes, for a message."""
    if kind is inspect.Parameter.empty or kind is Any:
        return "int, float, str or bool"
    if get_origin(kind) is Literal:
        return ", ".join(map(_shown, get_args(kind)))
    text = inspect.formatannotation(kind)
    return text if _is_possible(kind) else f"{text}, which no profile can give: {ADVICE}"


def _is_possible(kind: Any) -> bool:
    """Return whether a profile can give any value of an annotation."""
    if get_origin(kind) in (Union, types.UnionType):
        return any(map(_is_possible, get_args(kind)))
    return get_origin(kind) is Literal or kind in SIMPLE


def _shown(value: Any) -> str:
    """Return a value as a profile writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (date, time)) else brief(value)
