"""The files that `collagebench record` leaves: the profile, and if asked for every service beside it."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.errors import OutputError

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
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}); choose another --out") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
