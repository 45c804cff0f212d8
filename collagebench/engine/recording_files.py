"""The files that `collagebench record` leaves: the profile, and if asked for every service beside it.

While it watches there is another, of what was seen so far: all that is left if it is killed.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.engine.watch import Machine
from collagebench.errors import OutputError, UsageError
from collagebench.whole import write_whole

COLUMNS = ("machine", "sent", "queue", "seconds", "round_trip")
"""Of the file of samples; `machine` and `seconds` are what a replay of a trace reads."""


def write_samples(path: Path, columns: Sequence[NDArray[np.float64]]) -> None:
    """Write sent, queue, service and round trip [4, n] of each machine, seconds, as compressed CSV.

    Raises:
        OutputError: it cannot be written.
    """
    text = io.StringIO()
    text.write(",".join(COLUMNS) + "\n")
    for machine, rows in enumerate(columns):
        text.writelines(
            f"{machine},{sent:.6f},{queue:.7f},{service:.7f},{trip:.7f}\n" for sent, queue, service, trip in rows.T
        )
    _write(path, gzip.compress(text.getvalue().encode(), mtime=0))


@contextlib.contextmanager
def kept_meanwhile(out: Path, machines: Sequence[Machine], least: int) -> Iterator[Callable[[], None]]:
    """Have a file of samples beside `out` in the block; it goes at its end, but after a failure only if it holds few.

    Yields what adds to it the services that have been seen since the last time, as the workers measured them. They are
    few each time, so that nothing that is measured waits for it; what a full disk has no room for is left out.

    Args:
        out: where the profile will be.
        machines: with what was seen, as it grows.
        least: services that are not few.

    Raises:
        UsageError: there is such a file already.
        OutputError: it cannot be written.
    """
    path = out.with_name(f"{out.name.removesuffix('.json')}.partial.csv")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb", buffering=0)
        try:
            file.write(f"{','.join(COLUMNS)}\n".encode())
        except OSError:
            file.close()
            _remove(path)
            raise
    except FileExistsError:
        raise UsageError(
            f"{path} exists: a recording is writing to it, or was killed and left its data there; choose another --out"
        ) from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}); choose another --out") from None
    written = [0] * len(machines)

    def add() -> None:
        lines = "".join(
            f"{number},{each.sent:.6f},{each.queue:.7f},{each.service:.7f},{each.round_trip:.7f}\n"
            for number, machine in enumerate(machines)
            for each in machine.seen[written[number] :]
        )
        written[:] = [len(machine.seen) for machine in machines]
        with contextlib.suppress(OSError):
            file.write(lines.encode())

    with file:
        try:
            yield add
        except BaseException:
            add()
            if sum(written) < least:
                _remove(path)
            raise
    _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def rounded(value: Any) -> Any:
    """Return JSON values with every number to seven digits: more than a clock is worth."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


def write_profile(path: Path, profile: dict[str, Any]) -> None:
    """Write the profile as JSON, every list of numbers on a line of its own, so that a diff can be read.

    Raises:
        OutputError: it cannot be written.
    """
    text = json.dumps(profile, indent=1, allow_nan=False)
    text = re.sub(r"\[[-\d.e,\s]+\]", lambda numbers: re.sub(r"\s+", "", numbers.group()), text)
    _write(path, (text + "\n").encode())


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}); choose another --out") from None
