"""The redundancy schemes, by the name a user types."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from collagebench.errors import CollagebenchError, UsageError, nearest
from collagebench.schemes.backup import Backup
from collagebench.schemes.coded import ApproxIFER, NeRCC
from collagebench.schemes.collage import Collage
from collagebench.schemes.default import Default
from collagebench.schemes.faults import failure
from collagebench.schemes.hedge import Hedge
from collagebench.schemes.hedge_idle import HedgeIdle
from collagebench.schemes.parity import Parity
from collagebench.schemes.plain import Equal, NoRedundancy
from collagebench.schemes.protocol import Scheme
from collagebench.schemes.reissue import Reissue
from collagebench.schemes.replication import Replication
from collagebench.schemes.tied import Tied

SCHEMES: dict[str, Callable[..., Scheme]] = {
    "none": NoRedundancy,
    "equal": Equal,
    "replication": Replication,
    "hedge": Hedge,
    "hedge-idle": HedgeIdle,
    "tied": Tied,
    "reissue": Reissue,
    "default": Default,
    "backup": Backup,
    "parity": Parity,
    "approxifer": ApproxIFER,
    "nercc": NeRCC,
    "collage": Collage,
}


def options_of(name: str) -> Mapping[str, inspect.Parameter]:
    """Return the options that the scheme called `name` takes, by name; UsageError if there is no such scheme."""
    if name not in SCHEMES:
        raise UsageError(f"there is no scheme called {name!r}{nearest(name, SCHEMES, 'there are')}")
    return inspect.signature(SCHEMES[name]).parameters


def settings(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that a scheme goes by: `options`, and for every other option its default; without those that are None.

    What is None is left to the scheme, which has it from others.
    """
    whole = {key: parameter.default for key, parameter in options_of(name).items()} | dict(options)
    return {key: value for key, value in whole.items() if value is not None}


def make(name: str, options: Mapping[str, Any]) -> Scheme:
    """Return a fresh scheme, raising UsageError for an unknown name, an unknown option or an option out of range."""
    known = options_of(name)
    for option, value in options.items():
        if option not in known:
            listed = ", ".join(sorted(known)).replace("_", "-") or "none"
            raise UsageError(f"scheme {name} has no option {option.replace('_', '-')!r}; its options: {listed}")
        wanted = str(known[option].annotation)
        if not _accepts(wanted, value):
            raise UsageError(f"{option.replace('_', '-')} of scheme {name} cannot be {value!r}; it takes {wanted}")
    try:
        return SCHEMES[name](**options)
    except CollagebenchError:
        raise
    except Exception as error:
        raise failure(f"the scheme {name}", "when it was made", error) from error


def _accepts(annotation: str, value: Any) -> bool:
    """Whether a constructor with this annotation takes a value; a Literal's values stand in it."""
    if annotation.startswith("Literal["):
        return value in ast.literal_eval(f"({annotation[len('Literal[') : -1]},)")
    if isinstance(value, bool):
        return "bool" in annotation
    return isinstance(value, _accepted(annotation))


def _accepted(annotation: str) -> tuple[type, ...]:
    types: list[type] = [int] if "int" in annotation or "float" in annotation else []
    types += [float] if "float" in annotation else []
    types += [str] if "str" in annotation or "Flush" in annotation else []
    return tuple(types)
