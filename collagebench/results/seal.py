"""Checksums that tell whether a run directory is as its writer left it.

`run.json` holds the CRC-32 of its own values (`checksum`), however they are laid out, and once the run has ended the
size and CRC-32 of every file of records (`files`). They are no protection against malice, but no accident passes them:
a field that somebody's editor, spreadsheet or disk has changed is noticed even where it is as plausible as before.
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
    """Return the CRC-32 of a header's values, plain JSON, without that of its own."""
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
    """Return the names of the files of records that are not as the header says; raises OSError."""
    return [name for name, facts in header.get(FILES, {}).items() if file_checksum(directory / name) != facts]
