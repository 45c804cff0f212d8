"""The redundancy schemes, by the name a user types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from collagebench.errors import UsageError
from collagebench.schemes.collage import Collage
from collagebench.schemes.hedge import Hedge
from collagebench.schemes.plain import Equal, NoRedundancy
from collagebench.schemes.protocol import Scheme
from collagebench.schemes.replication import Replication

SCHEMES: dict[str, Callable[..., Scheme]] = {
    "none": NoRedundancy,
    "equal": Equal,
    "replication": Replication,
    "hedge": Hedge,
    "collage": Collage,
}


def options_of(name: str) -> set[str]:
    """Return the names of the options that the scheme called `name` takes, raising UsageError if there is none."""
    if name not in SCHEMES:
        raise UsageError(f"there is no scheme called {name!r}; the schemes are {', '.join(SCHEMES)}")
    return set(inspect.signature(SCHEMES[name]).parameters)


def make(name: str, options: Mapping[str, Any]) -> Scheme:
    """Return a fresh scheme, raising UsageError for an unknown name, an unknown option or an option out of range."""
    known = options_of(name)
    for option in options:
        if option not in known:
            listed = ", ".join(sorted(known)).replace("_", "-") or "none"
            raise UsageError(f"scheme {name} has no option {option.replace('_', '-')!r}; its options: {listed}")
    return SCHEMES[name](**options)
