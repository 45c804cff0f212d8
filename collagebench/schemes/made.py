"""Checks of a scheme when it is made: whoever writes one hears at once what it lacks, in words of `protocol`."""

from __future__ import annotations

import inspect
from typing import Any

from collagebench.errors import UsageError
from collagebench.schemes.faults import breach, brief, named, value_of
from collagebench.schemes.protocol import Scheme

REQUIRED = ("arrived", "replied")
"""Methods that every scheme must define."""
LEDGER = frozenset(vars(Scheme()))
"""What the constructor of the base class sets."""


def check_made(made: Scheme) -> None:
    """Check that a new scheme has what the engines use: its ledger, and methods that take what they are called with.

    Raises:
        UsageError: it has not; the message says what to change.
        CollagebenchError: a property of it fails.
    """
    if not vars(made).keys() >= LEDGER:
        raise breach(made, "must call super().__init__() first in its __init__", type(made).__init__)
    if value_of(made, "deadline") != Scheme.deadline:
        raise UsageError(f"{named(made)} sets its `deadline`, which the engine sets to --deadline: rename yours")
    for name, base in vars(Scheme).items():
        if not callable(base):
            continue
        method = value_of(made, name)
        if not callable(method):
            raise UsageError(f"{named(made)} sets its `{name}` to {brief(method)}, which is a method: rename yours")
        if getattr(method, "__func__", None) is base:
            if name in REQUIRED:
                raise breach(made, f"does not define `{name}`, which every scheme must", method)
        elif not name.startswith("_"):
            _check_takes(made, name, method, [*inspect.signature(base).parameters][1:])


def _check_takes(made: Scheme, name: str, method: Any, told: list[str]) -> None:
    """Check that a method can be called with the arguments `told`, by place."""
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # Python does not know it, as for some functions written in C
        return
    try:
        signature.bind(*told)
    except TypeError:
        takes = ", ".join([*(["self"] if inspect.ismethod(method) else []), *signature.parameters])
        raise breach(
            made, f"defines {name}({takes}), but it must be {name}({', '.join(['self', *told])})", method
        ) from None
