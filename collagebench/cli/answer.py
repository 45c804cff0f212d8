"""Output of a verb's answer, as JSON or for people, to standard output or a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def give(answer: Any, form: str, show: Callable[[Console], None], out: Path | None = None) -> None:
    """Write `answer` as JSON if `form` is "json", else let `show` print it; to the file `out`, or to standard output.

    Raises:
        OutputError: the answer cannot be written.
    """
    from collagebench.report.output import put

    def as_json(console: Console) -> None:
        console.file.write(json.dumps(answer, indent=2, allow_nan=False) + "\n")

    put(as_json if form == "json" else show, out)
