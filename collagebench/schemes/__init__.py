"""The redundancy schemes, by the name a user types: one of the table below, or an import path, `module:Class`."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from collagebench.errors import CollagebenchError, UsageError, nearest
from collagebench.import_path import imported
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
        raise UsageError(f"there is no scheme called {name!r}{hint}; one of your own is named module:Class")
    found = imported(name, f"the scheme {name}")
    if not (isinstance(found, type) and issubclass(found, Scheme)):
        raise UsageError(f"{name} is no scheme: it must be a class derived from {Scheme.__module__}.{Scheme.__name__}")
    return found


def files_of(names: Iterable[str]) -> tuple[Path, ...]:
    """Return the files in which those schemes are written that are not ours; of a package all of it.

    They are those of a scheme's class and of the classes that it is derived from.

    Raises:
        As `class_of`.
    """
    found: set[Path] = set()
    for name in names:
        for part in [] if name in SCHEMES else inspect.getmro(cast(type, class_of(name))):
            top = part.__module__.partition(".")[0]
            file = getattr(sys.modules.get(top), "__file__", None)
            if file and top != __name__.partition(".")[0] and top not in sys.stdlib_module_names:
                path = Path(file).resolve()
                found |= {*path.parent.rglob("*.py")} if path.name == "__init__.py" else {path}
    return tuple(sorted(found))


def about(name: str) -> str | None:
    """Return the first line of what the scheme called `name` says of itself, if it does; raises as `class_of` does."""
    return inspect.cleandoc(class_of(name).__doc__ or "").partition("\n")[0] or None


def options_of(name: str) -> Mapping[str, inspect.Parameter]:
    """Return the options that the scheme called `name` takes, by name; raises as `class_of` does."""
    return inspect.signature(class_of(name)).parameters


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
        return class_of(name)(**options)
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
