"""Checksums that tell whether a run directory is unchanged since it was written.

`run.json` holds the CRC-32 of its own values (`checksum`), regardless of their layout, and, once the run has ended, the
size and CRC-32 of every file of records (`files`). They do not protect against malice, but they detect accidents: a
field changed by an editor, a spreadsheet or a disk error is noticed even if its new value is plausible.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collagebench.ordinary import ordinary

OWN = "checksum"
FILES = "files"
PIECE = 1 << 20


def header_checksum(header: Mapping[str, Any]) -> int:
    """Return the CRC-32 of a header's values, plain JSON, without `checksum` itself."""
    values = {key: value for key, value in header.items() if key != OWN}
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())


def file_checksum(path: Path) -> dict[str, int]:
    """Return size and CRC-32 of a file; raises OSError."""
    size = checksum = 0
    with ordinary(path).open("rb") as file:
        while piece := file.read(PIECE):
            size += len(piece)
            checksum = zlib.crc32(piece, checksum)
    return {"bytes": size, "crc32": checksum}


def changed_files(directory: Path, header: Mapping[str, Any]) -> list[str]:
    """Return the names of the files of records that do not match the header; raises OSError."""
    return [name for name, facts in header.get(FILES, {}).items() if file_checksum(directory / name) != facts]
