"""What a user's own module holds, by an import path such as `package.module:name`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from collagebench.errors import CollagebenchError, UsageError, first_line


def imported(path: str, said: str) -> Any:
    """Return what the module of an import path calls by its name; modules of the current directory are found as well.

    `said` is how a sentence about it begins, such as `--network here:make`.

    Raises:
        UsageError: there is no such module, or nothing in it of that name.
        CollagebenchError: the module fails when it is imported.
    """
    module, _, name = path.partition(":")
    here, before = str(Path.cwd()), list(sys.path)
    if here not in before:
        sys.path.insert(0, here)
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise UsageError(
            f"{said} cannot be imported ({first_line(error)}); it is looked for in the current directory and in "
            "PYTHONPATH"
        ) from None
    except AttributeError as error:
        raise UsageError(f"{said} cannot be imported ({first_line(error)})") from None
    except (Exception, SystemExit) as error:  # whatever somebody's module does when it is imported
        raise CollagebenchError(f"{said}: importing it fails ({first_line(error)})") from None
    finally:
        if here not in before:  # it stays, for what the module imports later, but behind Python's own modules
            sys.path[:] = [*(place for place in sys.path if place != here), here]
