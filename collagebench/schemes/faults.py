"""Error messages for a scheme that fails or breaks a rule of `protocol`: one sentence with its name, file and line.

The author of the scheme reads the message and can fix the scheme, so it never counts as an internal error of the tool.
"""

from __future__ import annotations

import inspect
import math
import reprlib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from collagebench.errors import CollagebenchError, UsageError
from collagebench.kinds import FINITE

Result = TypeVar("Result")
PACKAGE = __name__.partition(".")[0]
PROTOCOL = Path(__file__).with_name("protocol.py")
_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 60
_SHORT.maxlist = 2


def breach(scheme: object, what: str, hook: Callable[..., Any] | None) -> UsageError:
    """Return the error for a scheme that broke a rule.

    Args:
        scheme: the subject of the message.
        what: the rest of the sentence, such as "answered request 7 twice".
        hook: the method of the scheme that broke the rule; None if there is none. See `place`.
    """
    return UsageError(f"{named(scheme)} {what}{place(type(scheme), hook)}")


def place(made_by: type, hook: Callable[..., Any] | None) -> str:
    """Return the end of a message: where the method `hook` of a class of schemes is, in parentheses.

    It is where the class is if there is no such method, or if it is that of the base class of all schemes.
    """
    code = getattr(hook, "__code__", None)
    file = Path(code.co_filename) if code else None
    if code and file and file != PROTOCOL and file.name[0] != "<":  # as of a constructor that @dataclass generated
        return f" ({file.name}, line {code.co_firstlineno}, in {code.co_name})"
    try:
        return f" ({Path(inspect.getfile(made_by)).name}, line {inspect.getsourcelines(made_by)[1]})"
    except (OSError, TypeError):  # its file is not there any more, or it was made by other means than a statement
        return ""


def is_own(made_by: type) -> bool:
    """Return whether a class of schemes is a user's own, and not one of this package."""
    return made_by.__module__.partition(".")[0] != PACKAGE


def ask(scheme: object, hook: Callable[..., Result], *what: Any) -> Result:
    """Call a method of a scheme with the arguments `what`, and return its result.

    Raises:
        CollagebenchError: the method failed; the message says where. What `allot` raises stays as it is, since it says
            that there are too few workers.
    """
    try:
        return hook(*what)
    except (Exception, SystemExit) as error:
        name = getattr(hook, "__name__", "a method")
        if isinstance(error, CollagebenchError) and name == "allot":
            raise
        raise failure(named(scheme), f"in {name}", error) from error


def value_of(scheme: object, name: str) -> Any:
    """Return an attribute of a scheme, which may be a property.

    Raises:
        CollagebenchError: the property failed; the message says where.
    """
    try:
        return getattr(scheme, name)
    except (Exception, SystemExit) as error:
        raise failure(named(scheme), f"when its `{name}` was asked for", error) from error


def waits_of(scheme: object) -> float:
    """Return the `waits` of a scheme, in seconds.

    Raises:
        UsageError: it is not a number from 0 up.
        CollagebenchError: it is a property that failed.
    """
    found = value_of(scheme, "waits")
    if not isinstance(found, (int, float)) or isinstance(found, bool) or not found >= 0:
        raise UsageError(
            f"{named(scheme)} has {brief(found)} for its `waits`: it must be a number of seconds from 0 up, or infinity"
        )
    return float(found) if found <= FINITE else math.inf


def failure(scheme: str, when: str, error: BaseException) -> CollagebenchError:
    """Return the error for `scheme`, a name, that raised `error` in a method called by the frame that caught it."""
    return CollagebenchError(
        f"{scheme} failed {when}: {_shortly(error)}; COLLAGEBENCH_TRACEBACK=1 shows the full traceback"
    )


def named(scheme: object) -> str:
    """Return the name of a scheme for a message."""
    return f"the scheme {type(scheme).__name__}"


def brief(value: object) -> str:
    """Return a value for a message: its repr, shortened, on one line."""
    return " ".join(_SHORT.repr(value).split())


def _shortly(error: BaseException) -> str:
    """Return an error of a scheme and the last line of the scheme's file in its traceback, on one line."""
    what = f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")
    steps = traceback.extract_tb(error.__traceback__)[1:]
    own = [step for step in steps if step.filename == steps[0].filename]
    return f"{what} ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else what
