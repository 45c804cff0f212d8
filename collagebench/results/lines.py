"""Fast reading of a CSV file of records, in blocks, each as columns of strings.

This takes most of the time needed to read a run. Records hold numbers and plain words, so a block without quotes is
split at all its commas at once, which is several times faster than a CSV parser. Line ends are kept as separate fields:
if each is where it should be, every line has the right number of fields. Any other block goes through the CSV parser,
which checks it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import TextIO

BLOCK = 1 << 16
"""Characters per block: few enough to stay in the processor's cache."""


def whole_lines(file: TextIO) -> Iterator[str]:
    """Yield the file in blocks of whole lines, and at the end a partial line, if there is one."""
    parts: list[str] = []
    while text := file.read(BLOCK):
        end = text.rfind("\n") + 1
        if end:
            yield "".join([*parts, text[:end]])
            parts.clear()
        parts.append(text[end:])
    if rest := "".join(parts):
        yield rest


def split(block: str, width: int) -> Sequence[Sequence[str]]:
    """Return the `width` columns of a block of whole lines.

    Raises:
        ValueError: a line has another number of fields.
        csv.Error: a line is not valid CSV.
    """
    if '"' not in block and "\r" not in block:
        rows = block.count("\n")
        fields = block.replace("\n", ",\n,").split(",")
        end = rows * (width + 1)
        if len(fields) == end + 1 and fields[width :: width + 1] == ["\n"] * rows:
            return [fields[column : end : width + 1] for column in range(width)]
    lines = list(csv.reader(StringIO(block, newline=""), strict=True))
    if any(len(line) != width for line in lines):
        raise ValueError(f"it does not have {width} fields")
    return list(zip(*lines, strict=True))
