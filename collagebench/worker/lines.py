"""JSON lines, which the forkserver, its children and its client exchange."""

from __future__ import annotations

import json
from typing import Any


class Lines:
    """Splits a stream of bytes into JSON lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Any]:
        """Return the JSON values of the lines that `data` completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]


def line(value: dict[str, Any]) -> bytes:
    """Return a value as one line of JSON."""
    return json.dumps(value).encode() + b"\n"
