"""Where an experiment puts its results: where --out says, or in a directory of its own below `runs`."""

from __future__ import annotations

import atexit
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from collagebench.errors import OutputError


def run_directory(out: Path | None, verb: str) -> Path:
    """Return the directory of an experiment's results: `out`, or a new directory below `runs`.

    The new directory is created at once, so that an experiment that starts in the same second gets a different one. It
    is removed at exit if it is still empty.
    """
    if out is not None:
        return out
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{verb}"
    names = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    runs = Path("runs")
    ours = () if runs.exists() else (runs.absolute(),)
    for path in map(runs.joinpath, names):
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError:  # reported when the directory is used
            return path
        atexit.register(_remove_if_empty, path.absolute(), *ours)
        return path
    raise OutputError(f"runs/{name} and 998 more exist; choose another directory with --out")


def _remove_if_empty(*paths: Path) -> None:
    with suppress(OSError):
        for path in paths:
            path.rmdir()
