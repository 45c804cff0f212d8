"""The redundancy schemes, by the name a user types: one of the table below, or an import path, `module:Class`."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin

from collagebench.errors import CollagebenchError, UsageError, nearest
from collagebench.import_path import files_of_module, imported
from collagebench.schemes.backup import Backup
from collagebench.schemes.coded import ApproxIFER, NeRCC
from collagebench.schemes.collage import Collage
from collagebench.schemes.default import Default
from collagebench.schemes.faults import failure, named
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


def class_of(name: str) -> Callable[..., Scheme]:
    """Return what makes the scheme called `name`.

    Raises:
        UsageError: there is no such scheme.
        CollagebenchError: its module fails when it is imported.
    """
    if name in SCHEMES:
        return SCHEMES[name]
    module, _, called = name.partition(":")
    if not (module and called):
        hint = nearest(name, SCHEMES, "there are")
        own = " One" if hint.endswith("?") else "; one"
        raise UsageError(f"there is no scheme called {name!r}{hint}{own} of your own is named module:Class")
    found = imported(name, f"the scheme {name}")
    if not (isinstance(found, type) and issubclass(found, Scheme)):
        raise UsageError(
            f"{name} is not a scheme: it must be a class derived from {Scheme.__module__}.{Scheme.__name__}"
        )
    return found


def files_of(names: Iterable[str]) -> tuple[Path, ...]:
    """Return the files in which those schemes are written that are not ours.

    They are those of the module that its name says, and of those of its class and of the classes that it is derived
    from; see `files_of_module`.

    Raises:
        As `class_of`.
    """
    found: set[Path] = set()
    for name in set(names) - SCHEMES.keys():
        modules = [name.partition(":")[0], *(part.__module__ for part in inspect.getmro(cast(type, class_of(name))))]
        for top in {module.partition(".")[0] for module in modules} - {__name__.partition(".")[0]}:
            if top not in sys.stdlib_module_names:
                found |= files_of_module(top)
    return tuple(sorted(found))


def about(name: str) -> str | None:
    """Return the first line of what the scheme called `name` says of itself, if it does; raises as `class_of` does."""
    made_by = class_of(name)
    said = made_by.__doc__
    if not isinstance(said, str) or said.startswith(f"{made_by.__name__}("):  # where a dataclass lists its fields
        return None
    return inspect.cleandoc(said).partition("\n")[0] or None


def options_of(name: str) -> Mapping[str, inspect.Parameter]:
    """Return the options that the scheme called `name` takes, by name, with their evaluated annotations.

    They are the parameters that it can be given by name; `**others` are none.

    Raises:
        As `class_of`, and CollagebenchError: an annotation cannot be evaluated.
    """
    made_by = class_of(name)
    try:
        parameters = inspect.signature(made_by, eval_str=True).parameters
    except Exception as error:
        raise failure(f"the scheme {name}", "when its options were read", error) from error
    return {key: one for key, one in parameters.items() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}


def settings(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that a scheme goes by: `options`, and for every other option its default; without those that are None.

    What is None is left to the scheme, which has it from others.
    """
    whole = {key: parameter.default for key, parameter in options_of(name).items()} | dict(options)
    return {key: value for key, value in whole.items() if isinstance(value, (bool, int, float, str))}


def make(name: str, options: Mapping[str, Any]) -> Scheme:
    """Return a fresh scheme, raising UsageError for an unknown name, an unknown option or an option out of range."""
    known = options_of(name)
    if taken := {"name", "variant"} & known.keys():
        raise UsageError(f"{name} has an option {min(taken)!r}, which is a key of every [[scheme]] table: rename it")
    for option, value in options.items():
        if option not in known:
            listed = ", ".join(sorted(known)).replace("_", "-") or "none"
            raise UsageError(f"scheme {name} has no option {option.replace('_', '-')!r}; its options: {listed}")
        wanted = known[option].annotation
        if not _accepts(wanted, value):
            words = get_args(wanted) if get_origin(wanted) is Literal else ()
            takes = ", ".join(map(repr, words)) or inspect.formatannotation(wanted)
            raise UsageError(f"{option.replace('_', '-')} of scheme {name} cannot be {value!r}; it takes {takes}")
    try:
        made = class_of(name)(**options)
    except CollagebenchError:
        raise
    except Exception as error:
        raise failure(f"the scheme {name}", "when it was made", error) from error
    if not isinstance(made, Scheme):
        raise UsageError(f"{name} returned {made!r}, not a scheme")
    if made.deadline != Scheme.deadline:
        raise UsageError(f"{named(made)} sets its `deadline`, which the engine sets to --deadline: rename yours")
    for method in (key for key, one in vars(Scheme).items() if callable(one)):
        if not callable(value := getattr(made, method)):
            raise UsageError(f"{named(made)} sets its `{method}` to {value!r}, which is a method: rename yours")
    return made


def _accepts(kind: Any, value: Any) -> bool:
    """Whether an option takes a value; `kind` is its annotation, evaluated. One without annotation takes any."""
    parts = get_args(kind)
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
