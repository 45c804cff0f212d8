"""The files that `collagebench record` writes: the profile, and on request a file of all services beside it.

During the watch there is also a partial file of the services so far, which remains if the process is killed.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
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
"""The columns of a file of samples; a replay of a trace reads `machine` and `seconds`."""


def write_samples(path: Path, columns: Sequence[NDArray[np.float64]]) -> None:
    """Write sent, queue, service and round trip [4, n] of each machine, in seconds, as compressed CSV.

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
    """Keep a partial file of samples beside `out` in the block; yield a function that appends to it.

    The function appends the services seen since its last call, as the workers measured them. It should be called often,
    so that each call is short and does not delay the measurement. Samples that do not fit on a full disk are left out.
    The file is removed at the end of the block. After an exception it is removed only if it has few samples.

    Args:
        out: the path of the future profile.
        machines: what was seen of each machine; they grow during the block.
        least: the number of samples that are worth keeping after an exception.

    Raises:
        UsageError: the file exists already.
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
        content = lines.encode()
        with contextlib.suppress(OSError):
            fits = file.write(content)
            if fits < len(content):  # a full disk: no half a line must stay, as the next one would be joined to it
                file.seek(content.rfind(b"\n", 0, fits) + 1 - fits, os.SEEK_END)
                file.truncate()

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
    """Return JSON values with every float rounded to seven digits, which is more than the accuracy of a clock."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


def write_profile(path: Path, profile: dict[str, Any]) -> None:
    """Write the profile as JSON with every list of numbers on one line, so that diffs are readable.

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
