"""What is said of a scheme that fails, or breaks a rule of `protocol`: one sentence with its name, file and line.

Who wrote the scheme reads it and can mend it, so it is never called an unexpected error of the tool's.
"""

from __future__ import annotations

import reprlib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from collagebench.errors import CollagebenchError, UsageError

Result = TypeVar("Result")
_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 60
_SHORT.maxlist = 2


def breach(scheme: object, what: str, hook: Callable[..., Any] | None = None) -> UsageError:
    """Return the error of a scheme that broke a rule, as the subject of `what`; `hook` is its method that did so."""
    code = getattr(hook, "__code__", None)
    place = f" ({Path(code.co_filename).name}, line {code.co_firstlineno}, in {code.co_name})" if code else ""
    return UsageError(f"{named(scheme)} {what}{place}")


def ask(scheme: object, hook: Callable[..., Result], *what: Any) -> Result:
    """Return what a method of a scheme returns.

    Raises:
        CollagebenchError: it failed; the sentence says where.
    """
    try:
        return hook(*what)
    except CollagebenchError:
        raise
    except (Exception, SystemExit) as error:
        raise failure(named(scheme), f"in {hook.__name__}", error) from error


def failure(scheme: str, when: str, error: BaseException) -> CollagebenchError:
    """Return the error of `scheme`, which raised `error` in a method that the caller's own frame called."""
    return CollagebenchError(
        f"{scheme} failed {when}: {_shortly(error)}; COLLAGEBENCH_TRACEBACK=1 shows the full traceback"
    )


def named(scheme: object) -> str:
    """Return what a scheme is called in a sentence."""
    return f"the scheme {type(scheme).__name__}"


def brief(value: object) -> str:
    """Return a value for a sentence: its repr, shortened, on one line."""
    return " ".join(_SHORT.repr(value).split())


def _shortly(error: BaseException) -> str:
    """Return what an error of a scheme is, and the last line of the scheme's file that led to it, in one line."""
    what = f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")
    steps = traceback.extract_tb(error.__traceback__)[1:]
    own = [step for step in steps if step.filename == steps[0].filename]
    return f"{what} ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else what
