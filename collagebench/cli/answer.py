"""The answer of a verb, as JSON for programs or as people read it, on standard output or in a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def give(answer: Any, form: str, show: Callable[[Console], None], out: Path | None = None) -> None:
    """Write `answer` as JSON where `form` says so, else have `show` print it; to `out`, or standard output of none.

    Raises:
        OutputError: it cannot be written.
    """
    from collagebench.report.output import put

    def as_json(console: Console) -> None:
        console.file.write(json.dumps(answer, indent=2, allow_nan=False) + "\n")

    put(as_json if form == "json" else show, out)
